"""DeepSeek: always sends usage, on the last chunk."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="DeepSeek",
    base_url="https://api.deepseek.com",
    stream_options=False,
    note="Every stream ends with its usage, even without `stream_options`. While a request is queued, comment lines or "
    "empty lines keep the connection open, for up to ten minutes.",
)
