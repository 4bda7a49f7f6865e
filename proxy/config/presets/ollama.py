"""An Ollama server, self-hosted."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Ollama",
    example_url="http://127.0.0.1:11434/v1",
    dialects=frozenset({"openai", "anthropic"}),
    note="Needs no credential. An error in the middle of a stream ends it without `[DONE]`, and it is billed as cut. "
    "`/v1/messages` needs Ollama 0.14 or newer.",
)
