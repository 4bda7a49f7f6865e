"""A gateway without workers: its commands and its service manager; its signals are in `test_drain`."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from proxy.process.reload import RELOAD_COMMAND, ReloadResult
from proxy.process.single import SingleProcess
from proxy.process.systemd import Notifier


def hosted(work: Callable[[SingleProcess], Any]) -> Any:
    """The host of a gateway without a configuration file, on an event loop of its own."""

    async def main() -> Any:
        host = SingleProcess(None, Notifier({}), "http://127.0.0.1:1", lambda: None)
        try:
            found = work(host)
            return await found if asyncio.iscoroutine(found) else found
        finally:
            await host.close()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                asyncio.get_running_loop().remove_signal_handler(number)

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_demo_has_no_file_to_reload() -> None:
    result = msgspec.json.decode(hosted(lambda host: host._handle_command(RELOAD_COMMAND)), type=ReloadResult)
    assert (result.ok, result.file) == (False, "")
    assert "without a configuration file" in str(result)


def test_another_command_is_refused() -> None:
    assert hosted(lambda host: host._handle_command("halt")) == b'{"ok": false}'


@pytest.mark.parametrize(("by_terminal", "notice"), [(True, 0.0), (False, 2.0)])
def test_a_demo_is_stopped_by_its_terminal_without_notice(by_terminal: bool, notice: float) -> None:
    stopped: list[float] = []

    def work(host: SingleProcess) -> None:
        gateway = SimpleNamespace(readiness=SimpleNamespace(draining=True), notice=2.0)
        host._served = SimpleNamespace(gateway=gateway, listener=SimpleNamespace(stop=stopped.append))  # type: ignore[assignment]
        host._hang_up() if by_terminal else host._stop(notice=True)

    hosted(work)
    assert stopped == [notice]
