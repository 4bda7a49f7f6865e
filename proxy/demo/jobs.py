"""Jobs of the demo provider that are over as soon as they begin: videos and fine-tuning."""

import secrets
import struct
from typing import Any, Final

import msgspec

from proxy.demo.answers import tokens_of
from proxy.demo.exchange import Exchange
from proxy.demo.lists import page
from proxy.demo.phrases import read_orders
from proxy.demo.replies import begin
from proxy.demo.resources import Resource, Routes, now
from proxy.demo.settings import DEMO_MODELS, TEXT, DemoModel, find_model
from proxy.errors import InvalidRequest

VIDEOS: Final = Resource("video", "video_", deleted="video.deleted")
JOBS: Final = Resource("fine_tuning.job", "ftjob-")
#: Any model may be named for a video: there is no capability of that name.
_ANY: Final = tuple(model.capability for model in DEMO_MODELS)


class VideoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; the same whether it came as JSON or as a form."""

    prompt: str
    model: str = "demo-canvas"
    seconds: str = "4"
    size: str = "720x1280"


class FineTuningRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    method: Any = None
    metadata: dict[str, Any] | None = None


async def create_video(exchange: Exchange) -> None:
    """`POST /v1/videos`."""
    if exchange.has_form:
        form = await exchange.read_form()
        fields = {name: values[-1] for name, values in form.fields.items()}
        try:
            request = msgspec.convert(fields, VideoRequest)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"Invalid form: {error}.", code="invalid_value") from error
    else:
        request = await exchange.read(VideoRequest)
    await _make_video(exchange, request, find_model(request.model, _ANY, "v1/videos"), None)


async def remix(exchange: Exchange) -> None:
    """`POST /v1/videos/{id}/remix`."""
    request = await exchange.read(VideoRequest)
    first = VIDEOS.find(exchange)
    await _make_video(exchange, request, find_model(str(first.value["model"]), _ANY, "v1/videos"), first.id)


async def _make_video(exchange: Exchange, request: VideoRequest, model: DemoModel, source: str | None) -> None:
    orders = read_orders(request.prompt)
    if not await begin(exchange, orders, model.name):
        return
    fields = {
        "model": model.name,
        "status": "completed",
        "progress": 100,
        "prompt": request.prompt,
        "seconds": request.seconds,
        "size": request.size,
        "completed_at": now(),
        "expires_at": now() + 3_600,
        "error": None,
        "remixed_from_video_id": source,
    }
    await exchange.send_json(VIDEOS.keep(exchange, fields, _film()).value, orders=orders)


def _film() -> bytes:
    """An MP4 file without a picture in it: its type, and an empty box of data."""
    kind = b"isom" + struct.pack(">I", 512) + b"isommp41"
    boxes = ((b"ftyp", kind), (b"mdat", b""))
    return b"".join(struct.pack(">I", 8 + len(data)) + name + data for name, data in boxes)


async def video_content(exchange: Exchange) -> None:
    """`GET /v1/videos/{id}/content`."""
    await exchange.send_bytes(VIDEOS.find(exchange).content, b"video/mp4")


async def create_job(exchange: Exchange) -> None:
    """`POST /v1/fine_tuning/jobs`."""
    request = await exchange.read(FineTuningRequest)
    model = find_model(request.model, TEXT, "v1/fine_tuning/jobs")
    examples = exchange.store.get("file", request.training_file).content
    if request.validation_file:
        exchange.store.get("file", request.validation_file)
    named = f"ft:{model.name}:demo:{request.suffix or ''}:{secrets.token_hex(4)}"
    fields = {
        **msgspec.to_builtins(request),
        "model": model.name,
        "status": "succeeded",
        "fine_tuned_model": named,
        "finished_at": now(),
        "trained_tokens": tokens_of(len(examples)),
        "organization_id": "org-demo",
        "result_files": [],
        "hyperparameters": {"n_epochs": 1, "batch_size": 1, "learning_rate_multiplier": 1.0},
        "error": {},
        "integrations": [],
        "seed": request.seed or 0,
    }
    await exchange.send_json(JOBS.keep(exchange, fields).value)


async def too_late(exchange: Exchange) -> None:
    """`POST /v1/fine_tuning/jobs/{id}/cancel`, `/pause` and `/resume`: the job is over."""
    raise InvalidRequest(f"Job has already completed: {JOBS.find(exchange).id}.")


async def events(exchange: Exchange) -> None:
    """`GET /v1/fine_tuning/jobs/{id}/events`."""
    job = JOBS.find(exchange).value
    texts = (f"Created fine-tuning job: {job['id']}", f"New fine-tuned model created: {job['fine_tuned_model']}")
    shared = {"object": "fine_tuning.job.event", "created_at": job["created_at"], "level": "info", "type": "message"}
    await page(
        exchange,
        [{"id": f"ftevent-{number}-{job['id']}", **shared, "message": text} for number, text in enumerate(texts)],
    )


async def checkpoints(exchange: Exchange) -> None:
    """`GET /v1/fine_tuning/jobs/{id}/checkpoints`: there are none."""
    JOBS.find(exchange)
    await page(exchange, [])


ROUTES: Final[Routes] = (
    ("POST", "/v1/videos", create_video),
    ("GET", "/v1/videos", VIDEOS.listing),
    ("GET", "/v1/videos/{id}", VIDEOS.retrieve),
    ("DELETE", "/v1/videos/{id}", VIDEOS.delete),
    ("GET", "/v1/videos/{id}/content", video_content),
    ("POST", "/v1/videos/{id}/remix", remix),
    ("POST", "/v1/fine_tuning/jobs", create_job),
    ("GET", "/v1/fine_tuning/jobs", JOBS.listing),
    ("GET", "/v1/fine_tuning/jobs/{id}", JOBS.retrieve),
    ("POST", "/v1/fine_tuning/jobs/{id}/cancel", too_late),
    ("POST", "/v1/fine_tuning/jobs/{id}/pause", too_late),
    ("POST", "/v1/fine_tuning/jobs/{id}/resume", too_late),
    ("GET", "/v1/fine_tuning/jobs/{id}/events", events),
    ("GET", "/v1/fine_tuning/jobs/{id}/checkpoints", checkpoints),
)
