"""OpenAI's models in Azure: the same formats, another header for the credential, an address for each resource."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Azure OpenAI",
    example_url="https://RESOURCE.openai.azure.com/openai/v1",
    auth_header="api-key",
    auth_prefix="",
    choosing_in=frozenset({"method", "tools"}),
    note="A target names the deployment, not the model. The older addresses, one path a deployment, are written with "
    "`{model}` in `base_url` and the version in `query`: "
    '`base_url = "https://RESOURCE.openai.azure.com/openai/deployments/{model}"` and '
    '`query = { api-version = "2024-10-21" }`. Where a deployment searches data of your own (`data_sources`), set '
    "`stream_options = false`: it refuses them.",
)
