"""A wide gateway's list of endpoints: each is asked of the demo once, along the way of somebody who uses them all."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.spec.claims import Claims
from tests.spec.demo import Demo, wav

LIST = Claims("wide gateway's list")

ONE_KEY = "the demo's provider takes its one key alone, so that no other is begun"
NO_FILE = "the demo has no configuration file that could be read again"
JOBS = "work that finishes later is still to come"
AGENTS = "MCP and A2A are still to come"
VIDEOS = "they are forwarded, but the demo has no model for videos"
REALTIME = "realtime sessions are still to come"

#: Heading, method, path, and why it is missing.
ENDPOINTS: tuple[tuple[str, str, str, str], ...] = (
    ("Chat and completions", "POST", "/v1/chat/completions", ""),
    ("Chat and completions", "POST", "/v1/completions", ""),
    ("Chat and completions", "POST", "/v1/count_tokens", ""),
    ("Embeddings and search", "POST", "/v1/embeddings", ""),
    ("Embeddings and search", "POST", "/v1/rerank", ""),
    ("Embeddings and search", "POST", "/v1/search", ""),
    ("Embeddings and search", "POST", "/v1/ocr", ""),
    ("Audio", "POST", "/v1/audio/speech", ""),
    ("Audio", "POST", "/v1/audio/speech/stream", ""),
    ("Audio", "POST", "/v1/audio/transcriptions", ""),
    ("Audio", "POST", "/v1/audio/translations", ""),
    ("Images and video", "POST", "/v1/images/generations", ""),
    ("Images and video", "POST", "/v1/videos", VIDEOS),
    ("Images and video", "GET", "/v1/videos", ""),
    ("Images and video", "GET", "/v1/videos/{video_id}", VIDEOS),
    ("Images and video", "DELETE", "/v1/videos/{video_id}", VIDEOS),
    *[
        ("Files", method, path, "")
        for method, path in (
            ("POST", "/v1/files"),
            ("GET", "/v1/files"),
            ("GET", "/v1/files/{file_id}"),
            ("GET", "/v1/files/{file_id}/content"),
            ("DELETE", "/v1/files/{file_id}"),
        )
    ],
    *[
        ("Vector stores", method, path, "")
        for method, path in (
            ("POST", "/v1/vector_stores"),
            ("GET", "/v1/vector_stores"),
            ("GET", "/v1/vector_stores/{id}"),
            ("POST", "/v1/vector_stores/{id}"),
            ("DELETE", "/v1/vector_stores/{id}"),
            ("POST", "/v1/vector_stores/{id}/search"),
            ("POST", "/v1/vector_stores/{id}/files"),
            ("GET", "/v1/vector_stores/{id}/files"),
            ("DELETE", "/v1/vector_stores/{id}/files/{file_id}"),
            ("POST", "/v1/vector_stores/{id}/file_batches"),
        )
    ],
    *[
        ("Assistants", method, path, "")
        for method, path in (
            ("POST", "/v1/assistants"),
            ("GET", "/v1/assistants"),
            ("GET", "/v1/assistants/{id}"),
            ("POST", "/v1/assistants/{id}"),
            ("DELETE", "/v1/assistants/{id}"),
        )
    ],
    *[
        ("Threads", method, path, "")
        for method, path in (
            ("POST", "/v1/threads"),
            ("GET", "/v1/threads/{id}"),
            ("POST", "/v1/threads/{id}"),
            ("DELETE", "/v1/threads/{id}"),
        )
    ],
    *[
        ("Messages", method, path, "")
        for method, path in (
            ("POST", "/v1/threads/{id}/messages"),
            ("GET", "/v1/threads/{id}/messages"),
            ("GET", "/v1/threads/{id}/messages/{msg_id}"),
            ("POST", "/v1/threads/{id}/messages/{msg_id}"),
            ("DELETE", "/v1/threads/{id}/messages/{msg_id}"),
        )
    ],
    *[
        ("Runs", method, path, "")
        for method, path in (
            ("POST", "/v1/threads/{id}/runs"),
            ("GET", "/v1/threads/{id}/runs"),
            ("GET", "/v1/threads/{id}/runs/{run_id}"),
            ("POST", "/v1/threads/{id}/runs/{run_id}"),
            ("POST", "/v1/threads/{id}/runs/{run_id}/cancel"),
            ("POST", "/v1/threads/{id}/runs/{run_id}/submit_tool_outputs"),
            ("GET", "/v1/threads/{id}/runs/{run_id}/steps"),
            ("GET", "/v1/threads/{id}/runs/{run_id}/steps/{step_id}"),
            ("POST", "/v1/threads/runs"),
        )
    ],
    *[
        ("Responses", method, path, "")
        for method, path in (
            ("POST", "/v1/responses"),
            ("GET", "/v1/responses/{id}"),
            ("DELETE", "/v1/responses/{id}"),
        )
    ],
    ("Async inference", "GET", "/v1/async/{job_id}", JOBS),
    ("Async inference", "DELETE", "/v1/async/{job_id}", JOBS),
    ("Scheduled completions", "POST", "/v1/scheduled", JOBS),
    ("Scheduled completions", "GET", "/v1/scheduled", JOBS),
    ("Scheduled completions", "GET", "/v1/scheduled/{job_id}", JOBS),
    ("Scheduled completions", "DELETE", "/v1/scheduled/{job_id}", JOBS),
    ("Realtime", "GET", "/v1/realtime", REALTIME),
    ("Native formats", "POST", "/v1/messages", ""),
    ("Native formats", "POST", "/v1/messages/count_tokens", ""),
    ("Native formats", "POST", "/v1beta/models/{model}:generateContent", ""),
    ("Native formats", "POST", "/v1beta/models/{model}:streamGenerateContent", ""),
    ("Models", "GET", "/v1/models", ""),
    ("Models", "GET", "/v1/models/{model}", ""),
    *[
        ("MCP and A2A", method, path, AGENTS)
        for method, path in (
            ("POST", "/mcp"),
            ("GET", "/mcp"),
            ("GET", "/-/mcp/status"),
            ("GET", "/-/mcp/tools"),
            ("GET", "/-/mcp/resources"),
            ("GET", "/-/mcp/prompts"),
            ("POST", "/-/mcp/test"),
            ("GET", "/.well-known/agent.json"),
            ("POST", "/a2a"),
            ("GET", "/v1/agents"),
        )
    ],
    *[
        ("Admin: keys", method, path, "")
        for method, path in (
            ("POST", "/-/keys"),
            ("GET", "/-/keys"),
            ("GET", "/-/keys/{key_id}"),
            ("PUT", "/-/keys/{key_id}"),
            ("DELETE", "/-/keys/{key_id}"),
            ("POST", "/-/keys/{key_id}/credits"),
        )
    ],
    *[
        ("Admin: organisations", method, path, "")
        for method, path in (
            ("GET", "/-/orgs/{org_id}/config"),
            ("PUT", "/-/orgs/{org_id}/config"),
            ("DELETE", "/-/orgs/{org_id}/config"),
            ("GET", "/-/orgs/configs"),
            ("POST", "/-/orgs/configs/bulk"),
        )
    ],
    ("Admin: operations", "GET", "/-/cluster/nodes", ""),
    ("Admin: operations", "POST", "/-/admin/providers/{id}/rotate", ONE_KEY),
    ("Admin: operations", "GET", "/-/admin/providers/{id}/rotation", ""),
    ("Admin: operations", "POST", "/-/admin/providers/{id}/rotate/promote", ONE_KEY),
    ("Admin: operations", "POST", "/-/admin/providers/{id}/rotate/rollback", ONE_KEY),
    ("Admin: operations", "POST", "/-/batches", JOBS),
    ("Admin: operations", "GET", "/-/batches/{batch_id}", JOBS),
    ("Admin: operations", "POST", "/-/batches/{batch_id}/cancel", JOBS),
    ("Admin: operations", "GET", "/-/shadow/stats", JOBS),
    ("Health and diagnostics", "GET", "/healthz", ""),
    ("Health and diagnostics", "GET", "/livez", ""),
    ("Health and diagnostics", "GET", "/readyz", ""),
    ("Health and diagnostics", "POST", "/-/reload", NO_FILE),
    ("Health and diagnostics", "GET", "/-/config", ""),
    ("Health and diagnostics", "GET", "/-/metrics", ""),
    ("Health and diagnostics", "GET", "/-/health/providers", ""),
    ("Health and diagnostics", "GET", "/-/health/providers/{org_id}", ""),
)
_NAME = re.compile(r"\{(\w+)\}")
_TURN = [{"role": "user", "content": "hi"}]
_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
_PDF = {"type": "document_url", "document_url": "https://example.com/a.pdf"}


@dataclass
class Tour:
    """A walk through the endpoints that are served: what each answered."""

    demo: Demo
    statuses: dict[tuple[str, str], int] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, /, **names: str) -> Any:
        """Ask one endpoint, with its ids filled in; its answer as JSON, or None."""
        filled = _NAME.sub(lambda match: names[match[1]], path)
        return self._note(method, path, self.demo.send(method, filled, body))

    def _note(self, method: str, path: str, response: httpx.Response) -> Any:
        self.statuses[method, path] = response.status_code
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return response.json() if is_json else None

    def walk(self) -> None:
        """Ask them all."""
        self._inference()
        self._files_and_stores()
        self._assistants()
        made = self.ask("POST", "/v1/responses", {"model": "prometheus-core", "input": "hi"})
        self.ask("GET", "/v1/responses/{id}", id=made["id"])
        self.ask("DELETE", "/v1/responses/{id}", id=made["id"])
        for path in ("/healthz", "/livez", "/readyz", "/v1/models", "/v1/videos"):
            self.ask("GET", path)
        self.ask("GET", "/v1/models/{model}", model="prometheus-core")
        self._admin()

    def operate(self, method: str, path: str, body: Any = None, /, **names: str) -> Any:
        """The same, with the admin token."""
        filled = _NAME.sub(lambda match: names[match[1]], path)
        return self._note(method, path, self.demo.operate(method, filled, body))

    def _admin(self) -> None:
        operate = self.operate
        key = operate("POST", "/-/keys", {"name": "listed"})["id"]
        operate("GET", "/-/keys")
        operate("GET", "/-/keys/{key_id}", key_id=key)
        operate("PUT", "/-/keys/{key_id}", {"name": "listed", "tags": ["a"]}, key_id=key)
        operate("POST", "/-/keys/{key_id}/credits", {"amount": "5.00"}, key_id=key)
        operate("DELETE", "/-/keys/{key_id}", key_id=key)
        config = "/-/orgs/{org_id}/config"
        operate("PUT", config, {"cache": {"enabled": False}}, org_id="acme")
        operate("GET", config, org_id="acme")
        operate("GET", "/-/health/providers/{org_id}", org_id="acme")
        operate("GET", "/-/orgs/configs")
        operate("DELETE", config, org_id="acme")
        operate("POST", "/-/orgs/configs/bulk", {})
        for path in ("/-/cluster/nodes", "/-/config", "/-/metrics", "/-/health/providers"):
            operate("GET", path)
        upstream = next(iter(self.demo.operate("GET", "/-/config").json()["upstreams"]))
        operate("GET", "/-/admin/providers/{id}/rotation", id=upstream)

    def _inference(self) -> None:
        core, ask = "prometheus-core", self.ask
        ask("POST", "/v1/chat/completions", {"model": core, "messages": _TURN})
        ask("POST", "/v1/completions", {"model": core, "prompt": "One"})
        ask("POST", "/v1/count_tokens", {"model": core, "messages": _TURN})
        ask("POST", "/v1/embeddings", {"model": "prometheus-atlas", "input": "a"})
        ask("POST", "/v1/rerank", {"model": "prometheus-rank", "query": "a", "documents": ["b", "c"]})
        ask("POST", "/v1/search", {"model": "prometheus-quest", "query": "gateways"})
        ask("POST", "/v1/ocr", {"model": "prometheus-lens", "document": _PDF})
        for path in ("/v1/audio/speech", "/v1/audio/speech/stream"):
            ask("POST", path, {"model": "prometheus-voice", "input": "Hello.", "voice": "alloy"})
        for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
            self._note("POST", path, self._upload(path, {"model": "prometheus-echo"}, "a.wav"))
        ask("POST", "/v1/images/generations", {"model": "prometheus-canvas", "prompt": "A skyline"})
        ask("POST", "/v1/messages", {"model": core, "max_tokens": 9, "messages": _TURN})
        ask("POST", "/v1/messages/count_tokens", {"model": core, "messages": _TURN})
        contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        for method in ("generateContent", "streamGenerateContent"):
            ask("POST", f"/v1beta/models/{{model}}:{method}", contents, model=core)

    def _upload(self, path: str, data: dict[str, str], name: str) -> httpx.Response:
        return self.demo.http.post(path, data=data, files={"file": (name, wav())}, headers=self.demo.bearer)

    def _files_and_stores(self) -> None:
        ask = self.ask
        file = self._note("POST", "/v1/files", self._upload("/v1/files", {"purpose": "assistants"}, "a.txt"))["id"]
        ask("GET", "/v1/files")
        ask("GET", "/v1/files/{file_id}", file_id=file)
        ask("GET", "/v1/files/{file_id}/content", file_id=file)
        store = ask("POST", "/v1/vector_stores", {"name": "s"})["id"]
        ask("GET", "/v1/vector_stores")
        ask("GET", "/v1/vector_stores/{id}", id=store)
        ask("POST", "/v1/vector_stores/{id}", {"name": "t"}, id=store)
        ask("POST", "/v1/vector_stores/{id}/files", {"file_id": file}, id=store)
        ask("GET", "/v1/vector_stores/{id}/files", id=store)
        ask("POST", "/v1/vector_stores/{id}/search", {"query": "a"}, id=store)
        ask("POST", "/v1/vector_stores/{id}/file_batches", {"file_ids": [file]}, id=store)
        ask("DELETE", "/v1/vector_stores/{id}/files/{file_id}", id=store, file_id=file)
        ask("DELETE", "/v1/vector_stores/{id}", id=store)
        ask("DELETE", "/v1/files/{file_id}", file_id=file)

    def _assistants(self) -> None:
        ask = self.ask
        helper = ask("POST", "/v1/assistants", {"model": "prometheus-core", "tools": [_TOOL]})["id"]
        ask("GET", "/v1/assistants")
        ask("GET", "/v1/assistants/{id}", id=helper)
        ask("POST", "/v1/assistants/{id}", {"name": "n"}, id=helper)
        thread = ask("POST", "/v1/threads", {})["id"]
        ask("GET", "/v1/threads/{id}", id=thread)
        ask("POST", "/v1/threads/{id}", {"metadata": {"a": "b"}}, id=thread)
        message = ask("POST", "/v1/threads/{id}/messages", {"role": "user", "content": "hi"}, id=thread)["id"]
        ask("GET", "/v1/threads/{id}/messages", id=thread)
        ask("GET", "/v1/threads/{id}/messages/{msg_id}", id=thread, msg_id=message)
        ask("POST", "/v1/threads/{id}/messages/{msg_id}", {"metadata": {"a": "b"}}, id=thread, msg_id=message)
        self._runs(helper, thread)
        ask("DELETE", "/v1/threads/{id}/messages/{msg_id}", id=thread, msg_id=message)
        both = ask("POST", "/v1/threads/runs", {"assistant_id": helper, "thread": {"messages": _TURN}})
        assert both is not None
        ask("DELETE", "/v1/threads/{id}", id=thread)
        ask("DELETE", "/v1/assistants/{id}", id=helper)

    def _runs(self, helper: str, thread: str) -> None:
        ask, runs = self.ask, "/v1/threads/{id}/runs"
        one = runs + "/{run_id}"
        forced = {"type": "function", "function": {"name": "look"}}
        run = ask("POST", runs, {"assistant_id": helper, "tool_choice": forced}, id=thread)
        ask("GET", runs, id=thread)
        ask("GET", one, id=thread, run_id=run["id"])
        ask("POST", one, {"metadata": {"a": "b"}}, id=thread, run_id=run["id"])
        steps = ask("GET", one + "/steps", id=thread, run_id=run["id"])
        for step in (steps or {}).get("data", [])[:1]:
            ask("GET", one + "/steps/{step_id}", id=thread, run_id=run["id"], step_id=step["id"])
        waiting = ask("GET", one, id=thread, run_id=run["id"])
        calls = ((waiting.get("required_action") or {}).get("submit_tool_outputs") or {}).get("tool_calls") or []
        outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "seen"} for call in calls]}
        ask("POST", one + "/submit_tool_outputs", outputs, id=thread, run_id=run["id"])
        other = ask("POST", runs, {"assistant_id": helper, "tool_choice": forced}, id=thread)
        ask("POST", one + "/cancel", id=thread, run_id=other["id"])


def _endpoint(heading: str, method: str, path: str, missing: str) -> None:
    def check(demo: Demo) -> None:
        if missing:
            ask = demo.operate if path.startswith("/-/") else demo.send
            response = ask(method, _NAME.sub("x", path), {})
            # To be refused as a client is to be there.
            assert response.status_code in (200, 201, 202, 401, 403), response.text
            return
        statuses = tour_of(demo)
        assert statuses.get((method, path)) in (200, 201, 204), json.dumps(statuses.get((method, path)))

    LIST.add(heading, f"{method} {path}", check, missing=missing)


def tour_of(demo: Demo) -> dict[tuple[str, str], int]:
    """What the endpoints answered along the walk, which is taken once for each demo."""
    if demo.tour is None:
        tour = Tour(demo)
        tour.walk()
        demo.tour = tour.statuses
    return demo.tour


for _row in ENDPOINTS:
    _endpoint(*_row)
