"""What is set on a listening socket for the sake of its connections, which inherit it."""

import socket

#: Bytes of an answer that the kernel takes before the client has room for them. Beside them only what is on its way
#: counts, so a fast and distant client is served as ever; one that does not read would else hold megabytes there.
MOST_UNSENT = 131_072


def tune(listening: socket.socket) -> None:
    """Set it."""
    # A loop sets this too, but asyncio's own only on sockets that name their protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, MOST_UNSENT)
