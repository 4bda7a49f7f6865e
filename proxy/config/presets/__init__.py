"""Presets: what is known of each kind of upstream. A new provider is one file and one line in the table below."""

from collections.abc import Mapping
from types import MappingProxyType

from proxy.config.presets import (
    anthropic,
    azure,
    cohere,
    compatible,
    deepseek,
    fireworks,
    gemini,
    groq,
    jina,
    llamacpp,
    mistral,
    ollama,
    openai,
    openrouter,
    perplexity,
    sglang,
    together,
    vllm,
    voyage,
    xai,
)
from proxy.config.presets.schemas import Preset
from proxy.config.tree import Format, Kind, Upstream

PRESETS: Mapping[Kind, Preset] = MappingProxyType(
    {
        "openai": openai.PRESET,
        "azure": azure.PRESET,
        "anthropic": anthropic.PRESET,
        "gemini": gemini.PRESET,
        "openrouter": openrouter.PRESET,
        "groq": groq.PRESET,
        "mistral": mistral.PRESET,
        "together": together.PRESET,
        "fireworks": fireworks.PRESET,
        "deepseek": deepseek.PRESET,
        "xai": xai.PRESET,
        "perplexity": perplexity.PRESET,
        "cohere": cohere.PRESET,
        "voyage": voyage.PRESET,
        "jina": jina.PRESET,
        "vllm": vllm.PRESET,
        "sglang": sglang.PRESET,
        "ollama": ollama.PRESET,
        "llamacpp": llamacpp.PRESET,
        "compatible": compatible.PRESET,
    }
)


def formats_of(upstream: Upstream) -> frozenset[str]:
    """The families of formats that an upstream has: as configured, or else those of its kind."""
    return PRESETS[upstream.kind].dialects if upstream.formats is None else frozenset(upstream.formats)


def habits_of(upstream: Upstream, format: Format) -> Preset:
    """The preset by which a request in a format is sent: that of the kind, or for a format that the kind does not have,
    that of the provider whose format it is."""
    preset = PRESETS[upstream.kind]
    return preset if format in preset.dialects else PRESETS[format]
