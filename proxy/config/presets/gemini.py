"""Google's Gemini API, in its own format. Its OpenAI-compatible paths have another base URL."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    compatible_url="https://generativelanguage.googleapis.com/v1beta/openai",
    dialects=frozenset({"gemini"}),
    choosing_in=frozenset({"generationConfig", "generation_config", "tools"}),
    auth_header="x-goog-api-key",
    auth_prefix="",
    stream_options=False,
    note="Serves `/v1beta/models/{model}:…`. Chat completions and embeddings in OpenAI's format are below another "
    "address: that is an upstream of its own.",
)
