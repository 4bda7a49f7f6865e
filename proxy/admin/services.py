"""AdminServices: what the handlers of the admin API may use of their gateway and of the process that it runs in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from proxy.admin.nodes import Nodes
from proxy.admin.provider_keys import ProviderKeys
from proxy.admin.token import AdminToken
from proxy.auth import audit
from proxy.auth.key_index import KeyIndex
from proxy.auth.store import Store
from proxy.errors import GatewayError, InvalidRequest
from proxy.observability.providers import Providers
from proxy.policies.base import GatewayState
from proxy.wire.headers import Header

T = TypeVar("T")
P = ParamSpec("P")


class Control:
    """What only the process can do, for all workers. This one is of a gateway without workers or a file."""

    def __init__(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """`refresh` has the gateway of this process use the provider keys that are stored now."""
        self._refresh = refresh

    async def reload(self) -> Mapping[str, Any]:
        """Read the configuration file again, in all workers; the result as `config reload --json` prints it.

        Raises `InvalidRequest` where there is no file.
        """
        raise InvalidRequest(
            "The gateway runs without a configuration file, so there is none to reload.",
            status=409,
            code="no_config_file",
        )

    async def refresh(self) -> list[str]:
        """Have all workers use the provider keys that are stored now; what has failed, one line each."""
        try:
            await self._refresh()
        except GatewayError as error:
            return [error.message]
        return []


class AdminServices:
    """What handlers may use. The state follows the configuration; the control is the process's, once that has begun."""

    def __init__(
        self,
        state: GatewayState,
        keys: KeyIndex,
        store: Store,
        provider_keys: ProviderKeys,
        nodes: Nodes,
        providers: Providers,
    ) -> None:
        self.state = state
        self.keys = keys
        #: Open while the gateway runs.
        self.store = store
        self.provider_keys = provider_keys
        self.nodes = nodes
        #: The state of the upstreams.
        self.providers = providers
        self.token = AdminToken(state.ledger.data_dir, keys)
        self.control = Control(_nothing)
        #: The OpenAPI document of the admin API, encoded; None until it is read.
        self.document: bytes | None = None

    async def start(self) -> None:
        """Open the store, and make the token where there is none. Raises `StoreFailed`."""
        await self.store.open()
        admin = self.state.config.admin
        if admin.enabled and not admin.token:
            await asyncio.to_thread(self.token.file.load_or_create)

    async def stop(self) -> None:
        """Close the store, and take this worker out of the list of nodes."""
        self.nodes.close()
        await self.store.close()

    def knows(self, headers: Iterable[Header]) -> bool:
        """Whether a request shows the admin token; for pages that need none, and show more to its holder."""
        return self.token.actor(headers, self.state.config.admin) is not None

    async def in_thread(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run what reads or writes files off the event loop."""
        return await asyncio.to_thread(work, *arguments, **named)

    async def audit(self, actor: str, action: str, name: str, before: Any, after: Any) -> None:
        """Keep a change that is not one of the store's in the audit table. Secrets must not be in it."""
        async with self.store.database.transaction() as connection:
            await audit.record(connection, actor, action, name, name, before, after)


async def _nothing() -> None:
    """The gateway has not begun: it has no provider keys in use."""
