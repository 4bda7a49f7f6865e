"""The errors of the gateway: one small tree with status, type, code and fault.

This file knows no dialect and no library: how an error looks on the wire is decided in `dialects`, and foreign
exceptions are mapped to these where the foreign library is called, and only there.
"""

from collections.abc import Mapping
from typing import Literal

Fault = Literal["client", "gateway", "upstream"]


class GatewayError(Exception):
    """A request that ends without the response it asked for.

    `status` is the HTTP status, `type` and `code` are OpenAI's (https://platform.openai.com/docs/guides/error-codes),
    `fault` says whose it is, and `headers` are added to the response. The client gets the message: it must name no
    upstream, host, model id or key.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    fault: Fault = "gateway"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers: Mapping[str, str] = headers or {}
        if status is not None:
            self.status = status
        if type is not None:
            self.type = type
        if code is not None:
            self.code = code

    @property
    def logged(self) -> str:
        """What the log says of it: the message, unless that has words of a provider's."""
        return self.message


class InvalidRequest(GatewayError):
    """The request cannot be served as it is; the message says how to mend it."""

    status = 400
    type = "invalid_request_error"
    code: str | None = "invalid_request"
    fault: Fault = "client"


class AuthenticationFailed(InvalidRequest):
    """No key, or one that is unknown, expired or revoked: the three look the same from outside."""

    status = 401
    code = "invalid_api_key"


class UnknownKey(AuthenticationFailed):
    """There is a key, and the gateway does not know it: it may have been made a moment ago."""


class ModelNotFound(InvalidRequest):
    """The alias does not exist, or the key has no right to it: the two look the same from outside."""

    status = 404
    code = "model_not_found"


class BodyTooLarge(InvalidRequest):
    """The request body passes its cap."""

    status = 413
    code = "request_too_large"


class ClientGone(GatewayError):
    """The client left, and reads no response. 499 is what nginx logs for it."""

    status = 499
    type = "invalid_request_error"
    code = "client_closed"
    fault: Fault = "client"


class Overloaded(GatewayError):
    """The gateway refuses new work for now: no place in a pool, no room in the store."""

    status = 503
    type = "service_unavailable_error"
    code = "server_is_overloaded"


class RateLimited(GatewayError):
    """A limit of requests or tokens is reached. `type` is the unit, as OpenAI has it: `requests` or `tokens`.

    `headers` should have `retry-after`, in seconds, and `retry-after-ms`.
    """

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    fault: Fault = "client"


class BudgetExceeded(GatewayError):
    """The money of a budget is spent: clients need not try again before its window ends."""

    status = 429
    type = "budget_exceeded"
    code = "rate_limit_exceeded"
    fault: Fault = "client"

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, headers={"x-should-retry": "false", **(headers or {})})


class GuardrailBlocked(GatewayError):
    """A guardrail refuses the request, or ends the response."""

    status = 403
    type = "guardrail_triggered"
    code = "forbidden"
    fault: Fault = "client"


class GatewayStopped(GatewayError):
    """The gateway goes down, and the request has had the time that it may still take."""

    status = 503
    type = "service_unavailable_error"
    code = "gateway_shutdown"

    def __init__(self) -> None:
        super().__init__("The gateway is restarting. Try again.")


class UpstreamFailed(GatewayError):
    """The upstream could not be reached, broke the protocol or sent nothing that can be passed on.

    `detail` is for the operator's log only and never reaches a client.
    """

    status = 502
    type = "provider_error"
    code = "upstream_error"
    fault: Fault = "upstream"

    def __init__(self, message: str, *, detail: str = "", status: int | None = None, code: str | None = None) -> None:
        super().__init__(message, status=status, code=code)
        self.detail = detail


class UpstreamRefused(UpstreamFailed):
    """The upstream responded with an error of a status that is kept, in a shape that is not the caller's.

    `quotes` says that the message has the provider's words, which belong to the client and not into the log.
    """

    def __init__(self, status: int, message: str, *, code: str, param: str | None, quotes: bool) -> None:
        usual = _REFUSED_CODES.get(status) or ("upstream_error" if status >= 500 else "invalid_request")
        super().__init__(message, status=status, code=code or usual, detail=f"status {status}")
        self.param = param
        self.quotes = quotes
        if status == 429:
            self.type = "rate_limit_error"
        elif status < 500:
            self.type = "invalid_request_error"


#: The codes of an upstream's errors that say none, by their status.
_REFUSED_CODES = {404: "not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}


class ListTooLong(UpstreamFailed):
    """An upstream's list in which the key's own objects were not found within the pages that are read."""

    status = 503
    type = "service_unavailable_error"
    code = "list_too_long"


class InternalFault(UpstreamFailed):
    """A fault of the gateway's own while it read a response or passed it on; the log has what was raised.

    Where nothing has reached the client another target may still do.
    """

    status = 500
    type = "server_error"
    code = "internal_error"
    fault: Fault = "gateway"

    def __init__(self) -> None:
        super().__init__("The gateway failed. Try again; if it goes on, tell its operator.", detail="internal fault")


class UpstreamConnectFailed(UpstreamFailed):
    """No connection came up: refused, unknown host, TLS not agreed. Nothing was sent, so a retry is always safe."""

    code = "upstream_connect_failed"


class NoDescriptor(UpstreamFailed):
    """No connection came up because this process may open no more: no fault of the upstream's, and none it can mend."""

    status = 503
    type = "service_unavailable_error"
    code = "server_is_overloaded"
    fault: Fault = "gateway"

    def __init__(self, detail: str) -> None:
        super().__init__("The gateway is overloaded. Try again shortly.", detail=detail)
        self.headers = {"retry-after": "1"}


class UpstreamDropped(UpstreamFailed):
    """The upstream closed the connection before its response ended.

    `reused` says that the connection had served before and that not one byte of this response came: the race with an
    upstream that closes an idle connection, which one fresh connection mends.
    """

    code = "upstream_dropped"
    reused = False


class UpstreamTimeout(UpstreamFailed):
    """A deadline passed: connecting, the first byte, the wait between two bytes, or the whole response.

    `early` says that it was the client's patience, the request's own time or the gateway's own room that ended, before
    the upstream had the time that it may take: that does not count against it.
    """

    status = 504
    code = "upstream_timeout"
    early = False
    #: That it was the client's patience: it has left, as far as the bill is concerned.
    impatient = False


class UpstreamProtocolError(UpstreamFailed):
    """What the upstream sent is no valid HTTP response, or passes a bound.

    `before` is what of the same read was good, as the client is to get it.
    """

    code = "upstream_protocol_error"
    before = b""


class UpstreamReported(UpstreamProtocolError):
    """A good status, and a response that is an error itself.

    `said` are the provider's words, scrubbed: they are for the client, and not for the log.
    """

    def __init__(self, said: str, detail: str = "error in the answer") -> None:
        message = "The model's provider reported an error"
        super().__init__(f"{message}: {said}" if said else f"{message}.", detail=detail)

    @property
    def logged(self) -> str:
        return "The model's provider reported an error."


class ConfigFault(GatewayError):
    """A configuration that cannot be used; the message lists every fault found in one run."""

    code = "invalid_config"


class StoreFailed(GatewayError):
    """The journal or the database cannot be written or read."""

    status = 503
    type = "service_unavailable_error"
    code = "store_unavailable"
