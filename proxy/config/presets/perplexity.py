"""Perplexity: no version in its paths, and cumulative usage on every chunk."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="Perplexity",
    base_url="https://api.perplexity.ai",
    stream_options=False,
    note="Every chunk of a stream has the usage so far, even without `stream_options`; the last one counts.",
)
