"""Presets: what is known of each kind of upstream. Data only, one file each, and one line in the table below."""

from collections.abc import Mapping
from types import MappingProxyType

from proxy.config.presets import anthropic, gemini, openai
from proxy.config.presets.preset import Preset
from proxy.config.tree import Kind

PRESETS: Mapping[Kind, Preset] = MappingProxyType(
    {
        "openai": openai.PRESET,
        "anthropic": anthropic.PRESET,
        "gemini": gemini.PRESET,
    }
)
