"""The configuration that `init` writes: all aliases, their prices, and every idea one needs to go on. Text only."""

EXAMPLE = """\
# Prometheus Gateway. All settings: docs/configuration.md, or: prometheus-gateway config schema
# Check this file: prometheus-gateway config check

[server]
host = "127.0.0.1"                 # "0.0.0.0" listens on all addresses
port = 8080                        # 0 picks a free one
workers = 1
data_dir = "data"                  # the ledger, the journal and the keys

# An upstream is one account at one provider. Its kind says where it lives and what it takes: openai, azure, anthropic,
# gemini, openrouter, groq, mistral, together, fireworks, deepseek, xai, perplexity, cohere, voyage, jina, vllm, sglang,
# ollama, llamacpp, or compatible for everything else that speaks the OpenAI API (docs/upstreams.md).
[upstreams.openai]
kind = "openai"
api_key = "${OPENAI_API_KEY}"      # or "file:PATH", relative to this file

# A second one, such as a server of your own, is a few more lines:
# [upstreams.local]
# kind = "vllm"
# base_url = "http://127.0.0.1:8000/v1"
# first_byte_timeout = 60

# An alias is what clients ask for. Its targets are "upstream/model", tried in this order. These aliases
# answer OpenAI's endpoints, and /v1/messages (Claude Code) by translation; Gemini's want a target that speaks their
# format, such as one on an upstream of kind gemini, in the same list.
#
# Prices are USD per million tokens, in quotes, so that they stay exact. These are OpenAI's list prices of 2026: put
# YOUR PRICES here. An alias without a price is billed as unpriced.
[models.prometheus-spark]
capability = "chat"
targets = ["openai/gpt-4o-mini"]
price = { input = "0.15", output = "0.60" }

[models.prometheus-lite]
capability = "chat"
targets = ["openai/gpt-4.1-nano"]
price = { input = "0.10", output = "0.40" }

[models.prometheus-core]
capability = "chat"
targets = ["openai/o4-mini"]
price = { input = "1.10", output = "4.40" }

[models.prometheus-vision]
capability = "vision"
targets = ["openai/gpt-4.1-mini"]
price = { input = "0.40", output = "1.60" }

[models.prometheus-pulse]
capability = "realtime"            # chat over HTTP that answers at once; there is no /v1/realtime
targets = ["openai/gpt-4o-mini"]
price = { input = "0.15", output = "0.60" }

[models.prometheus-surge]
capability = "realtime"
targets = ["openai/gpt-4.1-mini"]
price = { input = "0.40", output = "1.60" }

[models.prometheus-atlas]
capability = "embeddings"
targets = ["openai/text-embedding-3-small"]
price = { input = "0.02" }

[models.prometheus-echo]
capability = "audio"
targets = ["openai/whisper-1"]
price = { minute = "0.006" }       # USD per minute of audio
"""
