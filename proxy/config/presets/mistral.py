"""Mistral: sends usage unasked, and has refused to be asked."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    title="Mistral",
    base_url="https://api.mistral.ai/v1",
    stream_options=False,
    note="Every stream ends with its usage unasked, and the request for it has been refused with a 422.",
)
