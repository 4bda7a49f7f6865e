"""Socket options that connections inherit from their listening socket."""

import socket

import pytest

from proxy.server.sockets import MAX_UNSENT_BYTES, tune


@pytest.mark.parametrize(
    ("option", "value"), [("TCP_NODELAY", 1), ("TCP_NOTSENT_LOWAT", MAX_UNSENT_BYTES)], ids=["nagle", "send buffer"]
)
def test_connections_inherit_the_options(option: str, value: int) -> None:
    number = getattr(socket, option, None)
    if number is None:
        pytest.skip("this system has no such option")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        tune(listening)
        with socket.create_connection(listening.getsockname()):
            connection, _ = listening.accept()
            with connection:
                found = connection.getsockopt(socket.IPPROTO_TCP, number)
    assert found == value if value > 1 else found
