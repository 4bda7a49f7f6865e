"""Checks what each section means, and puts the values of references in their place.

Works on values of the right types, keeps going after a fault, and does not print or store anything.
"""

import os
import ssl
from collections.abc import Iterable
from typing import Any

from proxy.config import rules
from proxy.config.presets import PRESETS
from proxy.config.problems import did_you_mean
from proxy.config.references import BrokenReference, References
from proxy.config.toml_positions import Path
from proxy.config.tree import Price, split_target
from proxy.config.typecheck import Tell


class Sections:
    """The checks of one document, which is at hand as it was written: what was faulty in type is still named there.

    Without `references`, the settings of upstreams are left as they are.
    """

    def __init__(self, document: dict[str, Any], references: References | None, tell: Tell) -> None:
        self._document = document
        self._references = references
        self._tell = tell

    def check(self, values: dict[str, Any]) -> None:
        """Check a whole document of the right types; references in it are resolved in place."""
        self._server(values.get("server", {}), ("server",))
        for name, upstream in values.get("upstreams", {}).items():
            self._tell_all(("upstreams", name), rules.upstream_name(name))
            self._default_base_url(upstream, ("upstreams", name))
            if upstream.get("formats") == []:
                self._tell(
                    ("upstreams", name, "formats"), "names no format", 'such as formats = ["openai", "anthropic"]'
                )
            if self._references is not None:
                self._upstream(upstream, self._references, ("upstreams", name))
        for alias, model in values.get("models", {}).items():
            self._tell_all(("models", alias), rules.alias_name(alias))
            self._model(model, ("models", alias))

    def _tell_all(self, path: Path, wrongs: Iterable[rules.Wrong]) -> None:
        for message, hint in wrongs:
            self._tell(path, message, hint)

    def _server(self, server: dict[str, Any], path: Path) -> None:
        for key, rule in (
            ("host", rules.listen_host),
            ("key_prefix", rules.key_prefix),
            ("data_dir", rules.file_name),
        ):
            if key in server:
                self._tell_all((*path, key), rule(server[key]))
        for origin in server.get("cors_origins", ()):
            self._tell_all((*path, "cors_origins"), rules.origin(origin))

    def _default_base_url(self, upstream: dict[str, Any], path: Path) -> None:
        """Put the kind's own address where none is written."""
        written = self._written(path)
        if "base_url" in written or ("kind" in written and "kind" not in upstream):
            # It is there, or it is not known which one would be meant; what is wrong with them is told already.
            return
        preset = PRESETS[upstream.get("kind", "compatible")]
        if preset.base_url:
            upstream["base_url"] = preset.base_url
            return
        known = "" if "kind" in written else ', or name the provider: kind = "openai", …'
        self._tell(path, 'the key "base_url" is missing', f'such as base_url = "{preset.example_url}"{known}')

    def _upstream(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        if "base_url" in upstream:
            self._base_url(upstream, references, (*path, "base_url"))
        if "api_key" in upstream:
            self._credential(upstream, references, (*path, "api_key"))
        if "headers" in upstream:
            self._headers(upstream, references, (*path, "headers"))
        if "query" in upstream:
            self._query(upstream, references, (*path, "query"))
        for name in ("ca_file", "client_cert", "client_key"):
            if name in upstream:
                self._file(upstream, name, references, (*path, name))
        if "client_cert" in upstream or "client_key" in upstream:
            self._client_certificate(upstream, path)
        if "proxy" in upstream:
            self._proxy(upstream, references, (*path, "proxy"))
        if "socket" in upstream:
            self._socket(upstream, references, (*path, "socket"))

    def _base_url(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        try:
            url = references.address(upstream["base_url"])
        except BrokenReference as broken:
            self._tell(path, broken.message, broken.hint)
            return
        self._tell_all(path, rules.base_url(url))
        upstream["base_url"] = url.rstrip("/")

    def _credential(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        try:
            secret = references.secret(upstream["api_key"])
        except BrokenReference as broken:
            self._tell(path, broken.message, broken.hint)
            return
        self._tell_all(path, rules.credential(secret))
        upstream["api_key"] = secret

    def _headers(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        headers: dict[str, str] = upstream["headers"]
        seen: set[str] = set()
        for name in list(headers):
            where = (*path, name)
            self._tell_all(where, rules.header_name(name, with_credential=bool(upstream.get("api_key"))))
            if name.lower() in seen:
                self._tell(where, "is given twice: header names do not mind their case", "leave out one of the two")
            seen.add(name.lower())
            try:
                headers[name] = references.expand(headers[name])
            except BrokenReference as broken:
                self._tell(where, broken.message, broken.hint)
                continue
            self._tell_all(where, rules.header_value(headers[name]))

    def _query(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        query: dict[str, str] = upstream["query"]
        for name, value in query.items():
            where = (*path, name)
            try:
                query[name] = references.expand(value)
            except BrokenReference as broken:
                self._tell(where, broken.message, broken.hint)
            else:
                self._tell_all(where, rules.query_parameter(name, query[name]))

    def _file(self, upstream: dict[str, Any], name: str, references: References, path: Path) -> None:
        """A file that is read when the upstream is made."""
        wrongs = list(rules.file_name(upstream[name]))
        self._tell_all(path, wrongs)
        if wrongs:
            return
        try:
            file = references.path(upstream[name])
            with file.open("rb") as opened:
                opened.read(1)
        except BrokenReference as broken:
            self._tell(path, broken.message, broken.hint)
        except OSError as error:
            self._tell(path, f"cannot be read: {error.strerror}", "name a PEM file this user may read")
        else:
            upstream[name] = str(file)

    def _client_certificate(self, upstream: dict[str, Any], path: Path) -> None:
        """Certificate and key fit each other, and can be used; whether they can be read is told already."""
        certificate, key = upstream.get("client_cert"), upstream.get("client_key")
        if certificate is None:
            self._tell((*path, "client_key"), "is the key of no certificate", "name that as client_cert")
            return
        if not str(upstream.get("base_url", "https:")).startswith("https:"):
            self._tell((*path, "client_cert"), "is shown to nobody without TLS", "use https:// in base_url")
        if not all(os.path.isfile(name) for name in (certificate, key) if name is not None):
            return
        try:
            # An encrypted key would ask for its passphrase on the terminal; none is long enough for one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            hint = "name a certificate and its own key, in PEM form, the key without a passphrase"
            self._tell((*path, "client_cert"), f"cannot be used with its key ({why})", hint)

    def _proxy(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        try:
            if upstream["proxy"] == "env":
                proxy = references.proxy_for(str(upstream.get("base_url", "")))
            else:
                proxy = references.secret(upstream["proxy"])
        except BrokenReference as broken:
            self._tell(path, broken.message, broken.hint)
            return
        if proxy:
            self._tell_all(path, rules.proxy_url(proxy))
        upstream["proxy"] = proxy

    def _socket(self, upstream: dict[str, Any], references: References, path: Path) -> None:
        self._tell_all(path, rules.file_name(upstream["socket"]))
        if upstream.get("proxy"):
            self._tell(path, "is given beside a proxy", "leave out one of the two")
        try:
            upstream["socket"] = str(references.path(upstream["socket"]))
        except BrokenReference as broken:
            self._tell(path, broken.message, broken.hint)
        else:
            self._tell_all(path, rules.socket_path(upstream["socket"]))

    def _model(self, model: dict[str, Any], path: Path) -> None:
        if model.get("targets") == []:
            self._tell((*path, "targets"), "names no target", 'name at least one, as "upstream/model"')
        for index, target in enumerate(model.get("targets", [])):
            if isinstance(target, str):
                self._target(target, (*path, "targets", index))
        if "price" in model:
            self._price(model, (*path, "price"))

    def _target(self, target: str, path: Path) -> None:
        upstream, name = split_target(target)
        if not upstream or not name or not target.isprintable() or " " in target:
            self._tell(path, "must be of the form upstream/model", 'such as "openai/gpt-5"')
        elif upstream not in self._written(("upstreams",)):
            hint = did_you_mean(upstream, self._written(("upstreams",))) or f"add [upstreams.{upstream}]"
            self._tell(path, f'no upstream is named "{upstream}"', hint)

    def _price(self, model: dict[str, Any], path: Path) -> None:
        prices: dict[str, Any] = model["price"]
        tiers: dict[str, dict[str, str]] = prices.get("tiers", {})
        for kind, text in prices.items():
            if kind != "tiers":
                self._tell_all((*path, kind), rules.price(text))
        for tier, tier_prices in tiers.items():
            self._tell_all((*path, "tiers", tier), rules.tier_name(tier))
            for kind, text in tier_prices.items():
                self._tell_all((*path, "tiers", tier, kind), rules.price(text))
            if "capability" in model:
                kinds = set(tier_prices)
                self._tell_all((*path, "tiers", tier), rules.price_kinds(model["capability"], kinds))
        if "capability" in model:
            written = self._written(path)
            kinds = written & set(Price.__struct_fields__)
            # Where all of them are unknown keys, that is told already.
            if kinds or not written:
                self._tell_all(path, rules.price_kinds(model["capability"], kinds))

    def _written(self, path: Path) -> set[str]:
        """The keys of the table at `path` as the file has them."""
        table: Any = self._document
        for part in path:
            table = table.get(part) if isinstance(table, dict) else None
        return set(table) if isinstance(table, dict) else set()
