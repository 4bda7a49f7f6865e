"""Mistral: always sends usage, and has refused `stream_options`."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Mistral",
    base_url="https://api.mistral.ai/v1",
    stream_options=False,
    note="Every stream ends with its usage, and `stream_options` has been refused with a 422.",
)
