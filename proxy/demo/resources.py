"""Endpoints for stored resources (files, threads, batches, …): one implementation for all kinds.

A kind is a row of data. What is created is done at once and no work follows: a run writes no message. Only files and
conversations have functions of their own.
"""

import secrets
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from proxy.config.tree import Capability
from proxy.demo.engine import plain_text
from proxy.demo.exchange import DemoExchange, convert
from proxy.demo.settings import DEMO_MODELS, TEXT, find_model
from proxy.demo.store import DemoResource
from proxy.errors import InvalidRequest

DemoHandler = Callable[[DemoExchange], Awaitable[None]]
DemoRoutes = tuple[tuple[str, str, DemoHandler], ...]
Values = dict[str, Any]

_MAX_PAGE: Final = 100
_MAX_AT_ONCE: Final = 100
#: The fields that an update may change, where a kind has them.
_UPDATABLE: Final = frozenset({"metadata", "name", "instructions", "description", "expires_after", "attributes"})
#: The status that an action sets.
_STATUSES: Final = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "succeeded",
    "submit_tool_outputs": "completed",
    "complete": "completed",
}
#: Any model may be named for a video: there is no capability of that name.
_ANY: Final = tuple(model.capability for model in DEMO_MODELS)


Count = Annotated[int, Meta(ge=0)]


class TypedPart(msgspec.Struct, frozen=True):
    """What says of itself what it is: a tool, a part of a content."""

    type: str


class FieldTypes(msgspec.Struct, frozen=True):
    """The types of the fields that a request may set, of any kind."""

    metadata: dict[str, str] | None = None
    attributes: Values | None = None
    name: str | None = None
    description: str | None = None
    instructions: str | None = None
    expires_after: Values | None = None
    status: str | None = None
    bytes: Count | None = None
    usage_bytes: Count | None = None
    file_counts: Values | None = None
    filename: str | None = None
    purpose: str | None = None
    mime_type: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    training_file: str | None = None
    result_files: list[str] | None = None
    endpoint: str | None = None
    model: str | None = None
    prompt: str | None = None
    seconds: str | None = None
    tools: list[TypedPart] | None = None
    role: str | None = None
    assistant_id: str | None = None
    error: Values | None = None
    usage: Values | None = None
    required_action: Values | None = None
    file: Values | None = None
    expires_at: Count | None = None


@dataclass(frozen=True)
class DemoKind:
    """A kind of resource: where it is, how it is named, and which fields its JSON has."""

    #: Where `{parent}` stands in it, that is the id of the resource that it belongs to.
    path: str
    object: str
    id_prefix: str
    #: The fields beside id, object and time, with their defaults; a request may set them.
    fields: Mapping[str, Any]
    #: What it belongs to, by its object.
    parent: str = ""
    #: Which of the generic endpoints it has.
    operations: str = "create list show update delete"
    #: What its `model` must be able to do; empty for a kind without a model.
    capabilities: tuple[Capability, ...] = ()
    #: The field of a request that has its id, if it is not made up.
    id_field: str = ""

    @property
    def routes(self) -> DemoRoutes:
        """Its generic endpoints."""
        one = self.path + "/{id}"
        routes = {
            "create": ("POST", self.path, self.create),
            "list": ("GET", self.path, self.send_list),
            "show": ("GET", one, self.show),
            "update": ("POST", one, self.update),
            "delete": ("DELETE", one, self.delete),
        }
        return tuple(routes[operation] for operation in self.operations.split())

    def store(self, exchange: DemoExchange, values: Values, content: bytes = b"", parent: str = "") -> DemoResource:
        """Store a new resource with the fields that `values` has for it. Raises InvalidRequest, ModelNotFound."""
        known = {**self.fields, **self._known(values)}
        if self.capabilities:
            known["model"] = find_model(str(known["model"]), self.capabilities, self.path[1:]).name
        named = values.get(self.id_field) if self.id_field else None
        resource_id = str(named or self.id_prefix + secrets.token_hex(12))
        head = {"id": resource_id, "object": self.object, "created_at": int(time.time())}
        return exchange.store.put(self.object, {**head, **known}, content, parent)

    def _known(self, values: Values) -> Values:
        """The values of its fields. Raises InvalidRequest for one of another type."""
        known = {name: values[name] for name in self.fields if values.get(name) is not None}
        convert(known, FieldTypes)
        return known

    def find(self, exchange: DemoExchange) -> DemoResource:
        """The resource that the path names. Raises a 404."""
        return exchange.store.get(self.object, exchange.path("id"), exchange.path("parent"))

    async def create(self, exchange: DemoExchange) -> None:
        """`POST` to the collection, as JSON or as a form."""
        values = (await exchange.read_form()).last_values if exchange.has_form else await exchange.read(Values)
        if exchange.path("parent"):
            exchange.store.get(self.parent, exchange.path("parent"))
        await exchange.send_json(self.store(exchange, values, parent=exchange.path("parent")).value)

    async def send_list(self, exchange: DemoExchange) -> None:
        """`GET` of the collection, a page at a time; of one `purpose` if the query says so."""
        values = [one.value for one in exchange.store.all(self.object, exchange.path("parent"))]
        purpose = exchange.query("purpose")
        await send_page(exchange, [value for value in values if purpose in ("", value.get("purpose"))])

    async def show(self, exchange: DemoExchange) -> None:
        """`GET` of one."""
        await exchange.send_json(self.find(exchange).value)

    async def update(self, exchange: DemoExchange) -> None:
        """`POST` to one."""
        body = await exchange.read(Values)
        resource = self.find(exchange)
        self._known(body)
        changes = {name: body[name] for name in _UPDATABLE & self.fields.keys() & body.keys()}
        await exchange.send_json(exchange.store.update(resource, changes).value)

    async def delete(self, exchange: DemoExchange) -> None:
        """`DELETE` of one."""
        resource = self.find(exchange)
        exchange.store.delete(self.object, resource.id, resource.parent)
        await exchange.send_json({"id": resource.id, "object": f"{self.object}.deleted", "deleted": True})

    async def send_content(self, exchange: DemoExchange) -> None:
        """`GET` of the content of one."""
        await exchange.send_bytes(self.find(exchange).content, b"application/octet-stream")

    async def send_empty_list(self, exchange: DemoExchange) -> None:
        """`GET` or `POST` of a list that belongs to one and is always empty."""
        self.find(exchange)
        await send_page(exchange, [])

    async def set_status(self, exchange: DemoExchange) -> None:
        """`POST` to the `/cancel`, `/pause`, … of one."""
        action: str = exchange.scope["path"].rpartition("/")[2]
        await exchange.send_json(exchange.store.update(self.find(exchange), {"status": _STATUSES[action]}).value)


async def send_page(exchange: DemoExchange, oldest_first: Sequence[Values]) -> None:
    """Send a page of a list, newest first; `limit`, `order`, `after` and `before` come from the query."""
    limit = exchange.query("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_PAGE:
        raise _invalid("limit", f"'limit' takes a number from 1 to {_MAX_PAGE}.")
    values = list(oldest_first) if exchange.query("order") == "asc" else list(reversed(oldest_first))
    ids = [value["id"] for value in values]
    after, before = exchange.query("after"), exchange.query("before")
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(values)
    page = values[start:end][: int(limit)]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    await exchange.send_json({"object": "list", "data": page, **ends, "has_more": start + len(page) < end})


def _invalid(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_value")


_META: Final[Values] = {"metadata": {}}
_DONE: Final[Values] = {"status": "completed", "metadata": {}}
_FILE: Final[Values] = {"bytes": 0, "filename": "", "purpose": "", "status": "processed", "expires_at": None}
_UPLOAD: Final[Values] = {**_FILE, "mime_type": "", "status": "pending", "file": None}
_BATCH: Final[Values] = {"input_file_id": "", "endpoint": "", "completion_window": "24h", "output_file_id": None}
_STORE: Final[Values] = {"name": None, "expires_after": None, "usage_bytes": 0, "file_counts": {"total": 0}}
_VIDEO: Final[Values] = {"model": "demo-canvas", "prompt": "", "seconds": "4", "remixed_from_video_id": None}
_JOB: Final[Values] = {"model": "", "training_file": "", "result_files": (), "error": {}, "status": "succeeded"}
_ASSISTANT: Final[Values] = {"model": "", "tools": (), "name": None, "description": None, "instructions": None}
_MESSAGE: Final[Values] = {"thread_id": "", "role": "user", "content": (), "run_id": None, "attachments": ()}
_RUN: Final[Values] = {
    "thread_id": "",
    "assistant_id": "",
    "model": "demo-spark",
    "required_action": None,
    "usage": None,
}
_STEP: Final[Values] = {"thread_id": "", "run_id": "", "type": "message_creation", "step_details": {}}
_COUNTED: Final[Values] = {"usage_bytes": 0, "file_counts": {"total": 0}, "attributes": {}}
_READABLE: Final = "create list show"
_IN_STORE: Final = "/v1/vector_stores/{parent}/"
_IN_THREAD: Final = "/v1/threads/{parent}/"

FILE: Final = DemoKind("/v1/files", "file", "file-", _FILE, "", "list show delete")
UPLOAD: Final = DemoKind("/v1/uploads", "upload", "upload_", _UPLOAD, "", "create")
PART: Final = DemoKind("/v1/uploads/{parent}/parts", "upload.part", "part_", {"upload_id": ""}, "upload", "create")
BATCH: Final = DemoKind("/v1/batches", "batch", "batch_", {**_BATCH, **_DONE}, "", "create list show")
VECTOR_STORE: Final = DemoKind("/v1/vector_stores", "vector_store", "vs_", {**_STORE, **_DONE})
STORE_FILE: Final = DemoKind(
    _IN_STORE + "files", "vector_store.file", "file-", {**_COUNTED, **_DONE}, "vector_store", id_field="file_id"
)
FILE_BATCH: Final = DemoKind(
    _IN_STORE + "file_batches",
    "vector_store.files_batch",
    "vsfb_",
    {**_COUNTED, **_DONE},
    "vector_store",
    "create show",
)
VIDEO: Final = DemoKind("/v1/videos", "video", "video_", {**_VIDEO, **_DONE}, "", "create list show delete", _ANY)
JOB: Final = DemoKind("/v1/fine_tuning/jobs", "fine_tuning.job", "ftjob-", {**_META, **_JOB}, "", _READABLE, TEXT)
CONVERSATION: Final = DemoKind("/v1/conversations", "conversation", "conv_", _META, "", "show update delete")
ITEM: Final = DemoKind("/v1/conversations/{parent}/items", "conversation.item", "msg_", {}, "conversation", "list show")
ASSISTANT: Final = DemoKind("/v1/assistants", "assistant", "asst_", {**_ASSISTANT, **_META}, capabilities=TEXT)
THREAD: Final = DemoKind("/v1/threads", "thread", "thread_", _META, "", "create show update delete")
MESSAGE: Final = DemoKind(
    _IN_THREAD + "messages",
    "thread.message",
    "msg_",
    {**_MESSAGE, **_DONE},
    "thread",
    "list show update delete",
)
RUN: Final = DemoKind(_IN_THREAD + "runs", "thread.run", "run_", {**_RUN, **_DONE}, "thread", "list show update", TEXT)
STEP: Final = DemoKind(
    "/v1/threads/{thread}/runs/{parent}/steps",
    "thread.run.step",
    "step_",
    {**_STEP, **_DONE},
    "thread.run",
    "list show",
)


def add_file(exchange: DemoExchange, filename: str, data: bytes, purpose: str) -> DemoResource:
    """Store a file."""
    return FILE.store(exchange, {"bytes": len(data), "filename": filename, "purpose": purpose}, data)


async def create_file(exchange: DemoExchange) -> None:
    form = await exchange.read_form()
    file, purpose = form.file("file"), form.last_values.get("purpose")
    if not purpose:
        raise InvalidRequest("'purpose' is missing.", param="purpose", code="missing_required_parameter")
    await exchange.send_json(add_file(exchange, file.filename, file.data, purpose).value)


async def send_film(exchange: DemoExchange) -> None:
    """`GET /v1/videos/{id}/content`: an MP4 file without a picture, its type and an empty box of data."""
    VIDEO.find(exchange)
    film = struct.pack(">I4s4sI8s", 24, b"ftyp", b"isom", 512, b"isommp41") + struct.pack(">I4s", 8, b"mdat")
    await exchange.send_bytes(film, b"video/mp4")


async def remix_video(exchange: DemoExchange) -> None:
    body = await exchange.read(Values)
    source = VIDEO.find(exchange)
    values = {"model": source.value["model"], "prompt": body.get("prompt"), "remixed_from_video_id": source.id}
    await exchange.send_json(VIDEO.store(exchange, values).value)


class ItemPart(TypedPart, frozen=True):
    """The types of a part of an item's content."""

    text: str = ""
    image_url: str | None = None


class ItemTypes(msgspec.Struct, frozen=True):
    """The types of the fields of an item of a conversation or of a response's input."""

    type: str = "message"
    role: str = "user"
    content: str | list[ItemPart] = ""
    id: str = ""
    status: str | None = None


class ItemsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A new conversation, or new items of one."""

    items: list[Values] = []
    metadata: Values = {}


def items_of(exchange: DemoExchange, conversation_id: str) -> list[Values]:
    """The items of a conversation. Raises a 404."""
    exchange.store.get(CONVERSATION.object, conversation_id)
    return [item.value for item in exchange.store.all(ITEM.object, conversation_id)]


def add_items(exchange: DemoExchange, conversation_id: str, items: list[Values]) -> list[Values]:
    """Add items, each under an id of its own. Raises InvalidRequest for too many, and for fields of other types."""
    if len(items) > _MAX_AT_ONCE:
        raise _invalid("items", f"At most {_MAX_AT_ONCE} items at a time.")
    convert(items, list[ItemTypes])
    named = [{"type": "message", "status": "completed", **one, "id": f"msg_{secrets.token_hex(12)}"} for one in items]
    return [exchange.store.put(ITEM.object, one, parent=conversation_id).value for one in named]


async def create_conversation(exchange: DemoExchange) -> None:
    request = await exchange.read(ItemsRequest)
    conversation = CONVERSATION.store(exchange, {"metadata": request.metadata})
    add_items(exchange, conversation.id, request.items)
    await exchange.send_json(conversation.value)


async def create_items(exchange: DemoExchange) -> None:
    request = await exchange.read(ItemsRequest)
    conversation = exchange.store.get(CONVERSATION.object, exchange.path("parent"))
    added = add_items(exchange, conversation.id, request.items)
    await exchange.send_json({"object": "list", "data": added, "has_more": False})


async def delete_item(exchange: DemoExchange) -> None:
    """`DELETE /v1/conversations/{parent}/items/{id}`: the response is the conversation."""
    exchange.store.delete(ITEM.object, exchange.path("id"), exchange.path("parent"))
    await exchange.send_json(exchange.store.get(CONVERSATION.object, exchange.path("parent")).value)


class MessageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A new message of a thread."""

    role: Literal["user", "assistant"]
    content: str | list[Values]
    metadata: dict[str, str] = {}


def add_message(exchange: DemoExchange, thread_id: str, message: MessageRequest, run_id: str | None = None) -> Values:
    """Add a message to a thread; all its texts are one part."""
    content = [{"type": "text", "text": {"value": plain_text(message.content), "annotations": []}}]
    values = {"thread_id": thread_id, "role": message.role, "content": content, "run_id": run_id}
    return MESSAGE.store(exchange, {**values, "metadata": message.metadata}, parent=thread_id).value


async def create_message(exchange: DemoExchange) -> None:
    thread = exchange.store.get(THREAD.object, exchange.path("parent"))
    request = await exchange.read(MessageRequest)
    await exchange.send_json(add_message(exchange, thread.id, request))


async def create_run(exchange: DemoExchange) -> None:
    """A run that has ended, with the one step that it took."""
    values, thread = await exchange.read(Values), exchange.path("parent")
    if thread:
        exchange.store.get(THREAD.object, thread)
    run = RUN.store(exchange, {**values, "thread_id": thread}, parent=thread)
    STEP.store(exchange, {"thread_id": thread, "run_id": run.id}, parent=run.id)
    await exchange.send_json(run.value)


_KINDS: Final = (
    *(FILE, UPLOAD, PART, BATCH, VECTOR_STORE, STORE_FILE, FILE_BATCH, VIDEO, JOB),
    *(CONVERSATION, ITEM, ASSISTANT, THREAD, MESSAGE, RUN, STEP),
)
ROUTES: Final[DemoRoutes] = (
    *tuple(route for kind in _KINDS for route in kind.routes),
    ("POST", "/v1/files", create_file),
    ("GET", "/v1/files/{id}/content", FILE.send_content),
    ("POST", "/v1/uploads/{id}/complete", UPLOAD.set_status),
    ("POST", "/v1/uploads/{id}/cancel", UPLOAD.set_status),
    ("POST", "/v1/batches/{id}/cancel", BATCH.set_status),
    ("POST", "/v1/vector_stores/{id}/search", VECTOR_STORE.send_empty_list),
    ("GET", _IN_STORE + "files/{id}/content", STORE_FILE.send_empty_list),
    ("GET", _IN_STORE + "file_batches/{id}/files", FILE_BATCH.send_empty_list),
    ("POST", _IN_STORE + "file_batches/{id}/cancel", FILE_BATCH.set_status),
    ("GET", "/v1/videos/{id}/content", send_film),
    ("POST", "/v1/videos/{id}/remix", remix_video),
    ("POST", "/v1/fine_tuning/jobs/{id}/cancel", JOB.set_status),
    ("POST", "/v1/fine_tuning/jobs/{id}/pause", JOB.set_status),
    ("POST", "/v1/fine_tuning/jobs/{id}/resume", JOB.set_status),
    ("GET", "/v1/fine_tuning/jobs/{id}/events", JOB.send_empty_list),
    ("GET", "/v1/fine_tuning/jobs/{id}/checkpoints", JOB.send_empty_list),
    ("POST", "/v1/conversations", create_conversation),
    ("POST", "/v1/conversations/{parent}/items", create_items),
    ("DELETE", "/v1/conversations/{parent}/items/{id}", delete_item),
    ("POST", MESSAGE.path, create_message),
    ("POST", "/v1/threads/runs", create_run),
    ("POST", _IN_THREAD + "runs", create_run),
    ("POST", _IN_THREAD + "runs/{id}/cancel", RUN.set_status),
    ("POST", _IN_THREAD + "runs/{id}/submit_tool_outputs", RUN.set_status),
)
