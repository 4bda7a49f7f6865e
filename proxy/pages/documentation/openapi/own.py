"""Schemas of the gateway's own endpoints: models and health."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proxy.endpoints.health import HEALTH_PATH, LIVE_PATHS, READY_PATHS, STREAM_PATH
from proxy.endpoints.models import GOOGLE_PATH, MAX_PAGE
from proxy.pages.documentation.openapi.notation import (
    INTEGER,
    TEXT,
    VALUE,
    Schema,
    either,
    many,
    maybe,
    noted,
    ref,
    struct,
    within,
    words,
)


def schemas() -> dict[str, Schema]:
    """The schemas, by their names in the document."""
    return {
        "Model": struct(
            {
                "id": TEXT,
                "object": words("model"),
                "created": INTEGER,
                "owned_by": TEXT,
                "capability": TEXT,
                "formats": many(words("openai", "anthropic", "gemini")),
            },
            "An alias that the key may use.",
        ),
        "ModelList": struct({"object": words("list"), "data": many(ref("Model"))}),
        "Error": struct(
            {
                "error": struct(
                    {
                        "message": TEXT,
                        "type?": maybe(TEXT),
                        "param?": maybe(TEXT),
                        "code?": maybe(either(TEXT, INTEGER)),
                    }
                ),
                "request_id?": TEXT,
                "timestamp?": TEXT,
            },
            "An error. `request_id` and `timestamp` are there where the gateway wrote it.",
        ),
        "SentTick": struct({"data": noted(TEXT, "Its number, from 0.")}, "One of the stream's server-sent events."),
        "Alive": struct({"status": words("ok")}),
        "Readiness": struct(
            {
                "status": words("ok", "unavailable"),
                "reason?": TEXT,
                "reasons?": many(TEXT),
                "warnings?": many(TEXT),
            }
        ),
        "Health": struct(
            {
                "status": words("healthy", "degraded", "unhealthy"),
                "timestamp": TEXT,
                "version": TEXT,
                "services": struct(
                    {
                        "database": TEXT,
                        "redis": TEXT,
                        "providers": {"type": "object", "additionalProperties": VALUE},
                    }
                ),
            }
        ),
    }


#: One event of a stream that shows whether a proxy buffers.
TICK: Final[Schema] = {"$ref": "#/components/schemas/SentTick"}


class OwnRow(NamedTuple):
    """One endpoint that the gateway serves by itself; all are GET."""

    path: str
    name: str
    help: str
    #: Schema of the response's body by status; TICK is that of a stream of events.
    responses: Mapping[int, Schema]
    tag: str = "Health"
    has_key: bool = False
    query: Mapping[str, Schema] = {}


def _health() -> tuple[OwnRow, ...]:
    alive: dict[int, Schema] = {200: ref("Alive")}
    ready: dict[int, Schema] = {200: ref("Readiness"), 503: ref("Readiness")}
    return (
        *(OwnRow(path, f"live{at or ''}", "The process responds.", alive) for at, path in enumerate(LIVE_PATHS)),
        *(
            OwnRow(path, f"ready{at or ''}", "Whether new work is taken, and if not, why.", ready)
            for at, path in enumerate(READY_PATHS)
        ),
        OwnRow(HEALTH_PATH, "health", "The state of the gateway and its services in words.", {200: ref("Health")}),
        OwnRow(
            STREAM_PATH,
            "healthStream",
            "A second of events at even distances, which shows whether a proxy buffers.",
            {200: TICK, 503: ref("Error")},
        ),
    )


def own_rows() -> tuple[OwnRow, ...]:
    """The gateway's own endpoints."""
    shapes = either(ref("ModelList"), ref("AnthropicModelList"), ref("GeminiModelList"))
    one = either(ref("Model"), ref("AnthropicModel"), ref("GeminiModel"))
    fault = either(ref("Error"), ref("AnthropicError"), ref("GeminiError"))
    page = within(INTEGER, 1, MAX_PAGE)
    pages: Mapping[str, Schema] = {"limit": page, "after_id": TEXT, "before_id": TEXT}
    google_pages: Mapping[str, Schema] = {"pageSize": page, "pageToken": TEXT}
    refused: Mapping[int, Schema] = {400: fault, 401: fault}
    return (
        OwnRow(
            "/v1/models",
            "listModels",
            "List the aliases that the key may use, in the shape of the API that the caller speaks.",
            {200: shapes, **refused},
            "Models",
            True,
            pages,
        ),
        OwnRow(
            "/v1/models/{model}",
            "getModel",
            "Show one of them.",
            {200: one, **refused, 404: fault},
            "Models",
            True,
        ),
        OwnRow(
            GOOGLE_PATH,
            "listGeminiModels",
            "List the aliases that the key may use, in Gemini's shape.",
            {200: ref("GeminiModelList"), 400: ref("GeminiError"), 401: ref("GeminiError")},
            "Gemini",
            True,
            google_pages,
        ),
        OwnRow(
            f"{GOOGLE_PATH}/{{model}}",
            "getGeminiModel",
            "Show one of them, in Gemini's shape.",
            {200: ref("GeminiModel"), 400: ref("GeminiError"), 401: ref("GeminiError"), 404: ref("GeminiError")},
            "Gemini",
            True,
        ),
        *_health(),
    )


def own_parameters(row: OwnRow) -> list[dict[str, Any]]:
    """The query parameters of a row."""
    return [{"name": name, "in": "query", "schema": schema} for name, schema in row.query.items()]
