"""Google's Gemini API. Its OpenAI-compatible endpoints live below another base URL: see docs/upstreams.md."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    base_url="https://generativelanguage.googleapis.com/v1beta",
    dialects=frozenset({"gemini"}),
    auth_header="x-goog-api-key",
    auth_prefix="",
)
