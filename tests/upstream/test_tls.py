"""TLS to an upstream: certificates are always checked, and nothing is ever sent where the check fails."""

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from proxy.errors import ConfigFault, UpstreamConnectFailed
from tests.fakes import LAST_CHUNK, Close, Hang, ScriptedUpstream, Send, chunk, head, json_answer
from tests.upstream.recording import Recorder, fetch, open_pool, run, until

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@contextmanager
def upstream_with(certificate: trustme.LeafCert) -> Iterator[ScriptedUpstream]:
    """A TLS upstream with this certificate."""
    with_tls = ScriptedUpstream(lambda _: json_answer({}), tls=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with_tls._tls = context
    with with_tls:
        yield with_tls


def ca_file(folder: Path, authority: bytes) -> str:
    path = folder / "authority.pem"
    path.write_bytes(authority)
    return str(path)


def refusal(upstream: ScriptedUpstream, base_url: str, trusted: str | None) -> str:
    """Why the connection was refused."""

    async def main() -> str:
        async with open_pool(base_url, ca_file=trusted) as pool:
            recorder = await fetch(pool)
            assert isinstance(recorder.error, UpstreamConnectFailed)
            await until(lambda: pool.size == 0)
            return recorder.error.detail

    detail = run(main())
    assert upstream.requests == []
    return detail


def test_an_upstream_of_a_trusted_authority_is_served_and_its_connection_reused(tmp_path: Path) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        async with open_pool(upstream.base_url, ca_file=ca_file(tmp_path, upstream.authority)) as pool:
            for _ in range(2):
                assert (await fetch(pool)).complete
        assert [request.connection for request in upstream.requests] == [1, 1]

    with ScriptedUpstream(lambda _: json_answer({}), tls=True) as upstream:
        run(main(upstream))


def test_an_unknown_authority_is_refused() -> None:
    with ScriptedUpstream(tls=True) as upstream:
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(upstream, upstream.base_url, None)


def test_another_authority_is_refused(tmp_path: Path) -> None:
    trusted = ca_file(tmp_path, trustme.CA().cert_pem.bytes())
    with ScriptedUpstream(tls=True) as upstream:
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(upstream, upstream.base_url, trusted)


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    expired = authority.issue_cert("127.0.0.1", not_before=PAST, not_after=PAST + datetime.timedelta(days=1))
    with upstream_with(expired) as upstream:
        detail = refusal(upstream, upstream.base_url, ca_file(tmp_path, authority.cert_pem.bytes()))
        assert "expired" in detail


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    with upstream_with(authority.issue_cert("elsewhere.test")) as upstream:
        detail = refusal(upstream, upstream.base_url, ca_file(tmp_path, authority.cert_pem.bytes()))
        assert "not valid for" in detail


def test_an_upstream_that_speaks_no_tls_is_refused() -> None:
    with ScriptedUpstream() as upstream:
        refusal(upstream, upstream.base_url.replace("http://", "https://"), None)
        upstream.errors.clear()  # It took the greeting for a broken request.


def test_an_answer_that_was_cut_without_the_closing_alert_is_no_clean_end(tmp_path: Path) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        # The end of the connection would end this body, but only one that TLS vouches for.
        upstream.script([head(200), Send(b"one"), Hang()])
        async with open_pool(upstream.base_url, ca_file=ca_file(tmp_path, upstream.authority)) as pool:
            recorder = await Recorder().start(pool).received(3)
            loop = upstream._loop
            assert loop is not None
            (connection,) = upstream.connections
            loop.call_soon_threadsafe(connection._transport.abort)
            await recorder.ended()
            assert (recorder.complete, recorder.ends) == (False, 1)

    with ScriptedUpstream(tls=True) as upstream:
        run(main(upstream))


def test_a_body_ended_by_the_end_of_a_tls_connection_is_whole(tmp_path: Path) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        upstream.script([head(200), Send(b"one"), Close()])
        async with open_pool(upstream.base_url, ca_file=ca_file(tmp_path, upstream.authority)) as pool:
            recorder = await fetch(pool)
            assert (recorder.data, recorder.complete) == (b"one", True)

    with ScriptedUpstream(tls=True) as upstream:
        run(main(upstream))


def test_streams_pass_tls_as_they_arrive(tmp_path: Path) -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        upstream.script([head(200, {"transfer-encoding": "chunked"}), chunk(b"one"), chunk(b"two"), Send(LAST_CHUNK)])
        async with open_pool(upstream.base_url, ca_file=ca_file(tmp_path, upstream.authority)) as pool:
            recorder = await fetch(pool)
            assert (recorder.data, recorder.complete) == (b"onetwo", True)

    with ScriptedUpstream(tls=True) as upstream:
        run(main(upstream))


def test_a_file_that_holds_no_authority_is_refused_when_the_pool_is_made(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ConfigFault, match="PEM"):
            async with open_pool("https://upstream.test", ca_file=ca_file(tmp_path, b"nothing")):
                raise AssertionError("the pool took it")

    run(main())
