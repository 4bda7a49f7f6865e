"""Sessions: who has signed in to the dashboard, by the random token in a cookie."""

import secrets
import time
from typing import Final

from proxy.pages.viewer import Viewer

#: Random bytes of a token.
_TOKEN_BYTES: Final = 32


class Sessions:
    """The sessions of this process."""

    def __init__(self) -> None:
        self._viewers: dict[str, tuple[Viewer, float]] = {}

    async def begin(self, key: str | None, actor: str, seconds: float) -> str:
        """Begin a session for an admin (None) or the owner of a key; its token, for the cookie."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        viewer = Viewer(key, actor, secrets.token_urlsafe(_TOKEN_BYTES))
        self._viewers[token] = viewer, time.time() + seconds
        return token

    async def viewer(self, token: str) -> Viewer | None:
        """Who has the session of a token; None where there is none, or it has ended."""
        found = self._viewers.get(token)
        return found[0] if found is not None and time.time() < found[1] else None

    async def end(self, token: str) -> None:
        """End a session."""
        self._viewers.pop(token, None)
