"""Fireworks AI."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Fireworks AI",
    base_url="https://api.fireworks.ai/inference/v1",
    note="Model names have slashes of their own: `fireworks/accounts/fireworks/models/NAME`.",
)
