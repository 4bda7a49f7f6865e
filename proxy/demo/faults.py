"""The errors of the demo provider: what `demo:error=STATUS` answers, and OpenAI's shape of an error body.

Pure. The texts name the upstream model on purpose, as providers do: a gateway that passes them on is leaking.
"""

from typing import Any

from proxy.errors import GatewayError


def failure(status: int, model: str) -> GatewayError:
    """The error that OpenAI would give with this status."""
    message, kind, code = _described(status, model)
    headers = {"retry-after": "1"} if status in (429, 503) else {}
    error = GatewayError(message, status=status, type=kind, headers=headers)
    error.code = code
    return error


def error_body(error: GatewayError) -> dict[str, Any]:
    """The body of an error, and the payload of an error event."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def _described(status: int, model: str) -> tuple[str, str, str | None]:
    match status:
        case 401:
            return f"Incorrect API key provided for `{model}`.", "invalid_request_error", "invalid_api_key"
        case 404:
            message = f"The model `{model}` does not exist or you do not have access to it."
            return message, "invalid_request_error", "model_not_found"
        case 429:
            message = (
                f"Rate limit reached for {model} in organization org-demo on requests per min (RPM): "
                "Limit 3, Used 3, Requested 1. Please try again in 1s."
            )
            return message, "requests", "rate_limit_exceeded"
        case 503:
            message = f"The model {model} is overloaded. Please try again later."
            return message, "service_unavailable_error", "server_is_overloaded"
    if status < 500:
        return f"Demo error {status} for the model `{model}`.", "invalid_request_error", None
    return f"The server had an error while running {model} (demo error {status}).", "server_error", None
