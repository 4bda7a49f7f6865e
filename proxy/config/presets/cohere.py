"""Cohere: OpenAI-compatible chat and embeddings below one path, its own reranking below another."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Cohere",
    base_url="https://api.cohere.ai/compatibility/v1",
    paths={"/rerank": "/v2/rerank"},
    note="Chat and embeddings go to the compatibility API, reranking to `/v2/rerank`, whose responses report search "
    "units and no tokens.",
)
