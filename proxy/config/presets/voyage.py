"""Voyage AI: embeddings and reranking."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Voyage AI",
    base_url="https://api.voyageai.com/v1",
    stream_options=False,
    note="Embeddings and reranking only.",
)
