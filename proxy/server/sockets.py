"""Socket options of a listening socket, which its connections inherit."""

import socket

#: Bytes of a response that the kernel buffers before the client has room for them (TCP_NOTSENT_LOWAT). What is in
#: flight does not count, so a fast and distant client is served as ever; one that does not read would hold megabytes.
MAX_UNSENT_BYTES = 131_072


def tune(listening: socket.socket) -> None:
    """Turn off Nagle's algorithm, and bound the kernel's send buffer."""
    # An event loop sets this too, but asyncio's own only on sockets that name their protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, MAX_UNSENT_BYTES)
