"""The `x-prism-*` request headers and their `x-agentcc-*` twins, parsed: bytes in, values out.

Sessions, metadata and trace ids are labels for reports: never trusted for rights, never sent upstream, but for the
trace of a `traceparent`. What is parsed
here is acted on elsewhere, or stored. docs/headers.md lists the names, forms and bounds.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from proxy.errors import InvalidRequest
from proxy.wire.headers import Header
from proxy.wire.trace_context import TraceParent, parse_traceparent

#: Both spellings of a name; the first one wins.
PREFIX: Final = b"x-prism-"
TWIN_PREFIX: Final = b"x-agentcc-"
MAX_SESSION_CHARACTERS: Final = 255
MAX_LABEL_CHARACTERS: Final = 128
MAX_SESSION_PATH_CHARACTERS: Final = 1_024
MAX_METADATA_BYTES: Final = 8_192
MAX_METADATA_KEYS: Final = 64
MAX_METADATA_KEY_CHARACTERS: Final = 64
MAX_METADATA_VALUE_CHARACTERS: Final = 512
MAX_CONFIG_BYTES: Final = 8_192
#: Warning lines of one response, and characters of a header's name in one: what clients and proxies read of a response
#: head is bounded.
MAX_WARNINGS: Final = 4
MAX_WARNED_CHARACTERS: Final = 100
#: Metadata keys with these prefixes are dropped: other gateways keep their own state under them.
RESERVED_PREFIXES: Final = (
    *("auth_", "key_", "org_", "budget_", "ratelimit_", "cost", "cache_", "guardrail_", "credit_"),
    *("authorization", "client_ip", "timeout_ms"),
)
#: Headers by which coding agents and other clients name their session: Claude Code, Codex, OpenCode and others.
_SESSION_HEADERS: Final = (
    *(b"x-claude-code-session-id", b"session_id", b"session-id", b"x-session-id", b"x-session-affinity"),
    *(b"conversation_id", b"x-conversation-id"),
)
_PLAIN: Final = frozenset({b"cache-control", b"traceparent", b"x-guardrail-policy", *_SESSION_HEADERS})
_SECONDS_IN: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|s|m|h|d))+")
_DURATION_PART: Final = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
# What databases and UTF-8 do not take: NUL, and the halves of a pair of surrogates.
_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
_TRACE_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Session:
    """The client's session that a request belongs to."""

    id: str = ""
    name: str = ""
    #: The step of a workflow, such as `/research/summarize`.
    path: str = ""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How a request wants the response cache to treat it."""

    #: Seconds; None where the client does not say.
    ttl: float | None = None
    force_refresh: bool = False
    namespace: str = ""
    #: The directives of `Cache-Control`, in lower case.
    directives: frozenset[str] = frozenset()


_NO_SESSION: Final = Session()
_NO_CACHE_OPTIONS: Final = CacheOptions()


@dataclass(frozen=True, slots=True)
class PrismHeaders:
    """What a request's head says in these headers."""

    session: Session = _NO_SESSION
    cache: CacheOptions = _NO_CACHE_OPTIONS
    #: (key, value), each key once.
    metadata: tuple[tuple[str, str], ...] = ()
    #: The client's trace id, or that of its `traceparent`; empty for none.
    trace_id: str = ""
    #: The client's span, which the gateway's continues; None for none.
    trace: TraceParent | None = None
    #: The client's own id of the request; the gateway's stays unique.
    client_request_id: str = ""
    user_id: str = ""
    #: The session that a client names by a header of its own; for routing alone.
    client_session: str = ""
    #: Seconds that the client waits; infinity where it does not say.
    timeout: float = math.inf
    provider_lock: str = ""
    #: A JSON object, not parsed.
    config: bytes = b""
    guardrail_policy: str = ""
    #: The response is to be made as a job.
    is_async: bool = False
    #: The request had an `x-prism-*` or an `x-agentcc-*` header at all.
    has_own: bool = False
    #: A stream is to say what it has cost, in a comment before its last event.
    include_metadata: bool = False
    #: The request had an `x-agentcc-*` header, so that its response has them too.
    has_twins: bool = False
    #: Response header lines that say what was ignored.
    warnings: bytes = b""
    #: Message, code and header of the 400 that the headers earn; None for none.
    fault: tuple[str, str, str] | None = None

    def check(self) -> None:
        """Raise `InvalidRequest` for a header that is refused; the error names it."""
        if self.fault is not None:
            message, code, name = self.fault
            raise InvalidRequest(message, code=code, param=name)


#: Of a request without such headers, as nearly all are.
NO_PRISM_HEADERS: Final = PrismHeaders()


def read_prism_headers(headers: Iterable[Header]) -> PrismHeaders:
    """Parse the headers of a request head (names in lower case). Raises nothing: see `PrismHeaders.check`."""
    values: dict[str, tuple[str, bytes]] = {}
    twins: dict[str, tuple[str, bytes]] = {}
    plain: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(PREFIX):
            values.setdefault(name[len(PREFIX) :].decode("latin-1"), (name.decode("latin-1"), value))
        elif name.startswith(TWIN_PREFIX):
            twins.setdefault(name[len(TWIN_PREFIX) :].decode("latin-1"), (name.decode("latin-1"), value))
        elif name in _PLAIN:
            plain.setdefault(name, value)
    if not values and not twins and not plain:
        return NO_PRISM_HEADERS
    reader = _Reader({**twins, **values})
    try:
        return reader.read(plain, bool(twins))
    except InvalidRequest as error:
        fault = (error.message, error.code or "", error.param or "")
        return PrismHeaders(trace_id=reader.trace_id(plain), has_own=True, has_twins=bool(twins), fault=fault)


class _Reader:
    """Reads the values of one head; each is (the header's full name, its value)."""

    def __init__(self, values: Mapping[str, tuple[str, bytes]]) -> None:
        self._values = values
        self._dropped: dict[str, int] = {}

    def read(self, plain: Mapping[bytes, bytes], has_twins: bool) -> PrismHeaders:
        """All values. Raises `InvalidRequest` for the first that is refused."""
        session, cache = _NO_SESSION, _NO_CACHE_OPTIONS
        if not self._values.keys().isdisjoint(("session-id", "session-name", "session-path")):
            session = Session(
                self._text("session-id", MAX_SESSION_CHARACTERS),
                self._text("session-name", MAX_SESSION_CHARACTERS),
                self._text("session-path", MAX_SESSION_PATH_CHARACTERS),
            )
        ttl = self._duration("cache-ttl", 1.0)
        namespace = self._text("cache-namespace", MAX_LABEL_CHARACTERS)
        directives = _directives(plain.get(b"cache-control", b""))
        force_refresh = self._flag("cache-force-refresh")
        if ttl is not None or namespace or directives or force_refresh:
            cache = CacheOptions(ttl, force_refresh, namespace, directives)
        policy = self._text("guardrail-policy", MAX_LABEL_CHARACTERS)
        return PrismHeaders(
            session=session,
            cache=cache,
            metadata=self._metadata(),
            trace_id=self.trace_id(plain),
            trace=parse_traceparent(plain.get(b"traceparent", b"")),
            client_request_id=self._text("request-id", MAX_LABEL_CHARACTERS),
            user_id=self._text("user-id", MAX_LABEL_CHARACTERS),
            client_session=_client_session(plain),
            timeout=self._timeout(),
            provider_lock=self._text("provider-lock", MAX_LABEL_CHARACTERS),
            config=self._config(),
            guardrail_policy=policy or _printable(plain.get(b"x-guardrail-policy", b""))[:MAX_LABEL_CHARACTERS],
            is_async=self._flag("async"),
            has_own=bool(self._values),
            include_metadata=self._flag("include-metadata"),
            has_twins=has_twins,
            warnings=self._warnings(),
        )

    def trace_id(self, plain: Mapping[bytes, bytes]) -> str:
        """The client's trace id; one that may not stand in a header is none."""
        value = self._values.get("trace-id", ("", b""))[1]
        if _TRACE_ID.fullmatch(value) is not None:
            return value.decode("ascii")
        trace = parse_traceparent(plain.get(b"traceparent", b""))
        return trace.trace_id if trace is not None else ""

    def _text(self, name: str, limit: int) -> str:
        full, value = self._values.get(name, ("", b""))
        text = _printable(value)
        if value and not text:
            raise InvalidRequest(f"The header '{full}' holds characters that are not visible.", param=full)
        if len(text) > limit:
            message = f"The header '{full}' is longer than {limit} characters."
            if name == "session-id":
                raise InvalidRequest(message, code="session_id_too_long", param=full)
            raise InvalidRequest(message, code="header_too_long", param=full)
        return text

    def _flag(self, name: str) -> bool:
        return self._values.get(name, ("", b""))[1].lower() in (b"true", b"1")

    def _duration(self, name: str, unit: float) -> float | None:
        """Seconds; `unit` is what a plain number counts, in seconds."""
        full, value = self._values.get(name, ("", b""))
        if not full:
            return None
        text = value.decode("latin-1")
        if _NUMBER.fullmatch(text) is not None:
            return float(text) * unit
        if _DURATION.fullmatch(text) is None:
            plain = "seconds" if unit == 1.0 else "milliseconds"
            raise InvalidRequest(
                f"The header '{full}' must be a number of {plain} or a duration such as 90s, 5m or 1h30m.", param=full
            )
        return sum([float(number) * _SECONDS_IN[kind] for number, kind in _DURATION_PART.findall(text)])

    def _timeout(self) -> float:
        """The smaller of both timeouts, in seconds."""
        smallest = math.inf
        for name in ("request-timeout", "timeout"):
            seconds = self._duration(name, 0.001)
            if seconds is None:
                continue
            if not seconds:
                full = self._values[name][0]
                raise InvalidRequest(f"The header '{full}' must be above 0.", param=full)
            smallest = min(smallest, seconds)
        return smallest

    def _config(self) -> bytes:
        full, value = self._values.get("config", ("", b""))
        if len(value) > MAX_CONFIG_BYTES:
            raise InvalidRequest(
                f"The header '{full}' is longer than {MAX_CONFIG_BYTES} bytes.", code="header_too_long", param=full
            )
        return value

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """All metadata; what is malformed or out of bounds is dropped and counted, not refused."""
        found: dict[str, str] = {}
        full, value = self._values.get("metadata", ("", b""))
        if value:
            entries = _entries(value) if len(value) <= MAX_METADATA_BYTES else None
            if entries is None:
                self._drop(full)
            else:
                for key, one in entries:
                    self._add(found, full, key, one)
        for name, (full, value) in self._values.items():
            for prefix in ("metadata-", "property-"):
                if name.startswith(prefix):
                    self._add(found, full, name.removeprefix(prefix), _printable(value))
        return tuple(found.items())

    def _add(self, found: dict[str, str], full: str, key: str, value: str) -> None:
        fits = 0 < len(key) <= MAX_METADATA_KEY_CHARACTERS and len(value) <= MAX_METADATA_VALUE_CHARACTERS
        if (
            not fits
            or not key.isprintable()
            or _UNSTORABLE.search(value) is not None
            or key.startswith(RESERVED_PREFIXES)
            or (key not in found and len(found) >= MAX_METADATA_KEYS)
        ):
            self._drop(full)
            return
        found[key] = value

    def _drop(self, full: str) -> None:
        self._dropped[full] = self._dropped.get(full, 0) + 1

    def _warnings(self) -> bytes:
        """The lines that name the headers of which something was dropped; the last one may stand for several."""
        dropped = list(self._dropped.items())
        shown, rest = dropped[:MAX_WARNINGS], dropped[MAX_WARNINGS:]
        lines = [_warning(name[:MAX_WARNED_CHARACTERS], count) for name, count in shown]
        if rest:
            lines[-1] = _warning(f"{len(rest) + 1} headers", shown[-1][1] + sum([count for _, count in rest]))
        return b"".join(lines)


def _entries(value: bytes) -> list[tuple[str, str]] | None:
    """The keys and values of a metadata header: a JSON object, or `key=value` pairs; None where it is neither."""
    if value.startswith(b"{"):
        try:
            fields = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return [(key, _as_text(one)) for key, one in fields.items()]
    found: list[tuple[str, str]] = []
    for pair in re.split(r"[,;]", _printable(value)):
        key, mark, text = pair.partition("=")
        if not mark:
            return None
        found.append((unquote(key.strip()), unquote(text.strip())))
    return found


def _as_text(value: object) -> str:
    """A value of a JSON object as text: strings as they are, all else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _printable(value: bytes) -> str:
    """A header's value as text; empty where it is not UTF-8 or has characters that are not visible."""
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _client_session(plain: Mapping[bytes, bytes]) -> str:
    """The first session that a client names by a header of its own; what is not printable, or too long, is none."""
    for name in _SESSION_HEADERS:
        value = plain.get(name, b"")
        if value and len(value) <= MAX_SESSION_CHARACTERS and (text := _printable(value)):
            return text
    return ""


def _directives(value: bytes) -> frozenset[str]:
    """The directives of a `Cache-Control` header, in lower case and without blanks."""
    if not value or len(value) > MAX_CONFIG_BYTES:
        return frozenset()
    parts = value.decode("latin-1").lower().split(",")
    return frozenset([part.strip() for part in parts if part.strip()])


def _warning(name: str, count: int) -> bytes:
    entries = "1 entry" if count == 1 else f"{count} entries"
    return f"X-Prism-Warning: {name}: ignored {entries}, see the documentation of request headers\r\n".encode("latin-1")
