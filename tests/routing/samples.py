"""Targets for tests of routing: pools that connect nowhere, whose health is set by hand."""

import asyncio
from typing import Any, cast

from proxy.config.tree import Model, Server, Upstream
from proxy.routing.models import Alias, compile_alias
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target


def alias_of(*names: str, model: dict[str, object] | None = None, max_requests: int = 0) -> Alias:
    """An alias with a target at each of these upstreams. Making the pools needs a loop, which is gone afterwards."""

    async def make() -> Alias:
        upstream = Upstream(base_url="http://127.0.0.1:9", max_requests=max_requests)
        pools = {name: Pool(name, upstream) for name in names}
        settings = {"capability": "chat", "targets": [f"{name}/model" for name in names], **(model or {})}
        return compile_alias("core", Model(**settings), pools, Server())  # type: ignore[arg-type]

    return asyncio.run(make())


def targets(*names: str) -> tuple[Target, ...]:
    return alias_of(*names).targets


def eject(target: Target) -> None:
    """Let its upstream fail until it is ejected."""
    while not target.pool.health.ejected:
        target.pool.health.failed(1e9, gateway=True)


def occupy(target: Target, requests: int) -> None:
    """Let so many requests wait for a connection of its pool."""
    target.pool._waiters.extend([cast("Any", None)] * requests)


def names(ordered: tuple[Target, ...]) -> list[str]:
    return [target.pool.name for target in ordered]


class Dice:
    """Gives these numbers, one after the other, and then the last one for ever."""

    def __init__(self, *numbers: float) -> None:
        self._numbers = list(numbers) or [0.5]

    def __call__(self) -> float:
        return self._numbers.pop(0) if len(self._numbers) > 1 else self._numbers[0]
