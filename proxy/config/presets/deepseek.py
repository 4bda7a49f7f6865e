"""DeepSeek: sends usage unasked, on the last chunk."""

from proxy.config.presets.preset import Preset

PRESET = Preset(
    title="DeepSeek",
    base_url="https://api.deepseek.com",
    stream_options=False,
    note="Every stream ends with its usage unasked. While a request waits its turn, comment lines or empty lines keep "
    "the connection open, for up to ten minutes.",
)
