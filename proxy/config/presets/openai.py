"""OpenAI, and everything that is compatible with it."""

from proxy.config.presets.preset import Preset

PRESET = Preset(base_url="https://api.openai.com/v1", dialects=frozenset({"openai"}))
