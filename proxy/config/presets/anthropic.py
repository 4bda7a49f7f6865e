"""Anthropic's own API, in its own format."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Anthropic",
    base_url="https://api.anthropic.com/v1",
    compatible_url="https://api.anthropic.com/v1",
    dialects=frozenset({"anthropic"}),
    choosing=frozenset({"fallbacks"}),
    choosing_in=frozenset({"tools"}),
    auth_header="x-api-key",
    auth_prefix="",
    stream_options=False,
    headers={"anthropic-version": "2023-06-01"},
    note="Serves `/v1/messages` and what is below it. The same address also answers `/chat/completions`, with the "
    "credential as a bearer: that is an upstream of its own.",
)
