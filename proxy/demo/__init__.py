"""A make-believe model provider: for the first minute, the tests and the benchmarks.

It speaks OpenAI's API, and Anthropic's and Gemini's own formats. It loads no model and opens no connection; the gateway
reaches it over a socket, as it reaches any other provider. `demo:` phrases in a prompt make it fail on purpose:
docs/demo.md lists them.
"""

from proxy.demo.app import demo_app
from proxy.demo.settings import DemoSettings, demo_config

__all__ = ["DemoSettings", "demo_app", "demo_config"]
