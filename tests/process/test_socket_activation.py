"""Sockets that somebody else has opened."""

import os
import socket
from pathlib import Path

import pytest

from proxy.process.socket_activation import adopt, inherited_descriptors
from proxy.server.listener import CannotListen, address, bind


def test_systemd_s_sockets_are_those_from_descriptor_3_on() -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert inherited_descriptors(environment) == [3, 4]
    # Processes below this one must not take them for theirs.
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    "environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"}]
)
def test_sockets_for_another_process_are_left_alone(environment: dict[str, str]) -> None:
    assert inherited_descriptors(environment) == []


def test_an_inherited_socket_is_served_at_its_own_address() -> None:
    with bind("127.0.0.1", 0) as ours:
        (sock,) = adopt([os.dup(ours.fileno())])
        with sock:
            assert address(sock) == address(ours)
            assert not os.get_inheritable(sock.fileno())
            with socket.create_connection(ours.getsockname()):
                accepted, _ = ours.accept()
                accepted.close()


def test_a_socket_that_is_bound_and_does_not_listen_yet_will_do() -> None:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))
        (sock,) = adopt([os.dup(ours.fileno())])
        with sock, socket.create_connection(ours.getsockname()):
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_what_is_no_listening_tcp_socket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file, pytest.raises(CannotListen, match=r"is no socket.*ListenStream"):
        adopt([file.fileno()])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(CannotListen, match="no TCP"):
        adopt([datagrams.fileno()])
    one, other = socket.socketpair()
    with one, other, pytest.raises(CannotListen, match="no TCP"):
        adopt([one.fileno()])
