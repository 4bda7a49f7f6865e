"""Requests to the operations of the document, made of its own examples, and the objects that they name."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import httpx

from tests.spec.demo import wav

Json = dict[str, Any]
#: No further fields.
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
#: Names of ids, and of the model, in a path or an example.
_PLACE: Final = re.compile(r"\{(\w+)\}")
_JSON: Final = "application/json"
BATCH: Final = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"prometheus-core"}}\n'
_FILES: Final[Mapping[str, bytes]] = {
    "recording.wav": wav(0.1),
    "image.png": b"\x89PNG\r\n\x1a\n",
    "notes.txt": b"Retries are billed once.",
    "part": b"Retri",
    "batch.jsonl": BATCH,
}


@dataclass(frozen=True)
class Operation:
    """One operation of a document."""

    method: str
    path: str
    described: Json

    @property
    def name(self) -> str:
        """Its operationId."""
        return str(self.described["operationId"])

    @property
    def places(self) -> list[str]:
        """The names in its path."""
        return _PLACE.findall(self.path)

    @property
    def example(self) -> Json:
        """The body of its example; none of one without a body."""
        return next((content["example"] for content in self.bodies.values() if "example" in content), {})

    @property
    def named(self) -> list[str]:
        """The names in its path and its example."""
        return [*self.places, *_PLACE.findall(json.dumps(self.example))]

    @property
    def model(self) -> str:
        """An alias that may stand in its path."""
        (schema,) = (one["schema"] for one in self.described["parameters"] if one["name"] == "model")
        return str(schema.get("enum", ["prometheus-core"])[0])

    @property
    def bodies(self) -> Json:
        """The content of its request body by media type; none of one without a body."""
        content: Json = self.described.get("requestBody", {}).get("content", {})
        return content

    @property
    def statuses(self) -> list[int]:
        """Its documented statuses."""
        return [int(status) for status in self.described["responses"]]

    def fill(self, find: Callable[[str], str], more: Mapping[str, Any] = NOTHING) -> Json:
        """The arguments of a request by httpx: the path and the example with what `find` has for each name, and
        the fields `more` of the body."""
        request: Json = {"method": self.method, "url": _PLACE.sub(lambda match: find(match[1]), self.path)}
        if self.bodies:
            text = _PLACE.sub(lambda match: find(match[1]), json.dumps(self.example))
            body = {**json.loads(text), **more}
            request |= {"json": body} if _JSON in self.bodies else form_of(body)
        return request


def form_of(fields: Json) -> Json:
    """The arguments of a request whose body is a form; a name of a file is the file."""
    return {
        "data": {name: value for name, value in fields.items() if value not in _FILES},
        "files": {name: (value, _FILES[value]) for name, value in fields.items() if value in _FILES},
    }


def operations(document: Json) -> Iterator[Operation]:
    """All operations of a document."""
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            yield Operation(method.upper(), path, described)


class Made(NamedTuple):
    """How an object comes to be: the operation that makes it, further fields of its body, and where the id is."""

    by: str
    more: Mapping[str, Any] = NOTHING
    place: str = "id"


_MADE: Final[Mapping[str, Made]] = {
    "file_id": Made("createFile"),
    "batch_file_id": Made("createFile", {"file": "batch.jsonl", "purpose": "batch"}),
    "upload_id": Made("createUpload"),
    "part_id": Made("createUploadPart"),
    "batch_id": Made("createBatch"),
    "vector_store_id": Made("createVectorStore"),
    "store_file_id": Made("createVectorStoreFile"),
    "file_batch_id": Made("createFileBatch"),
    "assistant_id": Made("createAssistant"),
    "thread_id": Made("createThread"),
    "message_id": Made("createThreadMessage"),
    "run_id": Made("createRun"),
    "step_id": Made("listRunSteps", place="data.0.id"),
    "video_id": Made("createVideo"),
    "job_id": Made("createFineTuningJob"),
    "response_id": Made("createResponse", {"background": True}),
    "conversation_id": Made("createConversation"),
    "item_id": Made("createConversationItems", place="data.0.id"),
}


class Objects:
    """The objects that requests name, each made when it is asked for the first time, by the operation that makes it."""

    def __init__(self, client: httpx.Client, all_operations: Iterable[Operation]) -> None:
        self._client = client
        self._operations = {one.name: one for one in all_operations}
        self._ids: dict[str, str] = {}

    def ask(self, operation: Operation, more: Mapping[str, Any] = NOTHING) -> httpx.Response:
        """The response to the example of an operation, with `more` fields of its body."""
        return self._client.request(**self.request(operation, more))

    def request(self, operation: Operation, more: Mapping[str, Any] = NOTHING) -> Json:
        """The arguments of that request by httpx."""
        return operation.fill(partial(self.find, operation), more)

    def find(self, operation: Operation, name: str) -> str:
        """What a name in the requests to an operation stands for."""
        if name == "model":
            return operation.model
        if name == "file_id" and {name, "vector_store_id"} <= set(operation.places):
            name = "store_file_id"
        if name not in self._ids:
            made = _MADE[name]
            response = self.ask(self._operations[made.by], made.more)
            assert response.status_code == 200, (made.by, response.text)
            value = response.json()
            for step in made.place.split("."):
                value = value[int(step) if step.isdigit() else step]
            self._ids[name] = value
        return self._ids[name]
