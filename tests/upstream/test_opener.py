"""The tasks that open connections: what they report to their owner, and whether a request still waited."""

import asyncio

import pytest

from proxy.config.tree import Upstream
from proxy.errors import NoDescriptor, UpstreamConnectFailed, UpstreamFailed, UpstreamTimeout
from proxy.upstream.connection import Connection, ConnectionOwner
from proxy.upstream.dial import Dialer
from proxy.upstream.opener import MAX_ROUND_TRIP_SECONDS, Opener
from tests.fakes import ScriptedUpstream
from tests.upstream.recording import run, silent_listener, until


class Owner(ConnectionOwner):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.released_ones: list[Connection] = []
        self.failures: list[tuple[type[UpstreamFailed], bool]] = []

    def opened(self, connection: Connection) -> None:
        """Not looked at."""

    def released(self, connection: Connection) -> None:
        self.released_ones.append(connection)

    def lost(self, connection: Connection) -> None:
        """Not looked at."""

    def not_opened(self, error: UpstreamFailed, awaited: bool) -> None:
        self.failures.append((type(error), awaited))


def opener_for(owner: Owner, base_url: str, seconds: float = 5.0, *, may_connect: bool = True) -> Opener:
    return Opener(owner, Dialer("vendor", Upstream(base_url=base_url)), seconds, lambda: may_connect)


def test_a_connection_is_released_to_its_owner_and_is_no_opening_any_more() -> None:
    async def main() -> None:
        owner = Owner()
        with ScriptedUpstream() as upstream:
            opener = opener_for(owner, upstream.base_url)
            opener.start()
            assert (opener.awaited, opener.running) == (1, 1)
            await until(lambda: bool(owner.released_ones))
            assert (opener.awaited, opener.running) == (0, 0)
            [connection] = owner.released_ones
            assert connection.usable
            assert 0 <= connection.round_trip <= MAX_ROUND_TRIP_SECONDS
            connection.abort()

    run(main())


@pytest.mark.parametrize("awaited", [True, False])
def test_a_failure_says_whether_a_request_still_waited(awaited: bool) -> None:
    async def main() -> None:
        owner = Owner()
        opener = opener_for(owner, "http://127.0.0.1:1")
        opener.start()
        if not awaited:
            opener.orphan_oldest()
            assert (opener.awaited, opener.running) == (0, 1)
        await until(lambda: bool(owner.failures))
        assert owner.failures == [(UpstreamConnectFailed, awaited)]
        assert opener.running == 0

    run(main())


def test_the_oldest_opening_is_given_up_first() -> None:
    async def main() -> None:
        owner = Owner()
        with silent_listener() as base_url:
            first = opener_for(owner, base_url, 0.05)
            first.start()
            await asyncio.sleep(0.02)
            first.start()
            first.orphan_oldest()
            await until(lambda: len(owner.failures) == 2)
        assert owner.failures == [(UpstreamTimeout, False), (UpstreamTimeout, True)]

    run(main())


def test_without_a_descriptor_nothing_is_opened() -> None:
    async def main() -> None:
        owner = Owner()
        opener_for(owner, "http://127.0.0.1:1", may_connect=False).start()
        await until(lambda: bool(owner.failures))
        assert owner.failures == [(NoDescriptor, True)]

    run(main())


def test_closing_cancels_what_is_being_opened() -> None:
    async def main() -> None:
        owner = Owner()
        with silent_listener() as base_url:
            opener = opener_for(owner, base_url)
            opener.start()
            opener.start()
            opener.orphan_oldest()
            await asyncio.sleep(0)
            await opener.close()
        assert (opener.running, owner.failures) == (0, [])

    run(main())
