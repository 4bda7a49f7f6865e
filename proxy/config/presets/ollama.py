"""An Ollama server of one's own."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    title="Ollama",
    example_url="http://127.0.0.1:11434/v1",
    dialects=frozenset({"openai", "anthropic"}),
    note="Needs no credential. A fault in the middle of a stream ends it without `[DONE]`, and it is billed as cut. "
    "`/v1/messages` needs Ollama 0.14 or newer.",
)
