"""Targets: an upstream model with its pool, its timeouts, and the builder of request heads to it.

Values and byte strings only: it opens no connection, and chooses and retries nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from proxy.config.presets import PRESETS, formats_of, habits_of
from proxy.config.presets.schemas import Preset
from proxy.config.tree import Format, Model, Upstream, split_target
from proxy.upstream.dial import origin_of, proxy_lines
from proxy.upstream.pool import Pool
from proxy.upstream.target_state import TargetState, TargetStates
from proxy.wire.headers import REQUEST_HEADERS

#: All families of formats.
FORMATS: Final[tuple[Format, ...]] = ("openai", "anthropic", "gemini")
USER_AGENT = "prometheus-gateway"
_JSON_LENGTH: Final = b"content-type: application/json\r\ncontent-length: "
_END: Final = b"\r\n\r\n"
#: What a client sees in place of a secret; shorter values are no secrets, and may be part of any word.
HIDDEN: Final = "***"
MIN_SECRET_CHARACTERS: Final = 8
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|key|apikey) +(.+)", re.IGNORECASE)
_VERSION: Final = re.compile(r"v?[0-9][0-9.-]*[a-z]*")
#: "{", which a path with a model's name has: a byte is found much faster than a word.
_BRACE: Final = 0x7B


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Target:
    """One upstream model that can serve an alias."""

    pool: Pool
    model: str
    #: A request's target up to the endpoint's path; and the rest of the request line, with the headers of each request.
    before_path: bytes
    after_path: bytes
    #: The families of formats that its upstream speaks.
    dialects: frozenset[str]
    #: Seconds to wait for the response's head, and for each further chunk of it.
    first_byte_timeout: float
    idle_timeout: float
    #: Whether `stream_options` may be added to streaming requests.
    takes_stream_options: bool = True
    #: Endpoint paths that are not below the base URL, with where they are from the host's root.
    moved_paths: Mapping[bytes, bytes] = field(default_factory=dict)
    #: Query parameters that every request has, encoded.
    query: bytes = b""
    #: Headers of the upstream's kind that a client may send too: (name and colon, line, whether the client's loses).
    single_headers: tuple[tuple[bytes, bytes, bool], ...] = ()
    #: Fields of a request that are not passed on: see `Preset.client_ids`.
    client_ids: frozenset[str] = frozenset()
    #: A request's target before a path from the host's root.
    origin: bytes = b""
    #: Fields of a body that choose further models at the upstream, and those inside of which some may be chosen.
    choosing: frozenset[str] = frozenset()
    choosing_in: frozenset[str] = frozenset()
    #: Secrets that the upstream is sent and may quote, each with what a client sees in its place.
    hidden: Mapping[str, str] = field(default_factory=dict)
    #: Which of its upstream's keys it has: 0 is the first one, or the only one.
    place: int = 0
    state: TargetState = field(default_factory=TargetState)
    #: It does not speak the dialect of the requests that it is for: they are translated.
    translates: bool = False

    def __repr__(self) -> str:
        """Name no secret: the ready-made head holds the credential, and a repr ends in logs and tracebacks."""
        return f"Target({self.label})"

    @property
    def label(self) -> str:
        """What the operator's log calls it; further keys of its upstream have a number."""
        name = f"{self.pool.name}/{self.model}"
        return name if not self.place else f"{name}#{self.place + 1}"

    @property
    def upstream(self) -> Upstream:
        return self.pool.upstream

    def head(
        self, path: bytes, forwarded: bytes, length: int = 0, content: bytes | None = None, method: bytes = b"POST "
    ) -> bytes:
        """The head of a request.

        `path` is below the base URL and may have a query, `forwarded` are the client's header lines. The body is JSON
        of `length` bytes, or else `content` are the header lines of its type and framing. `method` ends with a space.
        """
        if _BRACE in path:
            path = path.replace(b"{model}", quote(self.model, safe="").encode())
        before = self.before_path
        if self.moved_paths:
            bare, mark, query = path.partition(b"?")
            if bare in self.moved_paths:
                before, path = self.origin, self.moved_paths[bare] + mark + query
        if self.query:
            path += (b"&" if b"?" in path else b"?") + self.query
        for start, line, wins in self.single_headers:
            forwarded = _with_single(forwarded, start, line, wins)
        if content is not None:
            return b"".join((method, before, path, self.after_path, forwarded, content, b"\r\n"))
        # One join: formatting costs several times as much.
        parts = (method, before, path, self.after_path, forwarded, _JSON_LENGTH, str(length).encode(), _END)
        return b"".join(parts)


def compile_targets(
    target: str,
    pools: dict[str, Pool],
    alias: Model | None = None,
    states: TargetStates | None = None,
    alias_name: str = "",
) -> tuple[Target, ...]:
    """Bind "upstream/model" to its pool: one target for each of the upstream's keys and each way in which it takes
    dialects, all of one key with the same of the `states`.

    An alias's own settings win over those of the upstream.
    """
    upstream = pools[split_target(target)[0]].upstream
    ways: list[tuple[Preset, frozenset[str]]] = []
    for name in FORMATS:
        if name in formats_of(upstream):
            habits = habits_of(upstream, name)
            if ways and ways[-1][0] is habits:
                ways[-1] = (habits, ways[-1][1] | {name})
            else:
                ways.append((habits, frozenset({name})))
    made: list[Target] = []
    for place in range(len(upstream.credentials)):
        state = states.state(alias_name, target, place, upstream) if states is not None else TargetState()
        made += [_compile(target, pools, alias, habits, formats, place, state) for habits, formats in ways]
    return tuple(made)


def compile_target(target: str, pools: dict[str, Pool], alias: Model | None = None) -> Target:
    """The first of `compile_targets`."""
    return compile_targets(target, pools, alias)[0]


def _compile(
    target: str,
    pools: dict[str, Pool],
    alias: Model | None,
    habits: Preset,
    formats: frozenset[str],
    place: int,
    state: TargetState,
) -> Target:
    upstream_name, model = split_target(target)
    pool = pools[upstream_name]
    upstream = pool.upstream
    preset = PRESETS[upstream.kind]
    single = tuple(name for name in habits.headers if name.encode() in REQUEST_HEADERS)
    path = urlsplit(upstream.base_url).path.rstrip("/").replace("{model}", quote(model, safe=""))
    return Target(
        pool,
        model,
        origin_of(upstream) + path.encode(),
        _common_lines(upstream, habits, upstream.credentials[place], without=single),
        formats,
        _first_of(alias.first_byte_timeout if alias is not None else None, upstream.first_byte_timeout),
        _first_of(alias.idle_timeout if alias is not None else None, upstream.idle_timeout),
        preset.stream_options if upstream.stream_options is None else upstream.stream_options,
        {path.encode(): moved.encode() for path, moved in preset.paths.items()},
        urlencode(upstream.query).encode(),
        tuple(_single(upstream, habits, name) for name in single),
        preset.client_ids,
        origin_of(upstream),
        frozenset() if upstream.client_models else preset.choosing,
        frozenset() if upstream.client_models else preset.choosing_in,
        hidden_of(upstream),
        place,
        state,
    )


def hidden_of(upstream: Upstream) -> dict[str, str]:
    """The secrets that an upstream is sent and may quote in an error: credentials, values of headers and query
    parameters, ids in its address; each with what a client sees in its place.
    """
    segments = urlsplit(upstream.base_url).path.split("/")
    values = [*upstream.credentials, *upstream.query.values(), *upstream.headers.values()]
    values += [found[1] for value in values if (found := _SCHEME.fullmatch(value)) is not None]
    values += [segment for segment in segments if any(map(str.isdigit, segment))]
    return dict.fromkeys(_spelled(values), HIDDEN)


def _spelled(values: list[str]) -> Iterator[str]:
    """The secrets among some values, as they are and URL-encoded."""
    for value in values:
        if len(value) >= MIN_SECRET_CHARACTERS and _VERSION.fullmatch(value) is None:
            yield value
            yield quote_plus(value)


def _first_of(own: float | None, common: float) -> float:
    """An alias's own setting, where it has one."""
    return common if own is None else own


def models_request(upstream: Upstream, query: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """A GET of the upstream's list of models."""
    path = models_path(upstream.base_url)
    if parameters := urlencode({**query, **upstream.query}):
        path = f"{path}?{parameters}"
    key = upstream.credentials[0]
    return (
        b"GET " + origin_of(upstream) + path.encode() + _common_lines(upstream, PRESETS[upstream.kind], key) + b"\r\n"
    )


def models_path(base_url: str) -> str:
    """The path at which an upstream lists its models; that of a base URL with the model in it is cut there."""
    return urlsplit(base_url).path.partition("{model}")[0].rstrip("/") + "/models"


def _common_lines(upstream: Upstream, habits: Preset, key: str, without: tuple[str, ...] = ()) -> bytes:
    """The rest of the request line and the headers of every request to an upstream with this key, but for some.

    `habits` says how the credential is sent.
    """
    lines = [" HTTP/1.1", f"host: {urlsplit(upstream.base_url).netloc}", f"user-agent: {USER_AGENT}"]
    lines.append("accept-encoding: identity")
    if key:
        lines.append(f"{habits.auth_header}: {habits.auth_prefix}{key}")
    lines += [f"{name}: {value}" for name, value in _headers(upstream, habits).items() if name not in without]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + proxy_lines(upstream)


def _headers(upstream: Upstream, habits: Preset) -> dict[str, str]:
    """The headers of the upstream's kind, replaced by those of the configuration where both have one."""
    own = {name.lower(): value for name, value in upstream.headers.items()}
    return {**habits.headers, **own}


def _single(upstream: Upstream, habits: Preset, name: str) -> tuple[bytes, bytes, bool]:
    """A header that is sent once: the configuration's, else the client's, else that of the upstream's kind."""
    line = f"{name}: {_headers(upstream, habits)[name]}\r\n".encode("latin-1")
    return f"{name}: ".encode(), line, any(own.lower() == name for own in upstream.headers)


def _with_single(forwarded: bytes, start: bytes, line: bytes, wins: bool) -> bytes:
    if start not in forwarded:
        return forwarded + line
    lines = forwarded.splitlines(keepends=True)
    others = b"".join(one for one in lines if not one.startswith(start))
    if len(others) == len(forwarded):
        # It was found in another header's value.
        return forwarded + line
    return others + line if wins else forwarded
