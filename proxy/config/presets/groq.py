"""Groq."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Groq",
    base_url="https://api.groq.com/openai/v1",
    choosing=frozenset({"compound_custom"}),
    note="Sends the usage of a stream up to three times; the last one counts, they are not added up.",
)
