"""Jina AI: embeddings and reranking."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Jina AI",
    base_url="https://api.jina.ai/v1",
    stream_options=False,
    note="Embeddings and reranking only.",
)
