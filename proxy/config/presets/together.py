"""Together AI."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Together AI",
    base_url="https://api.together.xyz/v1",
    stream_options=False,
    note="Every stream ends with its usage, even without `stream_options`.",
)
