"""Embeddings whose response has 2 MiB: whether a large response that must be looked through still passes quickly."""

from benchmarks.scenarios.base import EMBEDDINGS, Scenario

EMBEDDINGS_2M = Scenario(
    name="embeddings-2m",
    about="1 connection, embeddings responses of 2 MiB: CPU per request",
    script="bench-embedding-2097152",
    unit="request",
    path=EMBEDDINGS,
    stream=False,
    warmup=10,
    isolated=True,
    rounds=0.7,
)
