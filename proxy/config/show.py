"""Formats the effective configuration as TOML, with every default and with secrets masked.

The result is for people and for comparisons; masked values cannot be loaded again.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from proxy.config.toml_format import toml_key, toml_value
from proxy.config.tree import Config, Upstream

#: In the order in which they are written.
_SECTIONS = ("server", "upstreams", "models", "metrics", "admin", "otel", "limits", "budgets", "webhooks")
_VARIABLE = re.compile(r"\$\{[^}]*\}")


def show(config: Config, written: Config) -> str:
    """Format a configuration as TOML; `written` is as for `masked`."""
    return "\n".join(_lines(masked(config, written))) + "\n"


def masked(config: Config, written: Config) -> Config:
    """A copy without secrets: credentials, values of headers and queries, the path of the webhook, and in addresses the
    user information and the values of ${NAME}. `written` is the same configuration without interpolation.

    Most headers are credentials, and a query may have one.
    """
    upstreams = {
        name: _masked_upstream(upstream, written.upstreams.get(name, upstream).base_url)
        for name, upstream in config.upstreams.items()
    }
    otel = msgspec.structs.replace(
        config.otel,
        endpoint=_masked_address(config.otel.endpoint, written.otel.endpoint),
        headers={name: mask(value) for name, value in config.otel.headers.items()},
    )
    admin = msgspec.structs.replace(config.admin, token=mask(config.admin.token))
    webhooks = config.webhooks
    if webhooks is not None:
        # Who knows the path of a webhook may post to it.
        scheme, _, rest = webhooks.url.rpartition("://")
        authority, slash, path = rest.partition("/")
        url = f"{scheme}://{authority.rpartition('@')[2].partition('?')[0]}{slash}{mask(path)}"
        webhooks = msgspec.structs.replace(webhooks, url=url, secret=mask(webhooks.secret))
    return msgspec.structs.replace(config, upstreams=upstreams, admin=admin, otel=otel, webhooks=webhooks)


def mask(secret: str) -> str:
    """Mask a secret but for its last four characters, if it is long enough, so that keys can be distinguished."""
    if not secret:
        return ""
    return "****" + (secret[-4:] if len(secret) > 12 else "")


def _masked_address(address: str, written: str) -> str:
    """An address without user information and values of variables."""
    address = _VARIABLE.sub("****", written) if _VARIABLE.search(written) else address
    scheme, _, rest = address.rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme + '://' if scheme else ''}{authority.rpartition('@')[2]}{slash}{path}"


def _masked_upstream(upstream: Upstream, written: str) -> Upstream:
    proxy_scheme, _, proxy = upstream.proxy.rpartition("://")
    _, at, place = proxy.rpartition("@")
    return msgspec.structs.replace(
        upstream,
        base_url=_masked_address(upstream.base_url, written),
        api_key=mask(upstream.api_key),
        api_keys=[mask(key) for key in upstream.api_keys],
        proxy=f"{proxy_scheme}://****@{place}" if at else upstream.proxy,
        headers={name: mask(value) for name, value in upstream.headers.items()},
        query={name: mask(value) for name, value in upstream.query.items()},
    )


def _lines(config: Config) -> Iterator[str]:
    for name in _SECTIONS:
        found = getattr(config, name)
        sections = (
            {f"{name}.{toml_key(str(one))}": of_one for one, of_one in found.items()}
            if isinstance(found, dict)
            else {name: found}
        )
        for section, settings in sections.items():
            if settings is not None:
                yield from ([""] if name != _SECTIONS[0] else [])
                yield f"[{section}]"
                yield from _settings(settings)


def _settings(section: msgspec.Struct) -> Iterator[str]:
    for name, value in msgspec.structs.asdict(section).items():
        if value is not None:
            yield f"{name} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        return _inline({name: item for name, item in msgspec.structs.asdict(value).items() if item is not None})
    if isinstance(value, dict):
        return _inline(value)
    # Prices are written as strings, so that they stay exact.
    return toml_value(str(value) if isinstance(value, Decimal) else value)


def _inline(pairs: Mapping[str, object]) -> str:
    if not pairs:
        return "{}"
    return "{ " + ", ".join(f"{toml_key(name)} = {_value(value)}" for name, value in pairs.items()) + " }"
