"""The ready block of `serve`: what was started, what is still missing, and a call that works as pasted.

Its last line names the address. It goes to stdout, for it is what `serve` has to say.
"""

import asyncio
import logging
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from proxy.auth.keys import KeyStore
from proxy.cli.demo_key import FILE_NAME
from proxy.config.translated import service
from proxy.config.tree import Config

_log = logging.getLogger(__name__)
_QUESTION = '{"model": "%s", "stream": true, "messages": [{"role": "user", "content": "What is a gateway?"}]}'
#: Wildcard addresses, which no client can call, and those to call instead.
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


class ReadyBlock:
    """Prints the ready block once the sockets are served."""

    def __init__(
        self, config: Config, url: str, *, demo_secret: str, link: str, keyless: bool, options: list[str], as_json: bool
    ) -> None:
        """`demo_secret` is "" without a demo, and `link`, which signs an admin in; `keyless` says that no key could be
        used yet.

        `options` are those with which other commands find the same configuration and the same data.
        """
        self._config = config
        self._url = url
        self._demo_secret = demo_secret
        self._link = link
        self._keyless = keyless
        self._options = options
        self._as_json = as_json

    def print(self) -> None:
        """Print it; to be called once."""
        if self._as_json:
            if self._keyless:
                _log.warning("there are no keys yet: %s", self._command("keys create NAME"))
            print(self._json(), flush=True)
        else:
            print("\n".join([*self._lines(), f"Ready: {self._url}"]), flush=True)

    def _json(self) -> str:
        line: dict[str, object] = {"event": "ready", "url": self._url, "aliases": list(self._config.models)}
        if self._demo_secret:
            line["key"] = self._demo_secret
            line["dashboard"] = self._link
        return msgspec.json.encode(line).decode()

    def _lines(self) -> Iterator[str]:
        if self._demo_secret:
            yield "Prometheus Gateway demo: a make-believe provider, nothing is called and nothing costs anything."
            yield f"Aliases: {', '.join(self._config.models)}"
            yield f"Key:     {self._demo_secret}"
            data_dir = self._config.server.data_dir
            yield f"Kept:    in {data_dir}: this key ({FILE_NAME}), keys that you create, and the usage."
            yield from self._call(self._demo_secret)
            if self._link:
                yield f"Dashboard: {self._link} (signs in once, within ten minutes)"
            yield f"Docs:      {callable_url(self._url)}/"
            yield f"Another key: {self._command('keys create NAME')}"
            yield f"Your own providers: {self._command('init', [])}"
        elif not self._config.models:
            yield "No models are configured yet: every request will be a 404. See docs/configuration.md."
        if self._keyless:
            yield f"There are no keys yet: {self._command('keys create NAME')}"
            if self._callable:
                yield from self._call("YOUR_KEY")

    @property
    def _callable(self) -> str:
        """An alias for `/v1/chat/completions`, the best known one if it can be called there; "" if none can."""
        models, upstreams = self._config.models, self._config.upstreams
        found = [
            alias
            for alias, model in models.items()
            if model.capability in ("chat", "vision", "realtime")
            and service(model, upstreams, "/v1/chat/completions") != "refused"
        ]
        return "prometheus-core" if "prometheus-core" in found else next(iter(found), "")

    def _call(self, secret: str) -> Iterator[str]:
        yield from (
            "",
            "Try it:",
            "",
            f"curl -N {callable_url(self._url)}/v1/chat/completions \\",
            f"  -H 'Authorization: Bearer {secret}' \\",
            "  -H 'Content-Type: application/json' \\",
            f"  -d {shlex.quote(_QUESTION % self._callable)}",
            "",
        )

    def _command(self, words: str, options: list[str] | None = None) -> str:
        more = self._options if options is None else options
        return " ".join(["prometheus-gateway", words, *map(shlex.quote, more)])


def callable_url(url: str) -> str:
    """The URL at which this machine reaches a listener, also one on a wildcard address."""
    parts = urlsplit(url)
    host = _ALL_ADDRESSES.get(parts.hostname or "")
    return url if host is None else parts._replace(netloc=f"{host}:{parts.port}").geturl()


async def has_keys(data_dir: Path) -> bool:
    """Whether there is a key that works now. Raises StoreFailed. It creates no database."""
    if not await asyncio.to_thread((data_dir / "keys.db").exists):
        return False
    async with KeyStore(data_dir) as store:
        async for key in store.all():
            if key.expires is None or key.expires > time.time():
                return True
    return False
