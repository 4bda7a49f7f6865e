"""Sessions: by a token, until their end."""

import asyncio

from proxy.pages.sessions import Sessions


def test_a_session_has_its_viewer_until_it_is_ended() -> None:
    async def check() -> None:
        sessions = Sessions()
        token = await sessions.begin("key_1", "key:one", 60)
        viewer = await sessions.viewer(token)
        assert viewer is not None
        assert viewer.key == "key_1"
        await sessions.end(token)
        assert await sessions.viewer(token) is None

    asyncio.run(check())


def test_a_session_ends_by_itself() -> None:
    async def check() -> None:
        sessions = Sessions()
        assert await sessions.viewer(await sessions.begin(None, "admin", 0)) is None

    asyncio.run(check())
