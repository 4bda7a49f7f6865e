"""xAI."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(title="xAI", base_url="https://api.x.ai/v1")
