"""Interpolation of secrets: "${NAME}" is a variable of the environment, "file:PATH" the first line of a file.

The values are secret: an error names the variable or the file, never its value.
"""

import ipaddress
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

_VARIABLE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALL_PROXY = ("all_proxy", "ALL_PROXY")
#: A host of NO_PROXY with an optional port; an IPv6 address with a port is in brackets.
_HOST_AND_PORT = re.compile(r"(\[[^]]+\]|[^:]+)(?::([0-9]+))?")
_MAX_SECRET_BYTES = 65_536
#: A shorter value is hidden only as a whole word: it may be part of other words.
_MIN_DISTINCT_CHARACTERS = 4


class InterpolationError(Exception):
    """A ${NAME} or file: that cannot be resolved: what is wrong, and how to fix it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Interpolator:
    """Interpolates settings from one environment, and from files relative to the folder of one configuration file."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        #: Values in addresses, by the ${NAME} as it is written.
        self._used: dict[str, str] = {}

    def expand(self, text: str) -> str:
        """Replace each ${NAME} by its value in the environment. Raises InterpolationError."""
        return _VARIABLE.sub(self._variable, text)

    def address(self, text: str) -> str:
        """Like `expand`, for an address: messages may quote it, and `hide` replaces the values in them."""
        found = self.expand(text)
        self._used |= {match.group(): self._variable(match) for match in _VARIABLE.finditer(text)}
        return found

    def secret(self, text: str) -> str:
        """Resolve a credential: file:PATH, a text with ${NAME}, or a literal. Raises InterpolationError."""
        if text.startswith("file:"):
            return self._first_line(self.expand(text.removeprefix("file:")))
        return self.expand(text)

    def proxy_for(self, url: str) -> str:
        """The forward proxy for an address by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or ""."""
        parts = urlsplit(url)
        names = {"http": ("http_proxy", "HTTP_PROXY"), "https": ("https_proxy", "HTTPS_PROXY")}.get(parts.scheme, ())
        proxy = next((self._environment[name] for name in (*names, *_ALL_PROXY) if self._environment.get(name)), "")
        no_proxy = self._environment.get("no_proxy") or self._environment.get("NO_PROXY", "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if not proxy or _is_excepted(parts.hostname or "", port, no_proxy):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def path(self, text: str) -> Path:
        """Resolve a path: relative to the configuration file, "~" is the home folder. Raises InterpolationError."""
        try:
            return self._folder / Path(text).expanduser()
        except RuntimeError as error:
            raise InterpolationError("the home folder of this path is not known", "write the path in full") from error

    def _variable(self, match: re.Match[str]) -> str:
        name = match.group(1)
        if not match.group().endswith("}") or not _NAME.fullmatch(name):
            raise InterpolationError("a ${NAME} is not written in full", "write ${ and a variable's name and }")
        value = self._environment.get(name)
        if value is None:
            raise InterpolationError(f"the environment variable {name} is not set", f"export {name}=… before the start")
        if not value:
            raise InterpolationError(f"the environment variable {name} is empty", f"export {name}=… before the start")
        return value

    def hide(self, text: str) -> str:
        """Replace the values that `address` interpolated into a message by their ${NAME}."""
        # Addresses may be quoted without the slash at their end, and hosts in lower case.
        used = {name: value.strip("/") for name, value in self._used.items()}
        for name, value in sorted(used.items(), key=_value_length, reverse=True):
            if not value:
                continue
            pattern = f"(?:{re.escape(value)}|{re.escape(value.lower())})"
            if len(value) < _MIN_DISTINCT_CHARACTERS:
                pattern = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
            text = re.sub(pattern, partial(_literal, name), text)
        return text

    def _first_line(self, name: str) -> str:
        if not name:
            raise InterpolationError("file: names no file", "write file:PATH")
        path = self.path(name)
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_SECRET_BYTES + 1)
            text = content.decode()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text, or its name is no file's"
            raise InterpolationError(
                f"the file {path} cannot be read: {why}", "name a text file this user may read"
            ) from error
        line = text.partition("\n")[0].removesuffix("\r")
        if not line or len(content) > _MAX_SECRET_BYTES:
            raise InterpolationError(f"the first line of {path} holds no credential", "put it there, and nothing else")
        return line


def _value_length(item: tuple[str, str]) -> int:
    return len(item[1])


def _literal(name: str, match: re.Match[str]) -> str:
    return name


def _is_excepted(host: str, port: int, names: str) -> bool:
    """Whether NO_PROXY matches a host: by its name, its domain, its network, or "*".

    An entry with a port matches that port only. Entries are separated by commas or blanks.
    """
    for part in re.split(r"[\s,]+", names.lower()):
        found = _HOST_AND_PORT.fullmatch(part)
        if found is not None and found[2] and int(found[2]) != port:
            continue
        name = found[1].strip("[]") if found is not None else part
        domain = name.removeprefix("*").removeprefix(".")
        if name == "*" or (domain and (host == domain or host.endswith(f".{domain}"))):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            # One of the two is a name, not an address.
            continue
    return False
