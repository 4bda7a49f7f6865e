"""Anthropic's own API, with its OpenAI-compatible endpoints beside the native ones."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    base_url="https://api.anthropic.com/v1",
    dialects=frozenset({"anthropic"}),
    auth_header="x-api-key",
    auth_prefix="",
    headers={"anthropic-version": "2023-06-01"},
)
