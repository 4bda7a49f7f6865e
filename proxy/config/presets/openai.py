"""OpenAI's own API."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="OpenAI",
    base_url="https://api.openai.com/v1",
    choosing_in=frozenset({"method", "tools"}),
)
