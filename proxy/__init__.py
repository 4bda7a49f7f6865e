"""Prometheus Gateway: a streaming-first, OpenAI-compatible reverse proxy.

This file holds the version and nothing else; it must stay free of imports, so that the command line starts fast.
"""

__version__ = "0.1.0"
