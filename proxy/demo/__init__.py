"""A make-believe model provider: for the first minute, the tests and the benchmarks.

It speaks OpenAI's API, and Anthropic's and Gemini's own formats.

It loads no model and calls nobody; it must never be taken for a part of the gateway: the gateway reaches it over a
socket, as it reaches any other provider. Phrases in the last user message make it misbehave on purpose:

    demo:error=429        answer with this status, 400 to 599, and an error body that names the upstream model
    demo:delay=2.5        seconds before the first byte of the answer
    demo:pace=0.2         seconds between two content chunks
    demo:tokens=500       an answer of this many tokens, one to a chunk
    demo:cut=5            drop the connection after 5 content chunks
    demo:stall=5          send nothing more after 5 content chunks, but keep the connection
    demo:error-event=3    an error event inside the stream after 3 content chunks
    demo:call=NAME        call this function of the tools on offer
    demo:no-usage         leave the token usage out
    demo:no-done          end the stream without its end mark
"""

from proxy.demo.app import demo_app
from proxy.demo.settings import DemoSettings, demo_config

__all__ = ["DemoSettings", "demo_app", "demo_config"]
