"""OpenRouter, a router over many providers."""

from proxy.config.presets.schemas import Preset

PRESET = Preset(
    title="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    dialects=frozenset({"openai", "anthropic"}),
    choosing=frozenset({"fallback_models", "fallbacks", "models", "plugins", "preset", "provider", "route"}),
    choosing_in=frozenset({"tools"}),
    note="Sends comment lines while a model wakes up, and reports a failure inside a stream with status 200; both are "
    "understood. Model names have a slash of their own: `openrouter/anthropic/claude-sonnet-4.5`.",
)
