"""Videos and fine-tuning of the demo provider, over a real socket."""

import openai
import pytest

from tests.demo.conftest import Provider


@pytest.mark.parametrize("form", [False, True])
def test_a_video_is_there_at_once(provider: Provider, form: bool) -> None:
    fields = {"model": "demo-canvas", "prompt": "a fox", "seconds": "8"}
    if form:
        video = provider.http.post("/videos", files={name: (None, value) for name, value in fields.items()}).json()
    else:
        video = provider.http.post("/videos", json=fields).json()
    assert (video["status"], video["seconds"], video["model"]) == ("completed", "8", "demo-canvas-2026-03-18")
    assert provider.http.get(f"/videos/{video['id']}").json() == video


def test_a_video_has_content_until_it_is_deleted(provider: Provider) -> None:
    video = provider.http.post("/videos", json={"prompt": "a fox"}).json()
    content = provider.http.get(f"/videos/{video['id']}/content")
    assert (content.headers["content-type"], content.content[4:12]) == ("video/mp4", b"ftypisom")
    assert provider.http.delete(f"/videos/{video['id']}").json()["deleted"]
    assert provider.http.get(f"/videos/{video['id']}/content").status_code == 404


def test_a_remix_names_its_source(provider: Provider) -> None:
    video = provider.http.post("/videos", json={"prompt": "a fox"}).json()
    remix = provider.http.post(f"/videos/{video['id']}/remix", json={"prompt": "two"}).json()
    assert remix["remixed_from_video_id"] == video["id"]
    assert remix["id"] in [one["id"] for one in provider.http.get("/videos").json()["data"]]


def test_a_job_succeeds_at_once(sdk: openai.OpenAI) -> None:
    file = sdk.files.create(file=("t.jsonl", b"x" * 40), purpose="fine-tune")
    job = sdk.fine_tuning.jobs.create(model="demo-core", training_file=file.id)
    assert (job.status, job.model) == ("succeeded", "demo-core-2026-09-02")
    assert job.id in [one.id for one in sdk.fine_tuning.jobs.list()]
    assert sdk.fine_tuning.jobs.list_events(job.id).data == []
    assert sdk.fine_tuning.jobs.checkpoints.list(job.id).data == []
    acts = (sdk.fine_tuning.jobs.cancel, sdk.fine_tuning.jobs.pause, sdk.fine_tuning.jobs.resume)
    assert [act(job.id).status for act in acts] == ["cancelled", "paused", "succeeded"]
