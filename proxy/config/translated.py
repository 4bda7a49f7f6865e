"""How an alias serves the endpoints of text: by targets of their format, by translation, or not at all."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from proxy.config.presets import formats_of
from proxy.config.tree import Format, Model, Upstream, split_target

Service = Literal["native", "translated", "refused"]
#: The endpoints of text, with the format that each is of.
TEXT_ENDPOINTS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "/v1/chat/completions": "openai",
        "/v1/responses": "openai",
        "/v1/messages": "anthropic",
        "/v1beta/models/{model}:generateContent": "gemini",
    }
)
#: The formats of targets that serve an endpoint by translation; a test holds it beside the translations.
TRANSLATED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"/v1/chat/completions": frozenset({"anthropic"}), "/v1/messages": frozenset({"openai"})}
)
TEXT: Final = frozenset({"chat", "vision", "realtime"})


def formats(model: Model, upstreams: Mapping[str, Upstream]) -> frozenset[str]:
    """The families of formats that an alias's targets speak."""
    return frozenset(one for target in model.targets for one in formats_of(upstreams[split_target(target)[0]]))


def service(model: Model, upstreams: Mapping[str, Upstream], endpoint: str) -> Service:
    """How an alias for text serves one of the endpoints."""
    spoken = formats(model, upstreams)
    if TEXT_ENDPOINTS[endpoint] in spoken:
        return "native"
    if model.translate != "off" and spoken & TRANSLATED.get(endpoint, frozenset()):
        return "translated"
    return "refused"
