"""Paths that are no endpoint's as they are written: other spellings of one, which are served, and mistakes in a base
URL, which an error explains.

Pure: paths in, paths and sentences out. Nothing here authorises: a path is looked up again as it is spelled here.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from proxy.dialects.base import DialectName
from proxy.endpoints.table import DEPLOYMENTS, ROWS, Row

#: Azure's API in the form of OpenAI's, with and without a version; its deployments are rows of their own.
_AZURE = re.compile(r"/openai/+(?!deployments/|/)(?:v1/+)?")
_VERSION = re.compile(r"/(v1|v1beta)/+(?:\1/+)*")
_SLASHES = re.compile("/{2,}")
#: What base URLs end in that were copied from a provider's documents, or that name an endpoint.
_FOREIGN: Final = ("v1", "v1beta", "api", "openai", "anthropic", "gemini", "google")
#: First words of the paths that clients call with a key, those that only lack their version too.
_CLIENT_WORDS: Final = frozenset({"v1", "v1beta", "openai", *(row.path.split("/")[2] for row in ROWS)})
#: Longer paths are not looked at for what they mean.
MAX_WRONG_PATH: Final = 256
#: How a client is set up so that its requests come to the right path, for each family of formats.
_SETUP: Final[dict[DialectName, str]] = {
    "openai": "Set the SDK's base URL to this gateway's address with /v1 behind it and nothing else.",
    "anthropic": "Set the SDK's base URL to this gateway's address alone: the SDK adds /v1/messages itself.",
    "gemini": "Set the SDK's base URL to this gateway's address alone: the SDK adds /v1beta itself.",
}


class Meant(NamedTuple):
    """The endpoint that a wrong path certainly means."""

    path: str
    dialect: DialectName

    @property
    def hint(self) -> str:
        """How to get there."""
        return f"Did you mean {self.path}? {_SETUP[self.dialect]}"


def respelled(path: str, exact: Collection[str]) -> str:
    """A path without what base URLs add to it by accident: slashes too many, its version twice, and Azure's prefix.

    Slashes are taken out of the middle only where that leads to one of the `exact` paths: in front of an id that a
    program forgot to fill in, it would lead to another endpoint.
    """
    bare = "/" + path.strip("/")
    if bare.startswith(DEPLOYMENTS):
        return bare
    azure = _AZURE.match(bare)
    if azure is not None:
        bare = "/v1/" + bare[azure.end() :]
    version = _VERSION.match(bare)
    if version is None:
        # Not a client's path: rules for it in front of the gateway must hold as they are written.
        return path
    bare = f"/{version[1]}/{bare[version.end() :]}"
    single = _SLASHES.sub("/", bare)
    return single if single in exact else bare


def is_for_clients(path: str) -> bool:
    """Whether a path is one of those that clients call with a key, or means to be."""
    return path.split("/", 2)[1] in _CLIENT_WORDS


class Mistakes:
    """Finds what wrong paths mean, by the rows of the table."""

    def __init__(self, rows: Collection[Row], objects: Iterable[str]) -> None:
        """`objects` are the paths of endpoints for things with an id."""
        rests = [row.path[1:].partition("/")[2] for row in rows]
        before = "|".join(re.escape(one) for one in (*_FOREIGN, *rests) if "{" not in one)
        self._endings: list[tuple[re.Pattern[str], str, DialectName]] = []
        for row, rest in zip(rows, rests, strict=True):
            # A name in the path is repeated as it was written.
            ending = re.escape(rest).replace(r"\{model\}", "([^/]+)")
            self._endings.append((re.compile(f"(?:/(?:{before}))*/{ending}"), row.path, row.dialect.name))
        # The longest first: /messages/count_tokens before /count_tokens.
        self._endings.sort(key=lambda one: len(one[1]), reverse=True)
        collections = "|".join({"models", *(path.split("/")[2] for path in objects)})
        # Below Gemini's models are its methods, and no other's.
        self._below = re.compile(f"(?!/v1beta/models)(?:/(?:{before}))*(/(?:{collections})(?:/.*)?)")

    def meant(self, path: str) -> Meant | None:
        """The endpoint that a path certainly means, if it does."""
        if len(path) > MAX_WRONG_PATH:
            return None
        for ending, right, dialect in self._endings:
            match = ending.fullmatch(path)
            if match is not None:
                model = match[1] if match.groups() else ""
                return Meant(right.replace("{model}", model), dialect)
        match = self._below.fullmatch(path)
        right = f"/v1{match[1]}" if match is not None else path
        return Meant(right, "openai") if right != path else None
