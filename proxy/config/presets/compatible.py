"""Any other server with OpenAI's formats; the default kind."""

from proxy.config.presets.schemas import Preset
from proxy.wire.field_names import CHOOSING_NAMES

PRESET: Preset = Preset(
    title="OpenAI-compatible",
    example_url="https://api.example.com/v1",
    client_ids=frozenset({"request_id", "response_id", "rid"}),
    # It may be a router over many models, which reads all of these fields but those that only one kind has.
    choosing=CHOOSING_NAMES - {"compound_custom", "lora_path"},
    choosing_in=frozenset({"method", "tools"}),
    note="The default kind. Where the provider refuses `stream_options` with a 400 or 422, set "
    "`stream_options = false`: streams that then end without usage are billed by estimate. LiteLLM and other gateways "
    'have Anthropic\'s format too, below the same address: `formats = ["openai", "anthropic"]`. `/v1/messages` is then '
    "requested with the credential in `x-api-key`, everything else with a bearer.",
)
