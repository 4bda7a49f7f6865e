"""A llama.cpp server (`llama-server`) of one's own."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    title="llama.cpp",
    example_url="http://127.0.0.1:8080/v1",
    dialects=frozenset({"openai", "anthropic"}),
    note="The credential is what `--api-key` was given, if it was. `/v1/messages` needs a build of December 2025 or "
    "newer.",
)
