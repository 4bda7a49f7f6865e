"""An SGLang server, self-hosted."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="SGLang",
    example_url="http://127.0.0.1:30000/v1",
    dialects=frozenset({"openai", "anthropic"}),
    client_ids=frozenset({"request_id", "rid"}),
    choosing=frozenset({"lora_path"}),
    note="`/v1/messages` needs a version of 2026.",
)
