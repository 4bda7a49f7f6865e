"""A llama.cpp server (`llama-server`), self-hosted."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="llama.cpp",
    example_url="http://127.0.0.1:8080/v1",
    dialects=frozenset({"openai", "anthropic"}),
    note="The credential is the value of `--api-key`, if that is set. `/v1/messages` needs a build of December 2025 or "
    "newer.",
)
