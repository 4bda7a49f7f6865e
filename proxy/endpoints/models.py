"""`GET /v1/models` and `GET /v1/models/{model}`: the aliases that the key may use, in OpenAI's list shape."""

import time
from urllib.parse import unquote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from proxy.endpoints.credentials import authenticate
from proxy.endpoints.gateway import Shared
from proxy.policies.rights import may_use, not_found

OWNER = "prometheus"


class Models:
    """Answers from the compiled configuration."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def all(self, request: Request) -> Response:
        """All of them."""
        visible = self._visible(request)
        return json_response(request, {"object": "list", "data": [self._model(name) for name in visible]})

    async def retrieve(self, request: Request) -> Response:
        """One; one that the key may not use is not found."""
        visible = self._visible(request)
        name = unquote(request.path_params["model"])
        if name not in visible:
            raise not_found(name, visible)
        return json_response(request, self._model(name))

    def _visible(self, request: Request) -> list[str]:
        key = authenticate(request.scope["headers"], self._shared.keys, time.time())
        # For the access line.
        request.scope["state"]["key"] = key.name
        return [name for name in self._shared.aliases if may_use(key, name)]

    def _model(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._shared.created, "owned_by": OWNER}


def json_response(request: Request, value: object, status: int = 200) -> Response:
    """A small JSON answer, with the request's id."""
    headers = {"x-request-id": request.scope["state"]["request_id"]}
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
