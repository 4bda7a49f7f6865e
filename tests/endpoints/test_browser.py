"""A web page in a real browser: what its script can ask of the gateway, and what it cannot."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import HELLO, JSON_ANSWER, STOP, begun
from tests.fakes import LAST_CHUNK, ScriptedUpstream, Send, json_answer
from tests.pages.browser import CHROMIUM, skip_or_fail
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

SECONDS = 60.0
PAGE = """<!doctype html><script>
const gateway = "%(gateway)s", headers = {"authorization": "Bearer %(key)s", "content-type": "application/json"};
const question = {model: "%(alias)s", messages: [{role: "user", content: "hi"}]};
const chat = (body, more) => fetch(gateway + "/v1/chat/completions",
  {method: "POST", headers: {...headers, ...more}, body: JSON.stringify({...question, ...body})});
const steps = {
  models: async () => (await (await fetch(gateway + "/v1/models", {headers})).json()).data[0].id,
  chat: async () => (await (await chat({}, {"x-stainless-os": "Linux", "x-stainless-retry-count": "0"})).json()).model,
  stream: async () => (await (await chat({stream: true})).text()).includes("Hello"),
  request_id: async () => (await chat({})).headers.get("x-request-id").startsWith("req_"),
  refused: async () => (await chat({}, {"authorization": "Bearer wrong"})).status,
  lost: async () => (await fetch(gateway + "/chat/completions", {method: "POST", headers, body: "{}"})).status,
  cookies: async () => (await fetch(gateway + "/v1/models", {headers, credentials: "include"})).status,
  health: async () => (await fetch(gateway + "/readyz")).status,
};
(async () => {
  const found = {};
  for (const name of Object.keys(steps)) {
    try { found[name] = await steps[name](); } catch (error) { found[name] = String(error); }
  }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""
BLOCKED = "TypeError: Failed to fetch"


@pytest.fixture(autouse=True)
def _needs_browser() -> None:
    if CHROMIUM is None:
        skip_or_fail("no browser is installed: apt-get install chromium")


class Site:
    """A page's own server, to which its script tells what it found."""

    def __init__(self, page: str) -> None:
        self.found: dict[str, Any] = {}
        self.told = threading.Event()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(page.encode())

            def do_POST(self) -> None:
                site.found = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._answer(b"")
                site.told.set()

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is logged."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def visit(site: Site, folder: Path) -> dict[str, Any]:
    """Have a browser show the page; what its script told."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--no-first-run", f"--user-data-dir={folder}", site.origin]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert site.told.wait(SECONDS), "the page's script did not end"
    finally:
        browser.terminate()
        browser.wait(SECONDS)
    return site.found


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as one:
        yield one


def page_of(gateway: RunningGateway) -> str:
    return PAGE % {"gateway": gateway.url, "key": KEY, "alias": ALIAS}


@pytest.mark.parametrize("listed", [False, True], ids=["any origin", "this origin"])
def test_a_page_may_call_with_its_user_s_key(tmp_path: Path, upstream: ScriptedUpstream, listed: bool) -> None:
    with RunningGateway(simple_config(tmp_path / "data", upstream.base_url)) as gateway:
        site = Site(page_of(gateway))
        try:
            if listed:
                server = {"cors_origins": [site.origin]}
                gateway.reload(simple_config(tmp_path / "data", upstream.base_url, server=server))
            upstream.script(json_answer(JSON_ANSWER))
            upstream.script([*begun(HELLO, STOP), Send(LAST_CHUNK)])
            upstream.script(json_answer(JSON_ANSWER))
            found = visit(site, tmp_path / "browser")
        finally:
            site.close()
    assert found == {
        "models": ALIAS,
        "chat": ALIAS,
        "stream": True,
        "request_id": True,
        "refused": 401,
        "lost": 404,
        "cookies": BLOCKED,
        "health": BLOCKED,
    }


def test_a_page_of_another_origin_is_blocked(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    server = {"cors_origins": ["https://app.example.com"]}
    with RunningGateway(simple_config(tmp_path / "data", upstream.base_url, server=server)) as gateway:
        site = Site(page_of(gateway))
        try:
            found = visit(site, tmp_path / "browser")
        finally:
            site.close()
    assert set(found.values()) == {BLOCKED}
    assert not upstream.requests
