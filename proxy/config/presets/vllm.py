"""A vLLM server of one's own."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    title="vLLM",
    example_url="http://127.0.0.1:8000/v1",
    dialects=frozenset({"openai", "anthropic"}),
    client_ids=frozenset({"request_id"}),
    note="The credential is what `--api-key` was given, if it was. `/v1/messages` needs vLLM 0.11.1 or newer.",
)
