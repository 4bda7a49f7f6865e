"""Values that stand somewhere else: "${NAME}" in the environment, "file:PATH" in a file.

What is read here is secret: an error names the variable or the file, never what it holds.
"""

import ipaddress
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

_REFERENCE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANY_PROXY = ("all_proxy", "ALL_PROXY")
#: A host of NO_PROXY with its port; an IPv6 address stands in brackets then.
_HOST_AND_PORT = re.compile(r"(\[[^]]+\]|[^:]+)(?::([0-9]+))?")
_LARGEST_SECRET = 65_536
#: A shorter value is hidden only where it stands by itself: it may be a part of any word.
_LEAST_DISTINCT = 4


class BrokenReference(Exception):
    """A reference that leads nowhere: what is wrong, and how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class References:
    """Resolves references against one environment and the folder of one configuration file."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        #: What was put into addresses, by the reference as it is written.
        self._used: dict[str, str] = {}

    def expand(self, text: str) -> str:
        """Put the environment's values in the place of each ${NAME}. Raises BrokenReference."""
        return _REFERENCE.sub(self._variable, text)

    def address(self, text: str) -> str:
        """The same for an address: messages may show one, so `hide` knows what is put in. Raises BrokenReference."""
        found = self.expand(text)
        self._used |= {match.group(): self._variable(match) for match in _REFERENCE.finditer(text)}
        return found

    def secret(self, text: str) -> str:
        """Resolve a credential: file:PATH, ${NAME}, or the literal itself. Raises BrokenReference."""
        if text.startswith("file:"):
            return self._first_line(self.expand(text.removeprefix("file:")))
        return self.expand(text)

    def proxy_for(self, url: str) -> str:
        """The forward proxy that the environment names for an address, or ""."""
        parts = urlsplit(url)
        names = {"http": ("http_proxy", "HTTP_PROXY"), "https": ("https_proxy", "HTTPS_PROXY")}.get(parts.scheme, ())
        proxy = next((self._environment[name] for name in (*names, *_ANY_PROXY) if self._environment.get(name)), "")
        excepted = self._environment.get("no_proxy") or self._environment.get("NO_PROXY", "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if not proxy or _is_excepted(parts.hostname or "", port, excepted):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def path(self, text: str) -> Path:
        """Find a path as the configuration file means it: from its own folder, "~" being the home."""
        try:
            return self._folder / Path(text).expanduser()
        except RuntimeError as error:
            raise BrokenReference("the home folder of this path is not known", "write the path in full") from error

    def _variable(self, match: re.Match[str]) -> str:
        name = match.group(1)
        if not match.group().endswith("}") or not _NAME.fullmatch(name):
            raise BrokenReference("a ${NAME} is not written in full", "write ${ and a variable's name and }")
        value = self._environment.get(name)
        if value is None:
            raise BrokenReference(f"the environment variable {name} is not set", f"export {name}=… before the start")
        if not value:
            raise BrokenReference(f"the environment variable {name} is empty", f"export {name}=… before the start")
        return value

    def hide(self, text: str) -> str:
        """A message with the references in the place of what was put in for them."""
        # An address may be shown without the slash at its end, and its host in small letters.
        used = {name: value.strip("/") for name, value in self._used.items()}
        for name, value in sorted(used.items(), key=_length_of_value, reverse=True):
            if not value:
                continue
            pattern = f"(?:{re.escape(value)}|{re.escape(value.lower())})"
            if len(value) < _LEAST_DISTINCT:
                pattern = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
            text = re.sub(pattern, partial(_itself, name), text)
        return text

    def _first_line(self, name: str) -> str:
        if not name:
            raise BrokenReference("file: names no file", "write file:PATH")
        path = self.path(name)
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST_SECRET + 1)
            text = content.decode()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text, or its name is no file's"
            raise BrokenReference(
                f"the file {path} cannot be read: {why}", "name a text file this user may read"
            ) from error
        line = text.partition("\n")[0].removesuffix("\r")
        if not line or len(content) > _LARGEST_SECRET:
            raise BrokenReference(f"the first line of {path} holds no credential", "put it there, and nothing else")
        return line


def _length_of_value(item: tuple[str, str]) -> int:
    return len(item[1])


def _itself(name: str, match: re.Match[str]) -> str:
    return name


def _is_excepted(host: str, port: int, names: str) -> bool:
    """Whether NO_PROXY names a host: by itself, by a domain that it is in, by its network, or by "*".

    One with a port is meant only there. Some write blanks between them.
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
            # One of the two is a name.
            continue
    return False
