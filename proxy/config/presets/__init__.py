"""Presets: what is known of each kind of upstream. A new provider is one entry in the table, and its name in `Kind`."""

from collections.abc import Mapping
from types import MappingProxyType

from proxy.config.presets.schemas import Preset
from proxy.config.tree import Format, Kind, Upstream
from proxy.wire.field_names import CHOOSING_NAMES

PRESETS: Mapping[Kind, Preset] = MappingProxyType(
    {
        "openai": Preset(
            max_tokens_field="max_completion_tokens",
            title="OpenAI",
            base_url="https://api.openai.com/v1",
            choosing_in=frozenset({"method", "tools"}),
        ),
        "azure": Preset(
            max_tokens_field="max_completion_tokens",
            title="Azure OpenAI",
            example_url="https://RESOURCE.openai.azure.com/openai/v1",
            auth_header="api-key",
            auth_prefix="",
            choosing_in=frozenset({"method", "tools"}),
            note="A target names the deployment, not the model. The older addresses, one path a deployment, are "
            "written with `{model}` in `base_url` and the version in `query`: `base_url = "
            '"https://RESOURCE.openai.azure.com/openai/deployments/{model}"` and `query = { api-version = '
            '"2024-10-21" }`. Where a deployment searches data of your own (`data_sources`), set '
            "`stream_options = false`: it refuses them.",
        ),
        "anthropic": Preset(
            title="Anthropic",
            base_url="https://api.anthropic.com/v1",
            compatible_url="https://api.anthropic.com/v1",
            dialects=frozenset({"anthropic"}),
            choosing=frozenset({"fallbacks"}),
            choosing_in=frozenset({"tools"}),
            auth_header="x-api-key",
            auth_prefix="",
            stream_options=False,
            headers={"anthropic-version": "2023-06-01"},
            note="Serves `/v1/messages` and what is below it. The same address also answers `/chat/completions`, "
            "with the credential as a bearer: that is an upstream of its own.",
        ),
        "gemini": Preset(
            title="Gemini",
            base_url="https://generativelanguage.googleapis.com/v1beta",
            compatible_url="https://generativelanguage.googleapis.com/v1beta/openai",
            dialects=frozenset({"gemini"}),
            choosing_in=frozenset({"generationConfig", "generation_config", "tools"}),
            auth_header="x-goog-api-key",
            auth_prefix="",
            stream_options=False,
            note="Serves `/v1beta/models/{model}:…`. Chat completions and embeddings in OpenAI's format are below "
            "another address: that is an upstream of its own.",
        ),
        "openrouter": Preset(
            title="OpenRouter",
            base_url="https://openrouter.ai/api/v1",
            dialects=frozenset({"openai", "anthropic"}),
            choosing=frozenset({"fallback_models", "fallbacks", "models", "plugins", "preset", "provider", "route"}),
            choosing_in=frozenset({"tools"}),
            note="Sends comment lines while a model wakes up, and reports a failure inside a stream with status 200;"
            " both are understood. Model names have a slash of their own: "
            "`openrouter/anthropic/claude-sonnet-4.5`.",
        ),
        "groq": Preset(
            title="Groq",
            base_url="https://api.groq.com/openai/v1",
            choosing=frozenset({"compound_custom"}),
            note="Sends the usage of a stream up to three times; the last one counts, they are not added up.",
        ),
        "mistral": Preset(
            title="Mistral",
            base_url="https://api.mistral.ai/v1",
            stream_options=False,
            note="Every stream ends with its usage, and `stream_options` has been refused with a 422.",
        ),
        "together": Preset(
            title="Together AI",
            base_url="https://api.together.xyz/v1",
            stream_options=False,
            note="Every stream ends with its usage, even without `stream_options`.",
        ),
        "fireworks": Preset(
            title="Fireworks AI",
            base_url="https://api.fireworks.ai/inference/v1",
            note="Model names have slashes of their own: `fireworks/accounts/fireworks/models/NAME`.",
        ),
        "deepseek": Preset(
            title="DeepSeek",
            base_url="https://api.deepseek.com",
            stream_options=False,
            note="Every stream ends with its usage, even without `stream_options`. While a request is queued, "
            "comment lines or empty lines keep the connection open, for up to ten minutes.",
        ),
        "xai": Preset(title="xAI", base_url="https://api.x.ai/v1"),
        "perplexity": Preset(
            title="Perplexity",
            base_url="https://api.perplexity.ai",
            stream_options=False,
            note="Every chunk of a stream has the usage so far, even without `stream_options`; the last one counts.",
        ),
        "cohere": Preset(
            title="Cohere",
            base_url="https://api.cohere.ai/compatibility/v1",
            paths={"/rerank": "/v2/rerank"},
            note="Chat and embeddings go to the compatibility API, reranking to `/v2/rerank`, whose responses report"
            " search units and no tokens.",
        ),
        "voyage": Preset(
            title="Voyage AI",
            base_url="https://api.voyageai.com/v1",
            stream_options=False,
            note="Embeddings and reranking only.",
        ),
        "jina": Preset(
            title="Jina AI",
            base_url="https://api.jina.ai/v1",
            stream_options=False,
            note="Embeddings and reranking only.",
        ),
        # Servers that one runs oneself.
        "vllm": Preset(
            title="vLLM",
            example_url="http://127.0.0.1:8000/v1",
            dialects=frozenset({"openai", "anthropic"}),
            client_ids=frozenset({"request_id"}),
            note="The credential is the value of `--api-key`, if that is set. `/v1/messages` needs vLLM 0.11.1 or "
            "newer.",
        ),
        "sglang": Preset(
            title="SGLang",
            example_url="http://127.0.0.1:30000/v1",
            dialects=frozenset({"openai", "anthropic"}),
            client_ids=frozenset({"request_id", "rid"}),
            choosing=frozenset({"lora_path"}),
            note="`/v1/messages` needs a version of 2026.",
        ),
        "ollama": Preset(
            title="Ollama",
            example_url="http://127.0.0.1:11434/v1",
            dialects=frozenset({"openai", "anthropic"}),
            note="Needs no credential. An error in the middle of a stream ends it without `[DONE]`, and it is billed"
            " as cut. `/v1/messages` needs Ollama 0.14 or newer.",
        ),
        "llamacpp": Preset(
            title="llama.cpp",
            example_url="http://127.0.0.1:8080/v1",
            dialects=frozenset({"openai", "anthropic"}),
            note="The credential is the value of `--api-key`, if that is set. `/v1/messages` needs a build of "
            "December 2025 or newer.",
        ),
        "compatible": Preset(
            title="OpenAI-compatible",
            example_url="https://api.example.com/v1",
            client_ids=frozenset({"request_id", "response_id", "rid"}),
            # It may be a router over many models, which reads all of these fields but those that only one kind has.
            choosing=CHOOSING_NAMES - {"compound_custom", "lora_path"},
            choosing_in=frozenset({"method", "tools"}),
            note="The default kind. Where the provider refuses `stream_options` with a 400 or 422, set "
            "`stream_options = false`: streams that then end without usage are billed by estimate. LiteLLM and "
            'other gateways have Anthropic\'s format too, below the same address: `formats = ["openai", '
            '"anthropic"]`. `/v1/messages` is then requested with the credential in `x-api-key`, everything '
            "else with a bearer.",
        ),
    }
)


def formats_of(upstream: Upstream) -> frozenset[str]:
    """The families of formats that an upstream has: as configured, or else those of its kind."""
    return PRESETS[upstream.kind].dialects if upstream.formats is None else frozenset(upstream.formats)


def habits_of(upstream: Upstream, format: Format) -> Preset:
    """The preset by which a request in a format is sent: that of the kind, or for a format that the kind does not have,
    that of the provider whose format it is."""
    preset = PRESETS[upstream.kind]
    return preset if format in preset.dialects else PRESETS[format]
