"""The demo as a new user starts it: a process, the key that it prints, and the clients that ask it."""

import io
import json
import shutil
import subprocess
import sys
import time
import wave
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest

from proxy.ledger.record import UsageRecord
from tests.load.processes import Process
from tests.load.store import read_rows

NODE_FOLDER = Path(__file__).parent.parent / "node"
#: Seconds that one answer may take on a busy machine.
PATIENCE = 30.0


def wav(seconds: float = 1.0) -> bytes:
    """Silence, as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(int(16_000 * seconds)))
    return file.getvalue()


#: One pixel.
PNG_URL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Demo:
    """`serve` without a configuration, for the length of a `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.data_dir = folder / "data"
        #: What each endpoint of the wide gateway's list answered, once they were all asked.
        self.tour: dict[tuple[str, str], int] | None = None
        self._process = Process(folder, "proxy", ["serve", "--port", "0", "--data-dir", str(self.data_dir)])

    def __enter__(self) -> Self:
        self._process.__enter__()
        made = subprocess.run(
            [sys.executable, "-m", "proxy", "keys", "create", "reader", "--data-dir", str(self.data_dir)],
            capture_output=True,
            check=True,
            timeout=PATIENCE,
            text=True,
        )
        self.key = made.stdout.strip()
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)
        # A key that another process made takes effect within a second.
        for _ in range(500):
            if self.get("/v1/models").status_code == 200:
                break
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._process.__exit__()

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._process.port}"

    @property
    def bearer(self) -> dict[str, str]:
        """The key as most clients send it."""
        return {"authorization": f"Bearer {self.key}"}

    @cached_property
    def sdk(self) -> openai.OpenAI:
        """OpenAI's own client."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """GET with the key."""
        return self.http.get(path, headers={**self.bearer, **(headers or {})})

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Any method with the key, and a JSON body where there is one."""
        return self.http.request(method, path, json=body, headers={**self.bearer, **(headers or {})})

    def operate(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Any method of the admin API, with its token."""
        token = (self.data_dir / "admin.token").read_text().strip()
        return self.http.request(method, path, json=body, headers={"x-api-key": token})

    def chat(self, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        """A short chat completion, with the key."""
        body = {"model": "prometheus-core", "messages": [{"role": "user", "content": "hello"}], **fields}
        return self.send("POST", "/v1/chat/completions", body, headers)

    def transcribe(self, response_format: str, audio: bytes | None = None) -> httpx.Response:
        """A transcription."""
        return self.http.post(
            "/v1/audio/transcriptions",
            data={"model": "prometheus-echo", "response_format": response_format},
            files={"file": ("meeting.wav", audio if audio is not None else wav())},
            headers=self.bearer,
        )

    def node(self, script: str) -> Any:
        """Run a module of JavaScript that has `prometheus` as OpenAI's client; what it prints, read as JSON."""
        node = shutil.which("node")
        if node is None or not (NODE_FOLDER / "node_modules" / "openai").is_dir():
            pytest.skip("node, or the openai package for it, is not installed")
        begin = (
            'import OpenAI from "openai";\nimport fs from "node:fs";\n'
            f'const prometheus = new OpenAI({{ apiKey: "{self.key}", baseURL: "{self.url}/v1" }});\n'
        )
        done = subprocess.run(
            [node, "--input-type=module", "-e", begin + script],
            cwd=NODE_FOLDER,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def file(self, name: str, content: bytes) -> Path:
        """A file for a client to send."""
        path = self._folder / name
        path.write_bytes(content)
        return path

    def row(self, request_id: str) -> UsageRecord:
        """The stored row of a request, which is waited for."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for row in read_rows(self.data_dir):
                if row.id == request_id:
                    return row
            time.sleep(0.05)
        raise AssertionError(f"no row of {request_id}")
