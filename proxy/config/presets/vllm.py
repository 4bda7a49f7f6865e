"""A vLLM server, self-hosted."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="vLLM",
    example_url="http://127.0.0.1:8000/v1",
    dialects=frozenset({"openai", "anthropic"}),
    client_ids=frozenset({"request_id"}),
    note="The credential is the value of `--api-key`, if that is set. `/v1/messages` needs vLLM 0.11.1 or newer.",
)
