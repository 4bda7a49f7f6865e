"""A real nginx in front of a running gateway, by the site that the project itself tells operators to use.

It needs no root and no port of its own choosing: it takes over a socket that is listening already. Values and the
process only; what must hold of the two together is in the tests.
"""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.exchange.samples import wait_until
from tests.fakes import RawClient

SITE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
_LINES = 1024
#: A client that stops in the middle of a request is given up after a second, so that no test waits for long.
_MAIN = """
daemon off;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
    log_format seen '$upstream_bytes_sent $status $request';
    access_log {folder}/requests seen;
    client_header_timeout 1s;
    client_body_timeout 1s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


def site(port: int, gateway_port: int) -> str:
    """The project's site without TLS, on this port, in front of that gateway. Raises AssertionError if it changed."""
    text = SITE.read_text()
    for pattern, replacement, count in (
        (r"listen 443 ssl;", f"listen 127.0.0.1:{port};", 1),
        (r"ssl_certificate\w* [^;]+;", "", 2),
        (r"server 127\.0\.0\.1:8080;", f"server 127.0.0.1:{gateway_port};", 1),
    ):
        text, found = re.subn(pattern, replacement, text)
        assert found == count, f"{SITE.name} has {pattern!r} {found} times"
    return text


def bare_site(port: int, gateway_port: int) -> str:
    """What somebody writes who has read no documentation."""
    return f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{gateway_port}; }} }}"


@dataclass(frozen=True)
class Front:
    """A running nginx."""

    port: int
    folder: Path

    def client(self) -> RawClient:
        return RawClient("127.0.0.1", self.port)

    def sent_on(self) -> int:
        """The requests so far of which nginx has sent anything to the gateway."""
        lines = (self.folder / "requests").read_text("latin-1").splitlines()
        return sum(re.match(r"[1-9]", line) is not None for line in lines)


@contextmanager
def nginx_before(gateway_port: int, folder: Path, *, bare: bool = False) -> Iterator[Front]:
    """nginx in front of a gateway, until it is left; by the project's site, or a `bare` one."""
    assert NGINX is not None
    with socket.create_server(("127.0.0.1", 0), backlog=_LINES) as listening:
        port = listening.getsockname()[1]
        config = folder / "nginx.conf"
        config.write_text(_MAIN.format(folder=folder, site=(bare_site if bare else site)(port, gateway_port)))
        command = [NGINX, "-p", str(folder), "-c", str(config), "-e", "stderr"]
        inherited = {**os.environ, "NGINX": f"{listening.fileno()};"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=inherited, pass_fds=[listening.fileno()]
            )
        listening.close()
        try:
            wait_until(lambda: (folder / "pid").exists() or process.poll() is not None, "nginx")
            assert process.poll() is None, (folder / "log").read_text()
            yield Front(port, folder)
        finally:
            process.terminate()
            process.wait(10)
