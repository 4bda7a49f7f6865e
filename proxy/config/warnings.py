"""Warnings about likely mistakes in a valid configuration. They never prevent a start, and quote no credential.

Pure, but for a look at what is installed.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Set
from importlib.metadata import distributions
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from proxy.config.addresses import base_url_warnings, without_endpoint
from proxy.config.budget_rules import budget_warnings
from proxy.config.limit_warnings import limit_warnings
from proxy.config.presets import PRESETS, formats_of
from proxy.config.presets.schemas import Preset
from proxy.config.problems import ConfigWarning as ConfigWarning
from proxy.config.routing_warnings import queue_warnings, routing_warnings
from proxy.config.toml_positions import Path
from proxy.config.translated import TEXT, TEXT_ENDPOINTS, formats, service
from proxy.config.tree import Capability, Config, Kind, Model, Price, Upstream, split_target

_OPENAI_PATHS: Final[Mapping[Capability, str]] = {
    "chat": "/v1/chat/completions",
    "vision": "/v1/chat/completions",
    "realtime": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
}
#: Capabilities of aliases for Anthropic's endpoints.
_TEXT: Final[frozenset[Capability]] = frozenset({"chat", "vision", "realtime"})
#: Prices without which nearly every request is unpriced, if it is billed by tokens.
_NEEDED_PRICES: Final[Mapping[Capability, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(("chat", "vision", "realtime"), ("input", "output")),
        "embeddings": ("input",),
        "audio": ("input", "output"),
        "image": ("input", "output"),
    }
)
#: Domains that no public server has.
_PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc")


def warnings(config: Config) -> Iterator[ConfigWarning]:
    """All warnings about a configuration."""
    for name, upstream in config.upstreams.items():
        yield from _no_credential(upstream, ("upstreams", name))
        yield from _plain_http(upstream, ("upstreams", name, "base_url"))
        yield from _address(upstream, ("upstreams", name, "base_url"))
    for alias, model in config.models.items():
        yield from _dialects(model, config.upstreams, ("models", alias, "targets"))
        if model.price is not None:
            kinds = {config.upstreams[split_target(target)[0]].kind for target in model.targets}
            yield from _price(model.capability, model.price, kinds, ("models", alias, "price"))
        yield from _unmeasured(model, ("models", alias, "price"))
        if model.routing is not None:
            yield from routing_warnings(alias, model, model.routing, config)
    yield from queue_warnings(config)
    yield from _without_messages(config)
    yield from limit_warnings(config)
    yield from budget_warnings(config)
    yield from _untraced(config)


def is_private(host: str) -> bool:
    """Whether a host is this machine or, by its name or address, in a private network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A name without a dot is a container or a machine of the local network.
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES) or ".svc." in host
    return address.is_loopback or address.is_private or address.is_link_local


def _no_credential(upstream: Upstream, path: Path) -> Iterator[ConfigWarning]:
    """A missing credential for a provider that requires one."""
    preset = PRESETS[upstream.kind]
    names = {name.lower() for name in upstream.headers}
    host = urlsplit(upstream.base_url).hostname or ""
    if (
        preset.base_url
        and not any(upstream.credentials)
        and not names & {"authorization", preset.auth_header}
        and not is_private(host)
    ):
        mend = f'api_key = "${{{upstream.kind.upper()}_API_KEY}}"'
        yield path, f"{preset.title} refuses requests without a credential", mend


def _plain_http(upstream: Upstream, path: Path) -> Iterator[ConfigWarning]:
    parts = urlsplit(upstream.base_url)
    credential = any(upstream.credentials) or any(name.lower() == "authorization" for name in upstream.headers)
    if parts.scheme == "http" and credential and upstream.socket is None and not is_private(parts.hostname or ""):
        yield path, f"the credential goes to {parts.hostname} in the clear", "use https://"


def _address(upstream: Upstream, path: Path) -> Iterator[ConfigWarning]:
    """A well-known address that does not fit the kind, or is incomplete."""
    host = urlsplit(upstream.base_url).hostname or ""
    owner = next((kind for kind, preset in PRESETS.items() if host and _host_of(preset) == host), None)
    if owner is None or without_endpoint(upstream.base_url) is not None:
        for message, mend in base_url_warnings(upstream):
            yield path, message, mend
        return
    preset = PRESETS[owner]
    known = preset.base_url
    if urlsplit(upstream.base_url).path.strip("/") == "" and urlsplit(known).path.strip("/"):
        yield path, f"the API of {preset.title} is below a path that is missing here", f'base_url = "{known}"'
    elif upstream.kind == owner:
        if preset.compatible_url not in ("", known) and upstream.base_url.startswith(preset.compatible_url):
            yield path, f"is where {preset.title} is OpenAI-compatible", f'kind = "compatible", or base_url = "{known}"'
    elif upstream.kind not in ("compatible", "openai"):
        title = PRESETS[upstream.kind].title
        yield path, f"is an address of {preset.title}, not of {title}", f'kind = "{owner}"'
    elif preset.compatible_url:
        if not upstream.base_url.startswith(preset.compatible_url):
            mend = f'kind = "{owner}", or base_url = "{preset.compatible_url}"'
            yield path, f"is where {preset.title} speaks its own format", mend
    elif not _same_protocol(preset, PRESETS[upstream.kind]):
        yield path, f'is an address of {preset.title}, whose habits kind = "{owner}" knows', f'kind = "{owner}"'


def _unmeasured(model: Model, path: Path) -> Iterator[ConfigWarning]:
    """A price by the minute where only the length of WAV files can be measured."""
    if model.price is not None and model.price.minute is not None and find_spec("tinytag") is None:
        what = "is by the minute, and only the length of WAV files is measured: responses without a length are unpriced"
        yield path, what, "pip install 'prometheus-gateway[audio]'"


def _untraced(config: Config) -> Iterator[ConfigWarning]:
    """Traces that nothing can send."""
    if config.otel.endpoint and not any(distributions(name="opentelemetry-exporter-otlp-proto-http")):
        what = "is set, and nothing can send traces: they are not made"
        yield ("otel", "endpoint"), what, "pip install 'prometheus-gateway[otel]'"


def _host_of(preset: Preset) -> str:
    return urlsplit(preset.base_url).hostname or ""


def _same_protocol(one: Preset, other: Preset) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("dialects", "auth_header", "auth_prefix", "headers", "paths", "stream_options")
    )


def _dialects(model: Model, upstreams: Mapping[str, Upstream], path: Path) -> Iterator[ConfigWarning]:
    """An alias that OpenAI's endpoints refuse, because none of its targets has their format."""
    endpoint = _OPENAI_PATHS.get(model.capability)
    served = _served(model, upstreams)
    if endpoint is None or any("openai" in formats_of(upstream) for upstream in served):
        return
    if endpoint in TEXT_ENDPOINTS and service(model, upstreams, endpoint) != "refused":
        return
    spoken = sorted({dialect for upstream in served for dialect in formats_of(upstream)})
    address = next(PRESETS[upstream.kind].compatible_url or upstream.base_url for upstream in served)
    yield (
        path,
        f"all speak only the format of {' or '.join(spoken)}: {endpoint} refuses this alias",
        f'add a target on an upstream with kind = "compatible" and base_url = "{address}"',
    )


def _served(model: Model, upstreams: Mapping[str, Upstream]) -> list[Upstream]:
    return [upstreams[split_target(target)[0]] for target in model.targets]


def _without_messages(config: Config) -> Iterator[ConfigWarning]:
    """Aliases that Anthropic's endpoints refuse, though OpenAI's do not: one warning for all, at the first one."""
    found: dict[str, frozenset[str]] = {}
    for alias, model in config.models.items():
        spoken = formats(model, config.upstreams)
        is_refused = model.capability in TEXT and service(model, config.upstreams, "/v1/messages") == "refused"
        if is_refused and "openai" in spoken:
            found[alias] = spoken
    if not found:
        return
    first, *others = found
    refused = "/v1/messages" if "gemini" in found[first] else "/v1/messages and /v1beta/models/…"
    verb = "refuses" if "gemini" in found[first] else "refuse"
    more = f" (and {len(others)} more: {', '.join(others[:4])}{', …' if len(others) > 4 else ''})" if others else ""
    yield (
        ("models", first, "targets"),
        f"all speak only the format of {' or '.join(sorted(found[first]))}: {refused} {verb} this alias{more}",
        'for clients of Anthropic\'s API, such as Claude Code, add a target on an upstream with kind = "anthropic"',
    )


def _price(capability: Capability, price: Price, kinds: Set[Kind], path: Path) -> Iterator[ConfigWarning]:
    """Missing prices: requests that the alias is for are unpriced, or billed at another price."""
    needed = _NEEDED_PRICES.get(capability, ())
    if price.minute is None and price.image is None and price.search_unit is None:
        missing = [name for name in needed if getattr(price, name) is None]
        if missing:
            yield path, f"has no {' and no '.join(missing)}: requests with such tokens are unpriced", "add the price"
    if "anthropic" in kinds and capability in _TEXT:
        if price.cache_write is None:
            yield path, "has no cache_write: what is written to the cache is billed as input", 'cache_write = "…"'
        if price.cache_write_1h is None:
            mend = 'cache_write_1h = "…"'
            yield path, "has no cache_write_1h: requests that write to a cache for an hour are unpriced", mend
    if capability == "image" and price.input is not None and price.image_input is None:
        yield path, "has no image_input: images that are sent are billed as input", 'image_input = "…"'
