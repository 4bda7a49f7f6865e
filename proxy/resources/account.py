"""An upstream as objects see it: an account with requests of any method and content type. Values and strings only."""

from collections.abc import Mapping

import msgspec

from proxy.routing.models import Alias
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target, compile_targets

_FAMILY = "openai"


class Account(msgspec.Struct, frozen=True):
    """One upstream that speaks OpenAI's formats."""

    target: Target

    @property
    def name(self) -> str:
        return self.target.pool.name

    @property
    def pool(self) -> Pool:
        return self.target.pool

    def head(self, method: str, path: str, query: bytes, lines: bytes) -> bytes:
        """A request's head; `path` is below the base URL, `lines` are further header lines, the framing among them."""
        whole = path.encode() + (b"?" + query if query else b"")
        return self.target.head(whole, b"", content=lines, method=method.encode() + b" ")


class Accounts:
    """All of them; which one serves, where nothing else says so, is the first of the configuration."""

    def __init__(self, pools: Mapping[str, Pool], aliases: Mapping[str, Alias]) -> None:
        self._accounts: dict[str, Account] = {}
        for name in pools:
            for target in compile_targets(f"{name}/none", dict(pools)):
                if _FAMILY in target.dialects:
                    self._accounts[name] = Account(target)
        self._models: dict[tuple[str, str], str] = {}
        self._aliases: dict[str, dict[str, list[str]]] = {}
        for alias in aliases.values():
            for target in alias.targets:
                self._aliases.setdefault(target.pool.name, {}).setdefault(target.model, []).append(alias.name)
                self._models.setdefault((target.pool.name, target.model), alias.name)

    def get(self, name: str) -> Account | None:
        """The account of an upstream, unless it is gone from the configuration or speaks another language."""
        return self._accounts.get(name)

    def first(self) -> Account | None:
        """The first one."""
        return next(iter(self._accounts.values()), None)

    def models_at(self, upstream: str) -> dict[str, list[str]]:
        """The models of an upstream, each with the aliases that stand for it."""
        return self._aliases.get(upstream, {})

    def alias_for(self, upstream: str, model: str) -> str:
        """The alias for what an upstream calls a model, the dated names of it too; "" where there is none."""
        known = self._models.get((upstream, model))
        if known is not None:
            return known
        near = [
            (len(name), alias)
            for (at, name), alias in self._models.items()
            if at == upstream and model.startswith(f"{name}-")
        ]
        return max(near)[1] if near else ""


def target_at(alias: Alias, upstream: str | None) -> Target | None:
    """An alias's first target that speaks OpenAI's formats, at that upstream if one is named."""
    for target in alias.speaking(_FAMILY):
        if upstream is None or target.pool.name == upstream:
            return target
    return None
