"""Prints the configuration in force as TOML: every default, no secret.

The result is for eyes and for comparing; masked values cannot be loaded again.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from proxy.config.fields import toml_string, toml_value
from proxy.config.tree import Config, Upstream

_REFERENCE = re.compile(r"\$\{[^}]*\}")


def show(config: Config, written: Config) -> str:
    """Write the configuration as TOML, with every default and with all secrets masked."""
    return "\n".join(_lines(masked(config, written))) + "\n"


def masked(config: Config, written: Config) -> Config:
    """Give a copy without secrets: credentials, values of headers and queries, and of addresses the user-info and what
    a ${NAME} stands for. `written` is the same configuration with its references as they are written.

    Most headers are credentials, and a query may be one.
    """
    upstreams = {
        name: _masked_upstream(upstream, written.upstreams.get(name, upstream).base_url)
        for name, upstream in config.upstreams.items()
    }
    return msgspec.structs.replace(config, upstreams=upstreams)


def mask(secret: str) -> str:
    """Hide a secret but for, when it is long enough, its last four characters, by which people tell keys apart."""
    if not secret:
        return ""
    return "****" + (secret[-4:] if len(secret) > 12 else "")


def _masked_upstream(upstream: Upstream, written: str) -> Upstream:
    address = _REFERENCE.sub("****", written) if _REFERENCE.search(written) else upstream.base_url
    scheme, _, rest = address.rpartition("://")
    authority, slash, path = rest.partition("/")
    proxy_scheme, _, proxy = upstream.proxy.rpartition("://")
    _, at, place = proxy.rpartition("@")
    return msgspec.structs.replace(
        upstream,
        base_url=f"{scheme + '://' if scheme else ''}{authority.rpartition('@')[2]}{slash}{path}",
        api_key=mask(upstream.api_key),
        proxy=f"{proxy_scheme}://****@{place}" if at else upstream.proxy,
        headers={name: mask(value) for name, value in upstream.headers.items()},
        query={name: mask(value) for name, value in upstream.query.items()},
    )


def _lines(config: Config) -> Iterator[str]:
    yield "[server]"
    yield from _settings(config.server)
    for name, upstream in config.upstreams.items():
        yield ""
        yield f"[upstreams.{_key(name)}]"
        yield from _settings(upstream)
    for alias, model in config.models.items():
        yield ""
        yield f"[models.{_key(alias)}]"
        yield from _settings(model)


def _settings(section: msgspec.Struct) -> Iterator[str]:
    for name, value in msgspec.structs.asdict(section).items():
        if value is not None:
            yield f"{name} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        return _inline({name: item for name, item in msgspec.structs.asdict(value).items() if item is not None})
    if isinstance(value, dict):
        return _inline(value)
    # A price is written as a text, so that it stays exact.
    return toml_value(str(value) if isinstance(value, Decimal) else value)


def _inline(pairs: Mapping[str, object]) -> str:
    if not pairs:
        return "{}"
    return "{ " + ", ".join(f"{_key(name)} = {_value(value)}" for name, value in pairs.items()) + " }"


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else toml_string(name)
