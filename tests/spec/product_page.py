"""The hosted API's product page: eight aliases, billing by use, limits of uploads, and the dashboard."""

import httpx

from tests.spec.claims import Claims
from tests.spec.demo import Demo, wav

PRODUCT = Claims("product page")

EIGHT = ("spark", "lite", "core", "vision", "pulse", "surge", "atlas", "echo")
REALTIME = "WebSocket sessions are still to come; over HTTP these aliases answer as chat models"


@PRODUCT.claim("The model line", "all eight aliases are there, and their names are stable")
def eight_aliases(demo: Demo) -> None:
    names = {one["id"] for one in demo.get("/v1/models").json()["data"]}
    assert {f"prometheus-{name}" for name in EIGHT} <= names


@PRODUCT.claim("The model line", "a drop-in for OpenAI's SDK: only the base URL changes")
def drop_in(demo: Demo) -> None:
    answer = demo.sdk.chat.completions.create(
        model="prometheus-core", messages=[{"role": "user", "content": "Ship it."}]
    )
    assert answer.model == "prometheus-core"
    assert answer.choices[0].message.content


def _chats(name: str) -> None:
    def check(demo: Demo) -> None:
        assert demo.chat(model=f"prometheus-{name}", stream=True).status_code == 200

    PRODUCT.add("The model line", f"prometheus-{name} answers a streamed chat", check)


for _name in EIGHT[:6]:
    _chats(_name)


def _speaks(name: str) -> None:
    def check(demo: Demo) -> None:
        headers = {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-version": "13"}
        headers["sec-websocket-key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        assert demo.get(f"/v1/realtime?model=prometheus-{name}", headers).status_code == 101

    PRODUCT.add("The model line", f"prometheus-{name} speaks in a realtime session", check, missing=REALTIME)


for _name in ("pulse", "surge"):
    _speaks(_name)


@PRODUCT.claim("Built for production", "tokens, latency and spend of every request are metered for its key")
def metered(demo: Demo) -> None:
    response = demo.chat()
    assert response.headers["x-prism-cost"]
    assert float(response.headers["x-prism-latency-ms"]) >= 0
    assert response.json()["usage"]["total_tokens"] > 0


@PRODUCT.claim("Built for production", "a dashboard with daily and weekly charts")
def dashboard(demo: Demo) -> None:
    with httpx.Client(base_url=demo.url, follow_redirects=True, trust_env=False) as client:
        assert client.post("/dashboard/sign-in", data={"secret": demo.key}).status_code == 200
        for step in ("day", "week"):
            assert client.get("/dashboard/overview.json", params={"period": "30d", "step": step}).json()["chart"]


@PRODUCT.claim("Questions", "an agent spec that can be pasted into an agent")
def agent_spec(demo: Demo) -> None:
    assert demo.http.get("/agent-spec.md").status_code == 200


@PRODUCT.claim("Questions", "transcriptions come as json, text, verbose_json, srt or vtt, of files up to 25 MB")
def transcriptions(demo: Demo) -> None:
    for response_format in ("json", "text", "verbose_json", "srt", "vtt"):
        assert demo.transcribe(response_format, wav()).status_code == 200, response_format
