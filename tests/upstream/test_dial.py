"""Ways to an upstream: through a forward proxy, over a Unix socket, and with a certificate of one's own."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from proxy.config.tree import Upstream
from proxy.errors import ConfigFault, UpstreamConnectFailed, UpstreamTimeout
from proxy.upstream.httpx_transport import PoolTransport
from proxy.upstream.pool import Pool
from proxy.upstream.target import compile_target
from proxy.upstream.warmup import warm
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.upstream.proxies import forward_proxy
from tests.upstream.recording import Recorder, fetch, open_pool, run, until

BASIC = "proxy-authorization: Basic dXNlcjpwQHNz"
BEARER = "authorization: Bearer sk-upstream"


def answer(_: RecordedRequest) -> list[Step]:
    return json_answer({})


def trusted(folder: Path, upstream: ScriptedUpstream) -> str:
    path = folder / "authority.pem"
    path.write_bytes(upstream.authority)
    return str(path)


async def ask(pool: Pool) -> Recorder:
    """One request as a target of the pool makes it."""
    target = compile_target("vendor/model", {"vendor": pool})
    return await Recorder(target.head(b"/chat/completions", b"", 2)).start(pool).ended()


# a forward proxy


def test_an_upstream_with_tls_is_reached_through_a_tunnel_and_the_proxy_sees_nothing_else(tmp_path: Path) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        settings = {"ca_file": trusted(tmp_path, upstream), "api_key": "sk-upstream"}
        async with forward_proxy() as proxy:
            address = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
            async with open_pool(f"{upstream.base_url}/v1", proxy=address, **settings) as pool:
                for _ in range(2):
                    assert (await ask(pool)).complete
                # One tunnel, which serves again.
                assert proxy.lines == [f"CONNECT 127.0.0.1:{upstream.port} HTTP/1.1"]
                assert BASIC in proxy.heads[0]
                assert "sk-upstream" not in proxy.heads[0]
        assert [request.target for request in upstream.requests] == ["/v1/chat/completions"] * 2
        for request in upstream.requests:
            assert not [name for name, _ in request.headers if name.lower().startswith("proxy")]

    with ScriptedUpstream(answer, tls=True) as upstream:
        run(main(upstream))


def test_an_upstream_without_tls_is_named_in_full_to_the_proxy_that_reads_the_request() -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        async with forward_proxy() as proxy:
            address = f"http://user:p%40ss@127.0.0.1:{proxy.port}"
            settings: dict[str, Any] = {"proxy": address, "api_key": "sk-upstream", "query": {"v": "1"}}
            base_url = f"{upstream.base_url}/v1"
            async with open_pool(base_url, kind="cohere", **settings) as pool:
                target = compile_target("vendor/model", {"vendor": pool})
                for path in (b"/chat/completions", b"/rerank"):
                    # The proxy of the tests reads the first request of a connection alone.
                    await Recorder(target.head(path, b"", 2)).start(pool, fresh=True).ended()
            async with (
                open_pool(base_url, **settings) as pool,
                httpx.AsyncClient(transport=PoolTransport(pool)) as client,
            ):
                assert (await client.get(f"{base_url}/models")).status_code == 200
            async with open_pool(base_url, **settings) as pool:
                warm(pool)
                await until(lambda: len(upstream.requests) == 4)
            origin = f"http://127.0.0.1:{upstream.port}"
            assert proxy.lines == [
                f"POST {origin}/v1/chat/completions?v=1 HTTP/1.1",
                f"POST {origin}/v2/rerank?v=1 HTTP/1.1",
                f"GET {origin}/v1/models HTTP/1.1",
                f"GET {origin}/v1/models?v=1 HTTP/1.1",
            ]
            assert all(BASIC in head for head in proxy.heads)
            assert all(f"host: 127.0.0.1:{upstream.port}" in head for head in proxy.heads)

    with ScriptedUpstream(answer) as upstream:
        run(main(upstream))


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n", "status 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "status 502"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://login\r\n\r\n", "status 302"),
        (b"SSH-2.0-OpenSSH\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-filler: y\r\n" * 5_000, "more than the head"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "more than the head"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection"),
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_a_failed_connection(tmp_path: Path, refusal: bytes, said: str) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        async with forward_proxy(refusal) as proxy:
            address = f"http://user:secret@127.0.0.1:{proxy.port}"
            async with open_pool(upstream.base_url, proxy=address, ca_file=trusted(tmp_path, upstream)) as pool:
                error = (await fetch(pool)).error
                assert isinstance(error, UpstreamConnectFailed)
                assert said in error.detail
                assert "secret" not in error.detail
                assert pool.is_empty
        assert upstream.requests == []

    with ScriptedUpstream(answer, tls=True) as upstream:
        run(main(upstream))


def test_a_proxy_that_says_nothing_is_given_up_in_time() -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with open_pool("https://h.test", proxy=f"http://127.0.0.1:{port}", connect_timeout=0.05) as pool:
            assert isinstance((await fetch(pool)).error, UpstreamTimeout)
            assert pool.is_empty
        server.close()

    run(main())


def test_the_certificate_in_a_tunnel_must_be_the_upstreams_own(tmp_path: Path) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        async with forward_proxy() as proxy:
            address = f"http://127.0.0.1:{proxy.port}"
            base_url = f"https://localhost:{upstream.port}"
            for url, file in ((base_url, None), (upstream.base_url, None)):
                async with open_pool(url, proxy=address, ca_file=file) as pool:
                    error = (await fetch(pool)).error
                    assert isinstance(error, UpstreamConnectFailed)
                    assert "CERTIFICATE_VERIFY_FAILED" in error.detail
        assert upstream.requests == []

    with ScriptedUpstream(answer, tls=True) as upstream:
        run(main(upstream))


# a Unix socket


@pytest.mark.parametrize("tls", [False, True])
def test_an_upstream_is_reached_over_its_unix_socket(tmp_path: Path, tls: bool) -> None:
    async def main() -> None:
        heads: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(2):
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(2)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            writer.close()

        context, settings = None, {}
        if tls:
            authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("models.test").configure_cert(context)
            (tmp_path / "authority.pem").write_bytes(authority.cert_pem.bytes())
            settings = {"ca_file": str(tmp_path / "authority.pem")}
        path = str(tmp_path / "up.sock")
        server = await asyncio.start_unix_server(serve, path, ssl=context)
        base_url = f"{'https' if tls else 'http'}://models.test/v1"
        async with open_pool(base_url, socket=path, **settings) as pool:
            for _ in range(2):
                assert (await ask(pool)).data == b"{}"
        assert [head.split(b"\r\n")[:2] for head in heads] == [
            [b"POST /v1/chat/completions HTTP/1.1", b"host: models.test"]
        ] * 2
        server.close()

    run(main())


def test_a_unix_socket_without_a_listener_is_a_failed_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_pool("http://h.test", socket=str(tmp_path / "none.sock")) as pool:
            assert isinstance((await fetch(pool)).error, UpstreamConnectFailed)

    run(main())


# a certificate of one's own


def client_files(folder: Path, authority: trustme.CA, name: str) -> dict[str, str]:
    certificate = authority.issue_cert(name)
    certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    return {"client_cert": str(folder / f"{name}.pem"), "client_key": str(folder / f"{name}.key")}


def demanding(clients: trustme.CA, servers: trustme.CA) -> ssl.SSLContext:
    """A server's side that asks for a certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    servers.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(context)
    return context


def test_an_upstream_that_wants_a_certificate_is_shown_one(tmp_path: Path) -> None:
    clients, servers = trustme.CA(), trustme.CA()
    servers.cert_pem.write_to_path(tmp_path / "servers.pem")

    async def main(upstream: ScriptedUpstream) -> None:
        known = {"ca_file": str(tmp_path / "servers.pem")}
        async with open_pool(upstream.base_url, **known, **client_files(tmp_path, clients, "gateway.test")) as pool:
            assert (await fetch(pool)).complete
        for none in ({}, client_files(tmp_path, trustme.CA(), "other.test")):
            async with open_pool(upstream.base_url, **known, **none) as pool:
                assert not (await fetch(pool)).complete
        assert len(upstream.requests) == 1

    with ScriptedUpstream(answer, tls=demanding(clients, servers)) as upstream:
        run(main(upstream))


def test_a_certificate_with_another_key_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    one, other = (client_files(tmp_path, trustme.CA(), name) for name in ("one.test", "other.test"))

    async def main() -> None:
        with pytest.raises(ConfigFault, match=r"upstreams\.vendor\.client_cert"):
            Pool(
                "vendor",
                Upstream(base_url="https://h.test", client_cert=one["client_cert"], client_key=other["client_key"]),
            )

    run(main())
