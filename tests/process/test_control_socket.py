"""Whose control socket it is: of many that start at once one has it, and nobody takes that of one that lives."""

import os
import socket
import threading
from pathlib import Path

import pytest

from proxy.process.control_socket import NAME, ControlSocket


def holders(sockets: list[ControlSocket]) -> list[ControlSocket]:
    return [one for one in sockets if one.socket is not None]


def test_of_many_that_start_at_once_one_is_asked(tmp_path: Path) -> None:
    for _ in range(20):
        sockets = [ControlSocket(tmp_path) for _ in range(6)]
        threads = [threading.Thread(target=one.claim) for one in sockets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (holder,) = holders(sockets)
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(tmp_path / NAME))
        for one in sockets:
            one.close()
        assert holder.socket is None
        assert not (tmp_path / NAME).exists()


def test_the_next_one_is_asked_when_the_first_has_ended(tmp_path: Path) -> None:
    first, second = ControlSocket(tmp_path), ControlSocket(tmp_path)
    first.claim()
    second.claim()
    assert (holders([first, second]), (tmp_path / NAME).stat().st_mode & 0o777) == ([first], 0o600)
    second.close()
    assert (tmp_path / NAME).exists()
    first.close()
    second.claim()
    assert holders([first, second]) == [second]
    second.close()


def test_a_busy_one_is_not_taken_for_dead(tmp_path: Path) -> None:
    first, second = ControlSocket(tmp_path), ControlSocket(tmp_path)
    first.claim()
    waiting = []
    try:
        while True:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            waiting.append(one)
            one.connect(str(tmp_path / NAME))
    except BlockingIOError:
        second.claim()
        assert holders([first, second]) == [first]
    finally:
        for one in waiting:
            one.close()
        first.close()


@pytest.mark.parametrize("left", ["socket", "file", "link to nothing", "nothing"])
def test_what_a_dead_process_has_left_is_replaced(tmp_path: Path, left: str) -> None:
    path = tmp_path / NAME
    if left == "socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    elif left == "file":
        path.touch()
    elif left == "link to nothing":
        path.symlink_to("nowhere")
    control = ControlSocket(tmp_path)
    control.claim()
    assert control.socket is not None
    control.close()
    assert not path.exists()


def test_one_whose_file_is_gone_makes_another_unless_it_is_another_s(tmp_path: Path) -> None:
    first, second = ControlSocket(tmp_path), ControlSocket(tmp_path)
    first.claim()
    os.unlink(tmp_path / NAME)
    first.claim()
    assert (tmp_path / NAME).exists()
    os.unlink(tmp_path / NAME)
    second.claim()
    first.claim()
    assert holders([first, second]) == [second]
    first.close()
    assert (tmp_path / NAME).exists()
    second.close()
