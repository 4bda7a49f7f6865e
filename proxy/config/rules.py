"""Validation rules for values beyond their types: addresses, headers, names and prices.

Pure. Each rule takes a value and yields its violations as (message, hint). None quotes a value that may be a secret.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from proxy.config.tree import Capability
from proxy.wire.usage import STANDARD_TIERS

#: A message and a hint.
Violation = tuple[str, str]

#: A token of the admin API that is written by people must not be guessed.
MIN_ADMIN_TOKEN_CHARACTERS = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
# Of Linux and macOS, without the null byte at the end.
_MAX_SOCKET_BYTES = 103
#: Keys of one upstream.
MAX_KEYS = 64
_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]+)?")

#: Headers of the connection or of the body of one request, which the upstream client writes itself.
_TRANSPORT_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)

_CHAT_PRICES = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "web_search",
    "tool_call",
    "advisor_input",
    "advisor_output",
    "tiers",
)
#: The prices that an alias may have, by its capability. Of two sets it may have one.
PRICE_KINDS: Mapping[Capability, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "chat": (_CHAT_PRICES,),
        "vision": (_CHAT_PRICES,),
        "realtime": (_CHAT_PRICES,),
        "embeddings": (("input", "audio_input", "image_input", "tiers"),),
        "audio": (("minute",), ("input", "output", "cached_input", "audio_input", "tiers")),
        "image": (("image",), ("input", "output", "cached_input", "image_input", "image_output", "tiers")),
        "rerank": (("input", "tiers"), ("search_unit",)),
        "moderation": (("input",),),
        "speech": (("input", "output", "audio_output", "tiers"),),
        "search": (("input", "output", "web_search", "tiers"),),
        "ocr": (("input", "output", "image_input", "tiers"),),
    }
)


def base_url(url: str) -> Iterator[Violation]:
    """An absolute http or https address to which a path can be appended."""
    parts = _split(url)
    if parts is None:
        yield "is no valid address", "write it as https://api.example.com/v1"
        return
    if parts.scheme not in ("http", "https"):
        yield "must begin with http:// or https://", "write it as https://api.example.com/v1"
    elif not parts.hostname:
        yield "names no host", "write it as https://api.example.com/v1"
    if "@" in parts.netloc:
        yield "holds a user name or a password", "put the credential into api_key"
    if "?" in url:
        yield "holds a query", "end the address after its path, and put the query into query = { … }"
    if re.search(r"[{}]", url.replace("{model}", "")) or "{" in parts.netloc:
        yield "holds braces", "only {model} may stand in the path, for the target's model"
    if "#" in url:
        yield "holds a fragment", "end the address after its path"


def proxy_url(url: str) -> Iterator[Violation]:
    """The address of a forward proxy: host, port, and an optional credential."""
    parts = _split(url)
    if parts is None or not parts.hostname:
        yield "is no valid address", "write it as http://proxy.example.com:3128"
    elif parts.scheme != "http":
        yield (
            "must begin with http://",
            "the connection to the proxy itself has no TLS; that to the upstream goes through it",
        )
    elif parts.path.strip("/") or "?" in url or "#" in url:
        yield "holds a path", "end the address after its port"


def socket_path(path: str) -> Iterator[Violation]:
    """The path of a Unix socket, within the length limit of the system."""
    if len(path.encode()) > _MAX_SOCKET_BYTES:
        yield (
            f"is longer than {_MAX_SOCKET_BYTES} bytes",
            "the path of a Unix socket must be short: write it in full",
        )


def _split(url: str) -> SplitResult | None:
    """Split an address; None when it is malformed."""
    if not url.isascii() or " " in url or _CONTROL.search(url):
        return None
    try:
        parts = urlsplit(url)
        # Reading the port validates it.
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def credential(secret: str) -> Iterator[Violation]:
    """A credential, which is sent in a header."""
    if _CONTROL.search(secret):
        yield "holds a line break or another control character", "put the credential on one line of its own"
    elif not secret.isascii():
        yield "holds a character outside ASCII", "copy the credential again"
    elif secret != secret.strip():
        yield "begins or ends with a space", "take the space away"


def header_name(name: str, *, with_credential: bool) -> Iterator[Violation]:
    """A field name (RFC 9110, 5.1) that the upstream client does not write itself."""
    if not _FIELD_NAME.fullmatch(name):
        yield "is no valid header name", "use letters, digits and dashes"
    elif name.lower() in _TRANSPORT_HEADERS:
        yield "is a header that the gateway writes itself", "leave it out"
    elif name.lower() == "authorization" and with_credential:
        yield "the credential is given twice, here and in api_key", "leave out one of the two"


def header_value(value: str) -> Iterator[Violation]:
    """A field value (RFC 9110, 5.5)."""
    if _CONTROL.search(value):
        yield "holds a line break or another control character", "write the value on one line"
    elif not value.isascii():
        yield "holds a character outside ASCII", "use ASCII only"


def query_parameter(name: str, value: str) -> Iterator[Violation]:
    """A query parameter. It is escaped when it is sent, but control characters are a mistake."""
    if not name or _CONTROL.search(name + value):
        yield "is no usable query parameter", 'write it as query = { api-version = "…" }'


def origin(text: str) -> Iterator[Violation]:
    """An `Origin` header as browsers send it, or `*` for all origins."""
    if not text.isascii() or not re.fullmatch(r"\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@,*\x00-\x1f\x7f]+", text):
        yield "is no origin", 'write it as "https://app.example.com", without a path; "*" is any'


def public_url(text: str) -> Iterator[Violation]:
    """The address of the gateway as clients reach it: what pages put in front of a path. Empty is none."""
    if text and not re.fullmatch(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?", text):
        yield "is no address of a site", 'write it as "https://ai.example.com", without a path and without credentials'


def listen_host(host: str) -> Iterator[Violation]:
    """A host name or address, without a port."""
    if not host or not host.isascii() or re.search(r"[\s/\x00-\x1f\x7f]", host):
        yield "is no host name and no address", 'use "127.0.0.1" for this machine alone, "0.0.0.0" for all'
    elif host.startswith("[") or host.count(":") == 1:
        yield "must be without a port and without brackets", "give the port as server.port"


def listen_address(text: str) -> Iterator[Violation]:
    """An address to listen on: HOST:PORT, [HOST]:PORT, or unix:PATH."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        yield from file_name(path)
        yield from socket_path(path)
        return
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        yield "is no address with a port", 'write it as "127.0.0.1:9090", "[::1]:9090" or "unix:/run/admin.sock"'
    elif (":" in host) != (host.startswith("[") and host.endswith("]")):
        yield "has an IPv6 address without brackets", 'write it as "[::1]:9090"'
    else:
        yield from listen_host(host.strip("[]"))


def network(text: str) -> Iterator[Violation]:
    """An address, or a network of addresses."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        yield f"is no network: {error}", 'write it as "10.0.0.0/8", or a single address as "192.0.2.7"'


def admin_token(token: str) -> Iterator[Violation]:
    """The token of the admin API, which is sent in a header."""
    if len(token) < MIN_ADMIN_TOKEN_CHARACTERS:
        hint = "make one with: openssl rand -hex 32"
        yield f"has fewer than {MIN_ADMIN_TOKEN_CHARACTERS} characters, and might be guessed", hint
    elif not token.isascii() or re.search(r"[\s\x00-\x1f\x7f]", token):
        yield "holds a space or a character that no header can carry", "make one with: openssl rand -hex 32"


def key_prefix(prefix: str) -> Iterator[Violation]:
    """The prefix of client keys, which are sent in headers."""
    if not _PREFIX.fullmatch(prefix):
        yield "must be 1 to 32 letters, digits, _ or -", 'the default is "prom_sk_"'


def file_name(name: str) -> Iterator[Violation]:
    """A path that an operating system can open."""
    if not name or _CONTROL.search(name):
        yield "is no usable path", 'write a path such as "data"'


def alias_name(alias: str) -> Iterator[Violation]:
    """An alias, which is written in URLs, headers, JSON strings and comma-separated lists."""
    if not re.fullmatch(r"[!-~]{1,128}", alias) or re.search(r'[",\\]', alias):
        yield (
            "an alias is 1 to 128 printable ASCII characters without spaces, commas, quotes and backslashes",
            "rename it",
        )


def upstream_name(name: str) -> Iterator[Violation]:
    """The name of an upstream, which is written before the first slash of a target."""
    if not re.fullmatch(r"[!-~]{1,128}", name) or "/" in name:
        yield "an upstream's name is 1 to 128 printable ASCII characters without spaces and slashes", "rename it"


def price(text: str) -> Iterator[Violation]:
    """A plain decimal number that is exact in nano-dollars."""
    if text.startswith("-"):
        yield "must not be negative", 'write "0" for what is free'
    elif not _PRICE.fullmatch(text):
        yield "is no plain decimal number of USD", 'write it as "1.10"'
    elif len(text.partition(".")[2]) > 9:
        yield "has more than 9 decimals", "round it to nano-dollars"


def tier_name(name: str) -> Iterator[Violation]:
    """The name of a service tier as in responses, in lower case."""
    if not re.fullmatch(r"[a-z0-9_.-]{1,32}", name):
        yield "a tier's name is 1 to 32 lower-case letters, digits, _, . and -", 'such as "priority", "flex", "batch"'
    elif name in STANDARD_TIERS:
        yield "is the tier whose prices are the alias's own", "write them beside tiers"


def price_kinds(capability: Capability, kinds: set[str]) -> Iterator[Violation]:
    """The kinds of prices that an alias of this capability may have."""
    allowed = PRICE_KINDS[capability]
    choices = " or ".join(", ".join(group) for group in allowed)
    known = {kind for group in allowed for kind in group}
    if not kinds:
        yield "prices nothing", "leave it out: the rows then say unpriced"
    for kind in sorted(kinds - known):
        yield f'"{kind}" does not fit the capability "{capability}"', f"it is priced by {choices}"
    if kinds <= known and not any(kinds <= set(group) for group in allowed):
        yield "mixes two ways of billing", f"use either {choices}"
