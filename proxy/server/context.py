"""What all connections of one listener share: the application, the limits in force, and what is counted over them."""

from typing import Any

from uvicorn.server import ServerState

from proxy.config.tree import Server
from proxy.server.head_cache import Header
from proxy.server.load_shedding import SheddingState


class ServerContext:
    """Shared by the listener and its connections. What changes in it holds for open connections too."""

    def __init__(
        self, app: Any, limits: Server, shedding: SheddingState | None = None, state: ServerState | None = None
    ) -> None:
        self.app = app
        self.limits = limits
        self.shedding = shedding or SheddingState()
        #: Open connections, tasks of requests, requests so far, and the headers of every response.
        self.state = state or ServerState()
        #: A connection serves again after its response; not while the process is short of something, or ends.
        self.keeps_alive = True

    def own_lines(self, request_id: str, headers: list[Header], arrived: float) -> bytes:
        """The header lines of a response that the server makes by itself, to a request with these headers.

        An application may have a method of this name, which then writes them; `arrived` is monotonic time.
        """
        write = getattr(self.app, "own_lines", None)
        if write is None:
            return b"x-request-id: %b\r\n" % request_id.encode()
        lines: bytes = write(request_id, headers, arrived)
        return lines


class FollowingContext(ServerContext):
    """The context of a further address of a listener: another application, and all else as the listener has it."""

    def __init__(self, app: Any, listener: ServerContext) -> None:
        self._listener = listener
        super().__init__(app, listener.limits, listener.shedding, listener.state)

    @property
    def limits(self) -> Server:
        return self._listener.limits

    @limits.setter
    def limits(self, limits: Server) -> None:
        """The listener's are in force."""

    @property
    def keeps_alive(self) -> bool:
        return self._listener.keeps_alive

    @keeps_alive.setter
    def keeps_alive(self, keeps: bool) -> None:
        """The listener decides."""
