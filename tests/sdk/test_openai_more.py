"""OpenAI's own SDK on everything but chat: each method reads its answer, and no name of the upstream's is in it.

The demo provider answers. Chat, errors and cuts are in test_sdk.
"""

import json
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from proxy.config.tree import Server
from proxy.demo.media import SAMPLE_RATE, wav_header
from proxy.demo.settings import demo_config
from proxy.ledger.record import UsageRecord
from tests.demo.conftest import Provider
from tests.demo.conftest import provider as provider
from tests.serving import ALIAS, KEY, RunningGateway

WAV = wav_header(SAMPLE_RATE * 2) + bytes(SAMPLE_RATE * 2)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
NOTE = ("note.txt", b"The fox sleeps in the reeds.")
#: For methods that the SDK still has, and warns of.
outgoing = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    server = Server(data_dir=str(tmp_path_factory.mktemp("demo")), port=0, log_format="json")
    with RunningGateway(demo_config(provider.port, provider.settings, server)) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as one:
        yield one


def last_row(gateway: RunningGateway) -> UsageRecord:
    return gateway.rows()[-1]


def test_a_response_at_once(gateway: RunningGateway, client: OpenAI) -> None:
    answer = client.responses.create(model=ALIAS, input="demo:tokens=3")
    assert (answer.model, answer.status) == (ALIAS, "completed")
    assert answer.output_text
    row = last_row(gateway)
    assert (row.endpoint, row.usage_source, row.output_tokens) == ("/v1/responses", "reported", 3)


def test_the_events_of_a_response_come_in_order(gateway: RunningGateway, client: OpenAI) -> None:
    events = list(client.responses.create(model=ALIAS, input="demo:tokens=3", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert (events[0].response.model, events[-1].response.model) == (ALIAS, ALIAS)
    row = last_row(gateway)
    assert (row.outcome, row.usage_source, row.output_tokens) == ("complete", "reported", 3)


def test_the_stream_of_a_response_is_put_together(client: OpenAI) -> None:
    with client.responses.stream(model=ALIAS, input="demo:tokens=3") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        answer = stream.get_final_response()
    assert answer.output_text == "".join(texts) != ""


def test_a_stored_response_is_shown_and_listed_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model=ALIAS, input="What sleeps in the reeds?")
    found = client.responses.retrieve(made.id)
    assert (found.id, found.model, found.output_text) == (made.id, ALIAS, made.output_text)
    (item,) = client.responses.input_items.list(made.id)
    assert item.type == "message"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_response_goes_on_from_the_one_before(client: OpenAI) -> None:
    first = client.responses.create(model=ALIAS, input="demo:tokens=3")
    second = client.responses.create(model=ALIAS, input="And then?", previous_response_id=first.id)
    assert second.previous_response_id == first.id


def test_a_response_in_the_background_is_cancelled(client: OpenAI) -> None:
    made = client.responses.create(model=ALIAS, input="demo:tokens=3", background=True)
    assert client.responses.cancel(made.id).id == made.id


def test_the_tokens_of_a_response_are_counted(client: OpenAI) -> None:
    assert client.responses.input_tokens.count(model=ALIAS, input="How many?").input_tokens > 0


def test_a_text_is_continued(gateway: RunningGateway, client: OpenAI) -> None:
    answer = client.completions.create(model=ALIAS, prompt="demo:tokens=3")
    assert answer.model == ALIAS
    assert answer.choices[0].text
    assert last_row(gateway).output_tokens == 3


def test_a_text_is_continued_as_a_stream(gateway: RunningGateway, client: OpenAI) -> None:
    chunks = list(client.completions.create(model=ALIAS, prompt="demo:tokens=3", stream=True))
    assert {chunk.model for chunk in chunks} == {ALIAS}
    assert all(chunk.usage is None for chunk in chunks)
    row = last_row(gateway)
    assert (row.usage_source, row.output_tokens) == ("reported", 3)


def test_texts_become_vectors(gateway: RunningGateway, client: OpenAI) -> None:
    answer = client.embeddings.create(model="prometheus-atlas", input=["one", "two"], dimensions=8)
    assert answer.model == "prometheus-atlas"
    assert [len(one.embedding) for one in answer.data] == [8, 8]
    assert last_row(gateway).input_tokens == answer.usage.prompt_tokens


def test_a_text_is_judged(client: OpenAI) -> None:
    answer = client.moderations.create(model="prometheus-guard", input="hello")
    assert answer.model == "prometheus-guard"
    assert not answer.results[0].flagged


def test_a_transcription(client: OpenAI) -> None:
    assert "1.0 seconds" in client.audio.transcriptions.create(model="prometheus-echo", file=("a.wav", WAV)).text


def test_a_transcription_as_a_stream(client: OpenAI) -> None:
    events = list(client.audio.transcriptions.create(model="prometheus-echo", file=("a.wav", WAV), stream=True))
    assert events[0].type == "transcript.text.delta"
    assert events[-1].type == "transcript.text.done"


def test_a_transcription_as_plain_text(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(model="prometheus-echo", file=("a.wav", WAV), response_format="text")
    assert isinstance(answer, str)


@outgoing
def test_a_translation(gateway: RunningGateway, client: OpenAI) -> None:
    assert client.audio.translations.create(model="prometheus-echo", file=("a.wav", WAV)).text
    assert last_row(gateway).audio_milliseconds == 1000


def test_speech_at_once(client: OpenAI) -> None:
    answer = client.audio.speech.create(model="prometheus-voice", input="hi", voice="alloy", response_format="wav")
    assert answer.read().startswith(b"RIFF")


def test_speech_as_it_is_made(client: OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="prometheus-voice", input="hi", voice="alloy", response_format="wav"
    ) as answer:
        assert b"".join(answer.iter_bytes()).startswith(b"RIFF")


def test_an_image_is_made(gateway: RunningGateway, client: OpenAI) -> None:
    answer = client.images.generate(model="prometheus-canvas", prompt="a fox", n=2)
    assert answer.data is not None
    assert len(answer.data) == 2
    assert last_row(gateway).images == 2


def test_an_image_is_made_as_a_stream(client: OpenAI) -> None:
    events = list(client.images.generate(model="prometheus-canvas", prompt="a fox", stream=True, partial_images=1))
    assert [event.type for event in events][-1] == "image_generation.completed"


def test_an_image_is_changed(client: OpenAI) -> None:
    answer = client.images.edit(model="prometheus-canvas", image=("a.png", PNG, "image/png"), prompt="a hat")
    assert answer.data


@outgoing
def test_an_image_is_varied(client: OpenAI) -> None:
    assert client.images.create_variation(model="prometheus-canvas", image=("a.png", PNG, "image/png")).data


def test_a_file_is_stored_shown_listed_read_and_deleted(client: OpenAI) -> None:
    made = client.files.create(file=NOTE, purpose="user_data")
    assert client.files.retrieve(made.id).filename == "note.txt"
    assert made.id in [one.id for one in client.files.list()]
    assert client.files.content(made.id).read() == NOTE[1]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_a_file_is_stored_in_parts(client: OpenAI) -> None:
    upload = client.uploads.create(bytes=10, filename="a.txt", mime_type="text/plain", purpose="user_data")
    parts = [client.uploads.parts.create(upload.id, data=data) for data in (b"hello", b"world")]
    whole = client.uploads.complete(upload.id, part_ids=[part.id for part in parts])
    assert whole.file is not None
    assert client.files.content(whole.file.id).read() == b"helloworld"


def test_an_upload_is_given_up(client: OpenAI) -> None:
    upload = client.uploads.create(bytes=5, filename="a.txt", mime_type="text/plain", purpose="user_data")
    assert client.uploads.cancel(upload.id).status == "cancelled"


def test_a_batch_runs_under_the_alias(client: OpenAI) -> None:
    body = {"model": ALIAS, "messages": [{"role": "user", "content": "demo:tokens=3"}]}
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("lines.jsonl", json.dumps(line).encode()), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"for": "tests"}
    )
    assert batch.id in [one.id for one in client.batches.list()]
    done = client.batches.retrieve(batch.id)
    assert (done.status, done.metadata) == ("completed", {"for": "tests"})
    assert done.output_file_id is not None
    answer = json.loads(client.files.content(done.output_file_id).read())
    assert (answer["custom_id"], answer["response"]["body"]["model"]) == ("one", ALIAS)


def test_a_vector_store_takes_files_and_is_searched(client: OpenAI) -> None:
    file = client.files.create(file=NOTE, purpose="user_data")
    store = client.vector_stores.create(name="notes", file_ids=[file.id])
    assert client.vector_stores.retrieve(store.id).name == "notes"
    assert store.id in [one.id for one in client.vector_stores.list()]
    assert [one.id for one in client.vector_stores.files.list(store.id)] == [file.id]
    (found,) = client.vector_stores.search(store.id, query="fox")
    assert found.file_id == file.id
    assert client.vector_stores.update(store.id, name="others").name == "others"
    assert client.vector_stores.delete(store.id).deleted


def test_many_files_are_added_to_a_vector_store_at_once(client: OpenAI) -> None:
    files = [client.files.create(file=NOTE, purpose="user_data").id for _ in range(2)]
    store = client.vector_stores.create(name="notes")
    batch = client.vector_stores.file_batches.create(store.id, file_ids=files)
    shown = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
    assert shown.file_counts.total == 2


def test_fine_tuning_jobs_are_listed(client: OpenAI) -> None:
    assert list(client.fine_tuning.jobs.list()) == []


def test_a_fine_tuning_job_is_under_the_alias(client: OpenAI) -> None:
    file = client.files.create(file=("lines.jsonl", b'{"messages":[]}'), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=ALIAS, training_file=file.id)
    assert job.model == ALIAS
    assert client.fine_tuning.jobs.retrieve(job.id).id == job.id
    assert isinstance(list(client.fine_tuning.jobs.list_events(job.id)), list)


def test_a_conversation_keeps_its_items(client: OpenAI) -> None:
    conversation = client.conversations.create(items=[{"type": "message", "role": "user", "content": "hello"}])
    assert len(list(client.conversations.items.list(conversation.id))) == 1
    assert client.conversations.delete(conversation.id).deleted


@outgoing
def test_a_video_is_made_shown_listed_read_varied_and_deleted(client: OpenAI) -> None:
    video = client.videos.create(model="prometheus-canvas", prompt="a fox")
    assert video.model == "prometheus-canvas"
    assert client.videos.retrieve(video.id).status == "completed"
    assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"
    other = client.videos.remix(video.id, prompt="a red fox")
    assert other.remixed_from_video_id == video.id
    assert {one.id for one in client.videos.list()} == {video.id, other.id}
    assert client.videos.delete(video.id).deleted
