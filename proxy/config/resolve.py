"""Validates the values of each section and resolves ${NAME} and file: in them, after their types have been checked.

It goes on after a fault, so that all are reported in one run. It prints and stores nothing.
"""

import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from proxy.config import budget_rules, rules
from proxy.config.interpolation import InterpolationError, Interpolator
from proxy.config.presets import PRESETS
from proxy.config.problems import did_you_mean
from proxy.config.rates import limits_violations
from proxy.config.toml_positions import Path
from proxy.config.tree import Price, split_target
from proxy.config.typecheck import Report

_Value = TypeVar("_Value")


class Resolver:
    """Validates and resolves one document. It needs the document as written, because faulty values are pruned by now.

    Without an interpolator the settings of upstreams are left as they are.
    """

    def __init__(self, document: dict[str, Any], interpolator: Interpolator | None, report: Report) -> None:
        self._document = document
        self._interpolator = interpolator
        self._report = report

    def resolve(self, values: dict[str, Any]) -> None:
        """Validate all sections of a pruned document, and resolve the settings of upstreams in place."""
        self._server(values.get("server", {}), ("server",))
        for name, upstream in values.get("upstreams", {}).items():
            self._report_all(("upstreams", name), rules.upstream_name(name))
            self._default_base_url(upstream, ("upstreams", name))
            if upstream.get("formats") == []:
                self._report(
                    ("upstreams", name, "formats"), "names no format", 'such as formats = ["openai", "anthropic"]'
                )
            if self._interpolator is not None:
                self._upstream(upstream, self._interpolator, ("upstreams", name))
        for alias, model in values.get("models", {}).items():
            self._report_all(("models", alias), rules.alias_name(alias))
            self._model(model, ("models", alias))
        self._fallbacks(values.get("models", {}))
        self._admin(values.get("admin", {}), ("admin",))
        if self._interpolator is not None:
            self._otel(values.get("otel", {}), self._interpolator, ("otel",))
        for name, limits in values.get("limits", {}).items():
            self._limits(limits, ("limits", name))
        for name, budget in values.get("budgets", {}).items():
            for key, message, hint in budget_rules.budget(budget):
                self._report(("budgets", name, key), message, hint)
        if "webhooks" in values:
            self._webhooks(values["webhooks"], ("webhooks",))

    def _report_all(self, path: Path, violations: Iterable[rules.Violation]) -> None:
        for message, hint in violations:
            self._report(path, message, hint)

    def _resolved(self, path: Path, resolve: Callable[[str], _Value], text: str) -> _Value | None:
        """What a method of the interpolator makes of `text`; None, and a report, if it fails."""
        try:
            return resolve(text)
        except InterpolationError as error:
            self._report(path, error.message, error.hint)
            return None

    def _server(self, server: dict[str, Any], path: Path) -> None:
        for key, rule in (
            ("host", rules.listen_host),
            ("key_prefix", rules.key_prefix),
            ("data_dir", rules.file_name),
            ("public_url", rules.public_url),
        ):
            if key in server:
                self._report_all((*path, key), rule(server[key]))
        for origin in server.get("cors_origins", ()):
            self._report_all((*path, "cors_origins"), rules.origin(origin))

    def _otel(self, otel: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        if otel.get("endpoint"):
            url = self._resolved((*path, "endpoint"), interpolator.address, otel["endpoint"])
            if url is not None:
                self._report_all((*path, "endpoint"), rules.base_url(url))
                otel["endpoint"] = url
        if "headers" in otel:
            self._headers(otel, interpolator, (*path, "headers"))

    def _admin(self, admin: dict[str, Any], path: Path) -> None:
        if admin.get("listen"):
            self._report_all((*path, "listen"), rules.listen_address(admin["listen"]))
        for network in admin.get("networks", ()):
            self._report_all((*path, "networks"), rules.network(network))
        if admin.get("token") and self._interpolator is not None:
            token = self._resolved((*path, "token"), self._interpolator.secret, admin["token"])
            if token is not None:
                self._report_all((*path, "token"), rules.admin_token(token))
                admin["token"] = token

    def _default_base_url(self, upstream: dict[str, Any], path: Path) -> None:
        """Set the base URL of the kind's preset where none is written."""
        written = self._written(path)
        if "base_url" in written or ("kind" in written and "kind" not in upstream):
            # It is set, or the kind is invalid, which is reported already.
            return
        preset = PRESETS[upstream.get("kind", "compatible")]
        if preset.base_url:
            upstream["base_url"] = preset.base_url
            return
        known = "" if "kind" in written else ', or name the provider: kind = "openai", …'
        self._report(path, 'the key "base_url" is missing', f'such as base_url = "{preset.example_url}"{known}')

    def _upstream(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        if "base_url" in upstream:
            self._base_url(upstream, interpolator, (*path, "base_url"))
        if "api_key" in upstream:
            self._credential(upstream, interpolator, (*path, "api_key"))
        if "api_keys" in upstream:
            self._credentials(upstream, interpolator, (*path, "api_keys"))
        if "headers" in upstream:
            self._headers(upstream, interpolator, (*path, "headers"))
        if "query" in upstream:
            self._query(upstream, interpolator, (*path, "query"))
        for name in ("ca_file", "client_cert", "client_key"):
            if name in upstream:
                self._file(upstream, name, interpolator, (*path, name))
        if "client_cert" in upstream or "client_key" in upstream:
            self._client_certificate(upstream, path)
        if "proxy" in upstream:
            self._proxy(upstream, interpolator, (*path, "proxy"))
        if "socket" in upstream:
            self._socket(upstream, interpolator, (*path, "socket"))

    def _base_url(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        url = self._resolved(path, interpolator.address, upstream["base_url"])
        if url is not None:
            self._report_all(path, rules.base_url(url))
            upstream["base_url"] = url.rstrip("/")

    def _credential(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        secret = self._resolved(path, interpolator.secret, upstream["api_key"])
        if secret is not None:
            self._report_all(path, rules.credential(secret))
            upstream["api_key"] = secret

    def _credentials(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        if upstream.get("api_key"):
            self._report(path, "is given beside api_key", "leave out one of the two")
        written: list[str] = upstream["api_keys"]
        if not written:
            self._report(path, "names no key", 'name at least one, such as api_keys = ["${KEY_1}", "${KEY_2}"]')
        if len(written) > rules.MAX_KEYS:
            self._report(path, f"has more than {rules.MAX_KEYS} keys", "spread them over several upstreams")
        keys: list[str] = []
        for place, text in enumerate(written):
            secret = self._resolved((*path, place), interpolator.secret, text)
            if secret is None:
                continue
            self._report_all((*path, place), rules.credential(secret))
            if not secret:
                self._report((*path, place), "is empty", "set it, or take it out of the list")
            elif secret in keys:
                self._report((*path, place), "is the same key as one before it", "take it out: a key counts once")
            keys.append(secret)
        upstream["api_keys"] = keys

    def _webhooks(self, webhooks: dict[str, Any], path: Path) -> None:
        if "url" in webhooks:
            self._report_all((*path, "url"), budget_rules.webhook_url(webhooks["url"]))
        if "secret" in webhooks and self._interpolator is not None:
            secret = self._resolved((*path, "secret"), self._interpolator.secret, webhooks["secret"])
            if secret is not None:
                self._report_all((*path, "secret"), rules.credential(secret))
                webhooks["secret"] = secret

    def _headers(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        headers: dict[str, str] = upstream["headers"]
        seen: set[str] = set()
        for name, text in headers.items():
            where = (*path, name)
            self._report_all(where, rules.header_name(name, with_credential=_has_key(upstream)))
            if name.lower() in seen:
                self._report(where, "is given twice: header names do not mind their case", "leave out one of the two")
            seen.add(name.lower())
            value = self._resolved(where, interpolator.expand, text)
            if value is not None:
                headers[name] = value
                self._report_all(where, rules.header_value(value))

    def _query(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        query: dict[str, str] = upstream["query"]
        for name, text in query.items():
            where = (*path, name)
            value = self._resolved(where, interpolator.expand, text)
            if value is not None:
                query[name] = value
                self._report_all(where, rules.query_parameter(name, value))

    def _file(self, upstream: dict[str, Any], name: str, interpolator: Interpolator, path: Path) -> None:
        """A file that is read when the pool of the upstream is built."""
        violations = list(rules.file_name(upstream[name]))
        self._report_all(path, violations)
        file = None if violations else self._resolved(path, interpolator.path, upstream[name])
        if file is None:
            return
        try:
            with file.open("rb") as opened:
                opened.read(1)
        except OSError as error:
            self._report(path, f"cannot be read: {error.strerror}", "name a PEM file this user may read")
        else:
            upstream[name] = str(file)

    def _client_certificate(self, upstream: dict[str, Any], path: Path) -> None:
        """Certificate and key must belong together. Files that cannot be read are reported already."""
        certificate, key = upstream.get("client_cert"), upstream.get("client_key")
        if certificate is None:
            self._report((*path, "client_key"), "is the key of no certificate", "name that as client_cert")
            return
        if not str(upstream.get("base_url", "https:")).startswith("https:"):
            self._report((*path, "client_cert"), "is not sent without TLS", "use https:// in base_url")
        if not all(os.path.isfile(name) for name in (certificate, key) if name is not None):
            return
        try:
            # For an encrypted key OpenSSL would prompt on the terminal; the empty passphrase never fits one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            hint = "name a certificate and its own key, in PEM form, the key without a passphrase"
            self._report((*path, "client_cert"), f"cannot be used with its key ({why})", hint)

    def _proxy(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        if upstream["proxy"] == "env":
            proxy: str | None = interpolator.proxy_for(str(upstream.get("base_url", "")))
        else:
            proxy = self._resolved(path, interpolator.secret, upstream["proxy"])
        if proxy is not None:
            if proxy:
                self._report_all(path, rules.proxy_url(proxy))
            upstream["proxy"] = proxy

    def _socket(self, upstream: dict[str, Any], interpolator: Interpolator, path: Path) -> None:
        self._report_all(path, rules.file_name(upstream["socket"]))
        if upstream.get("proxy"):
            self._report(path, "is given beside a proxy", "leave out one of the two")
        socket = self._resolved(path, interpolator.path, upstream["socket"])
        if socket is not None:
            upstream["socket"] = str(socket)
            self._report_all(path, rules.socket_path(str(socket)))

    def _model(self, model: dict[str, Any], path: Path) -> None:
        if model.get("targets") == []:
            self._report((*path, "targets"), "names no target", 'name at least one, as "upstream/model"')
        for index, target in enumerate(model.get("targets", [])):
            if isinstance(target, str):
                self._target(target, (*path, "targets", index))
        if "price" in model:
            self._price(model, model["price"], (*path, "price"))
        for target, price in model.get("costs", {}).items():
            if target not in model.get("targets", []):
                hint = did_you_mean(target, model.get("targets", [])) or "costs are for the alias's own targets"
                self._report((*path, "costs", target), "is no target of this alias", hint)
            self._price(model, price, (*path, "costs", target))
        if "routing" in model:
            self._weights(model, (*path, "routing", "weights"))
        if "limits" in model:
            self._limits(model["limits"], (*path, "limits"))

    def _limits(self, limits: dict[str, Any], path: Path) -> None:
        for place, message, hint in limits_violations(limits):
            self._report((*path, *place), message, hint)

    def _weights(self, model: dict[str, Any], path: Path) -> None:
        """Weights are for targets of the alias, and one of these gets requests."""
        weights: dict[str, int] = model["routing"].get("weights", {})
        targets = [target for target in model.get("targets", []) if isinstance(target, str)]
        for target in weights:
            if target not in targets:
                hint = did_you_mean(target, targets) or "weights are for the alias's own targets"
                self._report((*path, target), "is no target of this alias", hint)
        if targets and all(weights.get(target) == 0 for target in targets):
            self._report(path, "are 0 for all targets: none would get a request", "give one of them a weight above 0")

    def _fallbacks(self, models: dict[str, Any]) -> None:
        """Fallbacks name aliases, and come to an end."""
        named: dict[str, dict[str, Path]] = {}
        for alias, model in models.items():
            fallbacks: dict[str, list[str]] = model.get("routing", {}).get("fallbacks", {})
            for cause, names in fallbacks.items():
                for place, name in enumerate(names):
                    path = ("models", alias, "routing", "fallbacks", cause, place)
                    if name not in self._written(("models",)):
                        hint = did_you_mean(name, list(models)) or f"add [models.{name}], or take it out"
                        self._report(path, f'no alias is named "{name}"', hint)
                    else:
                        named.setdefault(alias, {}).setdefault(name, path)
        for alias, name, way in _loops({alias: list(names) for alias, names in named.items()}):
            steps = " -> ".join(way)
            self._report(named[alias][name], f"leads back to where it began: {steps}", "take one of them out")

    def _target(self, target: str, path: Path) -> None:
        upstream, name = split_target(target)
        if not upstream or not name or not target.isprintable() or " " in target:
            self._report(path, "must be of the form upstream/model", 'such as "openai/gpt-5"')
        elif upstream not in self._written(("upstreams",)):
            hint = did_you_mean(upstream, self._written(("upstreams",))) or f"add [upstreams.{upstream}]"
            self._report(path, f'no upstream is named "{upstream}"', hint)

    def _price(self, model: dict[str, Any], prices: dict[str, Any], path: Path) -> None:
        tiers: dict[str, dict[str, str]] = prices.get("tiers", {})
        for kind, text in prices.items():
            if kind != "tiers":
                self._report_all((*path, kind), rules.price(text))
        for tier, tier_prices in tiers.items():
            self._report_all((*path, "tiers", tier), rules.tier_name(tier))
            for kind, text in tier_prices.items():
                self._report_all((*path, "tiers", tier, kind), rules.price(text))
            if "capability" in model:
                kinds = set(tier_prices)
                self._report_all((*path, "tiers", tier), rules.price_kinds(model["capability"], kinds))
        if "capability" in model:
            written = self._written(path)
            kinds = written & set(Price.__struct_fields__)
            # If all of them are unknown keys, that is reported already.
            if kinds or not written:
                self._report_all(path, rules.price_kinds(model["capability"], kinds))

    def _written(self, path: Path) -> set[str]:
        """The keys of the table at `path` as the file has them."""
        table: Any = self._document
        for part in path:
            table = table.get(part) if isinstance(table, dict) else None
        return set(table) if isinstance(table, dict) else set()


def _has_key(upstream: dict[str, Any]) -> bool:
    return bool(upstream.get("api_key") or upstream.get("api_keys"))


def _loops(graph: dict[str, list[str]]) -> Iterator[tuple[str, str, list[str]]]:
    """Each way that leads back to a name on it: (the last name, where it leads back to, the way from there)."""
    done: set[str] = set()
    for start in graph:
        # The names on the way from `start`, and which of the next ones of each are still to be followed.
        way: list[str] = []
        ahead: list[list[str]] = [[start]]
        while ahead:
            if not ahead[-1]:
                ahead.pop()
                if way:
                    done.add(way.pop())
                continue
            name = ahead[-1].pop(0)
            if name in way:
                yield way[-1], name, [*way[way.index(name) :], name]
            elif name not in done:
                way.append(name)
                ahead.append(list(graph.get(name, ())))
