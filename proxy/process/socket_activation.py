"""Socket activation: listening sockets that were opened by the parent process, such as systemd.

The parent keeps them open, so that no connection is refused while the gateway restarts: it waits in their queue.
"""

import os
import socket
from collections.abc import MutableMapping, Sequence

from proxy.server.listener import BACKLOG, CannotListen
from proxy.server.sockets import tune

#: The first descriptor that systemd passes (SD_LISTEN_FDS_START).
FIRST_DESCRIPTOR = 3


def inherited_descriptors(environment: MutableMapping[str, str]) -> list[int]:
    """The descriptors that systemd passes to this process. Its variables are removed from `environment`."""
    process, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", "")
    if process != str(os.getpid()) or not count.isdecimal():
        return []
    return list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)))


def adopt(descriptors: Sequence[int]) -> list[socket.socket]:
    """The listening sockets on inherited descriptors. Raises `CannotListen` where one is none."""
    return [_adopted(descriptor) for descriptor in descriptors]


def _adopted(descriptor: int) -> socket.socket:
    hint = "pass a bound TCP socket, such as one of a systemd socket unit with ListenStream=ADDRESS:PORT"
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise CannotListen(f"descriptor {descriptor} is no socket ({error.strerror}); {hint}") from error
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        # Not closed: its owner may need it, and this process ends now.
        sock.detach()
        raise CannotListen(f"descriptor {descriptor} is no TCP socket; {hint}")
    # Not inherited any further.
    os.set_inheritable(descriptor, False)
    sock.setblocking(False)
    tune(sock)
    try:
        # Bound but not listening yet is enough; a second time it only sets the length of the queue.
        sock.listen(BACKLOG)
    except OSError as error:
        raise CannotListen(f"descriptor {descriptor} cannot listen ({error.strerror}); {hint}") from error
    return sock
