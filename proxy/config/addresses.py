"""What a base URL may be wrong in: an endpoint's path at its end, no version where the kind has one, or two of them.

Pure: an address in, a better one out. Whether an upstream answers there is not known here.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from proxy.config.presets import PRESETS
from proxy.config.tree import Upstream

_VERSION: Final = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]*)?")
#: How the endpoints' paths end that people paste; the longest first.
_ENDPOINTS: Final = (
    "/chat/completions",
    "/messages/count_tokens",
    "/images/generations",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
    "/completions",
    "/responses",
    "/embeddings",
    "/moderations",
    "/messages",
    "/rerank",
    "/models",
)
#: A model's own path in Gemini's format.
_MODEL_PATH: Final = re.compile(r"/models/[^/]+:[A-Za-z]+$")


def without_endpoint(url: str) -> str | None:
    """Take an endpoint's path off the end of a base URL; None where it has none."""
    path = url.rstrip("/")
    found = _MODEL_PATH.search(path)
    if found is not None:
        return path[: found.start()]
    ending = next((ending for ending in _ENDPOINTS if path.lower().endswith(ending)), None)
    return None if ending is None else path[: -len(ending)]


def with_version(upstream: Upstream) -> str | None:
    """Add the version that addresses of this kind have; None where it is there, or the kind has none."""
    url = upstream.base_url.rstrip("/")
    preset = PRESETS[upstream.kind]
    segments = urlsplit(url).path.split("/")
    usual = urlsplit(preset.base_url or preset.example_url).path
    version = next((part for part in usual.split("/") if _VERSION.fullmatch(part)), None)
    if version is None or any(_VERSION.fullmatch(part) for part in segments):
        return None
    if upstream.kind == "azure" and "deployments" in segments:
        # Theirs stands in the query.
        return None
    if upstream.kind == "compatible" and any(segments):
        # Whoever writes a path may know a server without a version in it.
        return None
    return f"{url}{usual}" if upstream.kind == "azure" and "openai" not in segments else f"{url}/{version}"


def odd(upstream: Upstream) -> Iterator[tuple[str, str]]:
    """What is probably wrong with a base URL, and how to mend it; nothing about those of well-known providers."""
    url = upstream.base_url
    stripped = without_endpoint(url)
    if stripped is not None:
        ending = urlsplit(url.rstrip("/")[len(stripped) :]).path
        yield f"ends in {ending}, the path of an endpoint, which is added for each request", f'base_url = "{stripped}"'
        return
    longer = with_version(upstream)
    if longer is not None:
        yield "has no version in its path", f'base_url = "{longer}", unless the provider has none'
    segments = urlsplit(url).path.rstrip("/").split("/")
    if len(segments) > 2 and segments[-1] == segments[-2] and _VERSION.fullmatch(segments[-1]):
        yield "has its version twice", f'base_url = "{url.rstrip("/")[: -len(segments[-1]) - 1]}"'
    if upstream.kind == "azure" and "deployments" in segments and "api-version" not in upstream.query:
        yield "is one deployment's, and lacks the version", 'query = { api-version = "2024-10-21" }'
