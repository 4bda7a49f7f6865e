"""What is written to an upstream, byte for byte, and that nothing of the client's is in it that is not listed."""

import json
from pathlib import Path

from proxy.config.tree import Model, Server, Upstream
from proxy.routing.models import compile_alias
from proxy.upstream.pool import Pool
from proxy.upstream.target import compile_target
from tests.fakes import ScriptedUpstream, json_answer
from tests.serving import ALIAS, KEY, PRICE, RunningGateway, simple_config
from tests.upstream.recording import run


def head_of(base_url: str, path: bytes = b"/chat/completions", forwarded: bytes = b"", **settings: object) -> bytes:
    """The head for a body of five bytes."""

    async def main() -> bytes:
        pool = Pool("vendor", Upstream(base_url=base_url, **settings))  # type: ignore[arg-type]
        return compile_target("vendor/model", {"vendor": pool}).head(path, forwarded, 5)

    return run(main())


def test_a_head_is_exactly_this() -> None:
    assert head_of("https://api.test/v1", api_key="sk-1", headers={"X-Organization": "me"}) == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: api.test\r\n"
        b"user-agent: prometheus-gateway\r\n"
        b"accept-encoding: identity\r\n"
        b"authorization: Bearer sk-1\r\n"
        b"x-organization: me\r\n"
        b"content-type: application/json\r\n"
        b"content-length: 5\r\n\r\n"
    )


def test_a_base_url_may_have_a_path_a_slash_and_a_port() -> None:
    head = head_of("http://api.test:8443/openai/v1/")
    assert head.startswith(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: api.test:8443\r\n")


def test_a_base_url_may_be_an_address_of_ipv6() -> None:
    head = head_of("http://[::1]:8443")
    assert head.startswith(b"POST /chat/completions HTTP/1.1\r\nhost: [::1]:8443\r\n")


def test_forwarded_lines_stand_between_ours_and_those_of_the_body() -> None:
    head = head_of("http://api.test", forwarded=b"openai-beta: a\r\n")
    assert head.endswith(b"openai-beta: a\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n")


def test_an_alias_keeps_the_order_of_its_targets_and_may_say_itself_what_a_leaving_client_means() -> None:
    async def main() -> None:
        pools = {name: Pool(name, Upstream(base_url=f"http://{name}.test")) for name in ("a", "b")}
        model = Model(capability="chat", targets=["b/x", "a/y"], price=PRICE, on_disconnect="drain")
        alias = compile_alias("core", model, pools, Server())
        assert [target.pool.name for target in alias.targets] == ["b", "a"]
        assert alias.on_disconnect == "drain"
        plain = compile_alias("core", Model(capability="chat", targets=["a/x"]), pools, Server())
        assert (plain.on_disconnect, plain.price) == ("cancel", None)

    run(main())


def test_no_header_of_the_client_reaches_the_upstream_but_those_on_the_list(tmp_path: Path) -> None:
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json; charset=utf-8",
        "cookie": "session=secret",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "proxy-authorization": "Basic secret",
        "user-agent": "OpenAI/Python 2.0",
        "accept-encoding": "gzip",
        "x-stainless-os": "Linux",
        "openai-organization": "org-secret",
        "x-prism-trace-id": "trace",
        "connection": "keep-alive, authorization",
        "te": "trailers",
        "openai-beta": "assistants=v2",
    }
    with (
        ScriptedUpstream(lambda _: json_answer({})) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        body = json.dumps({"model": ALIAS, "messages": []}).encode()
        client.request("POST", "/v1/chat/completions", body, headers)
        client.read_answer()
        (request,) = upstream.requests
        names = {name for name, _ in request.headers}
        assert names <= {
            *("host", "user-agent", "accept-encoding", "content-type", "authorization", "content-length"),
            "openai-beta",
        }
        assert request.header("openai-beta") == "assistants=v2"
        assert request.header("authorization") == "Bearer sk-upstream-secret"
        assert request.header("user-agent") == "prometheus-gateway"
        assert request.header("accept-encoding") == "identity"
        assert request.header("content-type") == "application/json"
