"""What the tests of the docs page share: the demo behind a gateway, and the facts of a configuration without one. No
assertion stands here.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from proxy.config.tree import Capability, Config, Kind, Model, Server, Upstream
from proxy.demo.settings import DemoSettings, demo_config
from proxy.pages.documentation.facts import Facts, KeyFacts, facts_of
from proxy.routing.models import Alias, compile_alias
from proxy.upstream.pool import Pool
from tests.demo.conftest import Provider
from tests.serving import RunningGateway

ORIGIN = "https://api.getprometheus.org"


@contextmanager
def demo_gateway(provider: Provider, data_dir: Path, **server: Any) -> Iterator[RunningGateway]:
    """The demo as `make run` starts it."""
    settings = Server(data_dir=str(data_dir), port=0, log_format="json", **server)
    with RunningGateway(demo_config(provider.port, provider.settings, settings)) as running:
        yield running


def facts(
    models: Mapping[str, Model] | None = None,
    *,
    kinds: tuple[Kind, ...] = ("openai", "anthropic", "gemini"),
    key: KeyFacts | None = None,
    names: tuple[str, ...] | None = None,
    **server: Any,
) -> Facts:
    """The facts of the demo's configuration; or of these models, each of them at upstreams of these kinds."""
    config = demo_config(1, DemoSettings(), Server(**server))
    if models is not None:
        upstreams: dict[str, Upstream] = {kind: Upstream(kind=kind, base_url="http://127.0.0.1:9/v1") for kind in kinds}
        targets = [f"{kind}/vendor-model" for kind in kinds]
        named = {name: msgspec.structs.replace(model, targets=targets) for name, model in models.items()}
        config = Config(server=config.server, upstreams=upstreams, models=named)
    aliases = asyncio.run(_compiled(config))
    return facts_of(config, aliases, names or tuple(aliases), ORIGIN, key)


async def _compiled(config: Config) -> dict[str, Alias]:
    """Making the pools needs a loop."""
    pools = {name: Pool(name, upstream) for name, upstream in config.upstreams.items()}
    return {name: compile_alias(name, model, pools, config.server) for name, model in config.models.items()}


def model(capability: Capability = "chat", **settings: Any) -> Model:
    """A model; its targets are those of `facts`."""
    return Model(capability=capability, targets=["openai/vendor-model"], **settings)
