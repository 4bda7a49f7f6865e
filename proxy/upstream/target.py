"""What an alias stands for once the configuration is compiled: targets with their pools and ready-made request heads.

Values and string building only; connections are the pool's, choosing and retrying is the relay's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from proxy.config.presets import PRESETS, formats_of, habits_of
from proxy.config.presets.preset import Preset
from proxy.config.tree import Format, Model, Upstream, split_target
from proxy.upstream.dial import origin_of, proxy_lines
from proxy.upstream.pool import Pool
from proxy.wire.headers import REQUEST_HEADERS

#: All families of formats.
FORMATS: Final[tuple[Format, ...]] = ("openai", "anthropic", "gemini")
USER_AGENT = "prometheus-gateway"
_JSON: Final = b"content-type: application/json\r\n"
_NO_LENGTH: Final = b"content-length: 0\r\n\r\n"
_END: Final = b"\r\n\r\n"
#: What is shown for a secret; shorter values are none, and would stand in many words.
HIDDEN: Final = "***"
LEAST_SECRET: Final = 8
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|key|apikey) +(.+)", re.IGNORECASE)
_VERSION: Final = re.compile(r"v?[0-9][0-9.-]*[a-z]*")
#: "{", which a path has that names a model: a byte is found much sooner than a word.
_BRACE: Final = 0x7B


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Target:
    """One upstream model that can serve an alias."""

    pool: Pool
    model: str
    #: The head of a request up to the target's path, and from behind it on.
    before_path: bytes
    after_path: bytes
    #: The families of formats that its upstream speaks.
    dialects: frozenset[str]
    #: Seconds that the answer's first byte, and each further piece of it, may take.
    first_byte_timeout: float
    idle_timeout: float
    #: Whether `stream_options` may be added to streaming requests.
    takes_stream_options: bool = True
    #: Paths that are not below the base URL: as they are elsewhere -> from the host's root.
    moved_paths: Mapping[bytes, bytes] = field(default_factory=dict)
    #: Query parameters that every request has, encoded.
    query: bytes = b""
    #: Headers of the kind that a client may send too: (start of the line, the line, whether it beats the client's).
    single: tuple[tuple[bytes, bytes, bool], ...] = ()
    #: Fields of a request that are not passed on: see `Preset.client_ids`.
    client_ids: frozenset[str] = frozenset()
    #: What stands before a path from the host's root.
    origin: bytes = b""
    #: Fields of a body that choose further models at the upstream, and those inside of which some may be chosen.
    choosing: frozenset[str] = frozenset()
    choosing_in: frozenset[str] = frozenset()
    #: What its upstream is sent and may quote, and what a client is shown for it.
    hidden: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Name no secret: the ready-made head holds the credential, and a repr ends in logs and tracebacks."""
        return f"Target({self.pool.name}/{self.model})"

    def form_head(self, path: bytes, forwarded: bytes, lines: bytes) -> bytes:
        """The same for a body that is no JSON: `lines` are the header lines of its content type and framing."""
        head = self.head(path, forwarded, 0).replace(_JSON, b"", 1)
        return head.removesuffix(_NO_LENGTH) + lines + b"\r\n"

    @property
    def label(self) -> str:
        """What the operator's log calls it."""
        return f"{self.pool.name}/{self.model}"

    @property
    def upstream(self) -> Upstream:
        return self.pool.upstream

    def head(self, path: bytes, forwarded: bytes, length: int) -> bytes:
        """The request head for a POST of `length` bytes; `path` is below the base URL, `forwarded` are header lines."""
        if _BRACE in path:
            path = path.replace(b"{model}", quote(self.model, safe="").encode())
        before = self.before_path
        if self.moved_paths:
            bare, mark, query = path.partition(b"?")
            if bare in self.moved_paths:
                before, path = self.origin, self.moved_paths[bare] + mark + query
        if self.query:
            path += (b"&" if b"?" in path else b"?") + self.query
        for start, line, wins in self.single:
            forwarded = _with_single(forwarded, start, line, wins)
        # One join: formatting costs several times as much.
        parts = (b"POST ", before, path, self.after_path, forwarded, b"content-length: ", str(length).encode(), _END)
        return b"".join(parts)


def compile_targets(target: str, pools: dict[str, Pool], alias: Model | None = None) -> tuple[Target, ...]:
    """Bind "upstream/model" to its pool, once for each way in which its formats are asked for; an alias's own settings
    go before those of the upstream."""
    upstream = pools[split_target(target)[0]].upstream
    ways: list[tuple[Preset, frozenset[str]]] = []
    for name in FORMATS:
        if name in formats_of(upstream):
            habits = habits_of(upstream, name)
            if ways and ways[-1][0] is habits:
                ways[-1] = (habits, ways[-1][1] | {name})
            else:
                ways.append((habits, frozenset({name})))
    return tuple(_compile(target, pools, alias, habits, formats) for habits, formats in ways)


def compile_target(target: str, pools: dict[str, Pool], alias: Model | None = None) -> Target:
    """The first of `compile_targets`."""
    return compile_targets(target, pools, alias)[0]


def _compile(
    target: str, pools: dict[str, Pool], alias: Model | None, habits: Preset, formats: frozenset[str]
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
        head_lines(upstream, habits, without=single),
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
    )


def hidden_of(upstream: Upstream) -> dict[str, str]:
    """What an upstream is sent that no client may read in its words: credentials, the values of headers and queries,
    and ids in the address. For each what is shown for it.
    """
    segments = urlsplit(upstream.base_url).path.split("/")
    values = [upstream.api_key, *upstream.query.values(), *upstream.headers.values()]
    values += [found[1] for value in values if (found := _SCHEME.fullmatch(value)) is not None]
    values += [segment for segment in segments if any(map(str.isdigit, segment))]
    return dict.fromkeys(_spelled(values), HIDDEN)


def _spelled(values: list[str]) -> Iterator[str]:
    """The secrets among some values, also as they stand in an address."""
    for value in values:
        if len(value) >= LEAST_SECRET and _VERSION.fullmatch(value) is None:
            yield value
            yield quote_plus(value)


def _first_of(own: float | None, common: float) -> float:
    """An alias's own setting, where it has one."""
    return common if own is None else own


def head_lines(upstream: Upstream, habits: Preset | None = None, without: tuple[str, ...] = ()) -> bytes:
    """The rest of the request line and the headers that every request to an upstream has, but for some.

    `habits` says how the credential is sent; the upstream's kind where it is left out.
    """
    habits = habits or PRESETS[upstream.kind]
    lines = [" HTTP/1.1", f"host: {urlsplit(upstream.base_url).netloc}", f"user-agent: {USER_AGENT}"]
    lines += ["accept-encoding: identity", "content-type: application/json"]
    if upstream.api_key:
        lines.append(f"{habits.auth_header}: {habits.auth_prefix}{upstream.api_key}")
    lines += [f"{name}: {value}" for name, value in _headers(upstream, habits).items() if name not in without]
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + proxy_lines(upstream)


def _headers(upstream: Upstream, habits: Preset) -> dict[str, str]:
    """The headers of the kind or the format, and over them those of the configuration."""
    own = {name.lower(): value for name, value in upstream.headers.items()}
    return {**habits.headers, **own}


def _single(upstream: Upstream, habits: Preset, name: str) -> tuple[bytes, bytes, bool]:
    """A header of the kind that stands in a request once: the configuration's, else the client's, else the kind's."""
    line = f"{name}: {_headers(upstream, habits)[name]}\r\n".encode("latin-1")
    return f"{name}: ".encode(), line, any(own.lower() == name for own in upstream.headers)


def _with_single(forwarded: bytes, start: bytes, line: bytes, wins: bool) -> bytes:
    if start not in forwarded:
        return forwarded + line
    lines = forwarded.splitlines(keepends=True)
    others = b"".join(one for one in lines if not one.startswith(start))
    if len(others) == len(forwarded):
        # What was found stood in a value.
        return forwarded + line
    return others + line if wins else forwarded
