"""Everything else that speaks OpenAI's formats; also what an upstream is that names no kind."""

from proxy.config.presets.preset import Preset
from proxy.wire.field_names import CHOOSING_NAMES

PRESET: Preset = Preset(
    title="OpenAI-compatible",
    example_url="https://api.example.com/v1",
    client_ids=frozenset({"request_id", "response_id", "rid"}),
    # It may be a router over many models, which read all of these but what one kind alone knows.
    choosing=CHOOSING_NAMES - {"compound_custom", "lora_path"},
    choosing_in=frozenset({"method", "tools"}),
    note="Also what an upstream is that names no kind. Where the provider refuses `stream_options` with a 400 or 422, "
    "set `stream_options = false`: streams that then end without usage are billed by estimate. LiteLLM and other "
    'gateways speak Anthropic\'s format too, below the same address: `formats = ["openai", "anthropic"]`. They are '
    "then asked for `/v1/messages` with the credential in `x-api-key`, and for all else with a bearer.",
)
