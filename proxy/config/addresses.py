"""Detects likely mistakes in a base URL, and corrects them: an endpoint's path, a missing version, a repeated version.

Pure: no upstream is called.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from proxy.config.presets import PRESETS
from proxy.config.tree import Upstream

_VERSION: Final = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]*)?")
#: Ends of endpoint paths that may be pasted; the longest first.
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
#: The path of a model in Gemini's format.
_MODEL_PATH: Final = re.compile(r"/models/[^/]+:[A-Za-z]+$")


def without_endpoint(url: str) -> str | None:
    """The base URL without an endpoint's path at its end; None where it has none."""
    path = url.rstrip("/")
    found = _MODEL_PATH.search(path)
    if found is not None:
        return path[: found.start()]
    ending = next((ending for ending in _ENDPOINTS if path.lower().endswith(ending)), None)
    return None if ending is None else path[: -len(ending)]


def with_version(upstream: Upstream) -> str | None:
    """The base URL with the version that its kind has; None where it has one, or the kind has none."""
    url = upstream.base_url.rstrip("/")
    preset = PRESETS[upstream.kind]
    segments = urlsplit(url).path.split("/")
    usual = urlsplit(preset.base_url or preset.example_url).path
    version = next((part for part in usual.split("/") if _VERSION.fullmatch(part)), None)
    if version is None or any(_VERSION.fullmatch(part) for part in segments):
        return None
    if upstream.kind == "azure" and "deployments" in segments:
        # Their version is in the query.
        return None
    if upstream.kind == "compatible" and any(segments):
        # There are servers whose path has no version.
        return None
    return f"{url}{usual}" if upstream.kind == "azure" and "openai" not in segments else f"{url}/{version}"


def base_url_warnings(upstream: Upstream) -> Iterator[tuple[str, str]]:
    """Likely mistakes in a base URL, and how to fix them. It is not for addresses of well-known providers."""
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
