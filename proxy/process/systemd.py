"""systemd's notification protocol (sd_notify): one datagram a message to the service manager.

Without a service manager every call does nothing. A message that cannot be sent is never an error: the manager notices
a missing one by its own timeouts.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping


class Notifier:
    """Notifies the service manager that the process is ready, reloads, stops, or is alive."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Takes the manager's variables out of `environment`: they are for this process, not for its children."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        watched_process = environment.pop("WATCHDOG_PID", "")
        # Abstract addresses are written with an "@" in the place of their first byte, which is zero.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        mine = self._socket is not None and watched_process in ("", str(os.getpid()))
        #: Seconds between two watchdog messages, half of what the manager allows; 0.0 where it expects none.
        self.watchdog = int(microseconds) / 2_000_000 if mine and microseconds.isdecimal() else 0.0

    def ready(self, url: str) -> None:
        """Requests are served, for the first time or after a reload."""
        self._send("READY=1", f"STATUS=Serving {url}")

    def reloading(self) -> None:
        """A configuration is being reloaded; `ready` follows, whatever the result."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1", "STATUS=Finishing what runs")

    def alive(self) -> None:
        """The watchdog's message: the event loop turns."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Send nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
