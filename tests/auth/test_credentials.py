"""Who asks: every header that carries a key, and what the wrong ones get."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.rig import request, running_rig
from proxy.auth.credentials import INVALID, MAX_SECRETS, MISSING, credential_digests, has_secret, lookup_key
from proxy.auth.key_index import CATCH_UP_SECONDS, KeyIndex
from proxy.auth.keys import Key, KeyStore, digest_of
from proxy.errors import AuthenticationFailed
from proxy.wire.headers import Header
from tests.exchange.samples import wait_until
from tests.fakes import ScriptedUpstream
from tests.serving import KEY, RunningGateway, simple_config
from tests.upstream.recording import run


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(folder, upstream.base_url)) as running:
        yield running


@pytest.fixture(scope="module")
def store(gateway: RunningGateway) -> Iterator[KeyStore]:
    """The keys of the gateway, as another process changes them."""
    opened = KeyStore(Path(gateway.config.server.data_dir))
    gateway.wait_for(opened.open())
    yield opened
    gateway.wait_for(opened.close())


def ask(gateway: RunningGateway, *headers: tuple[str, str]) -> tuple[int, str, str]:
    """Ask for something that only a key's owner is told; gives the status, the code and the message."""
    with gateway.client() as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        client.send(f"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n{lines}content-length: 0\r\n\r\n".encode())
        answer, body = client.read_answer()
    error = json.loads(body.payload)["error"]
    return answer.status, error["code"] or "", error["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", f"Bearer {KEY}"),
        ("Authorization", f"bearer  {KEY} "),
        ("x-api-key", KEY),
        ("api-key", KEY),
        ("X-Goog-Api-Key", KEY),
    ],
)
def test_a_key_is_taken_from_any_header_of_the_sdks(gateway: RunningGateway, name: str, value: str) -> None:
    status, _, message = ask(gateway, (name, value))
    assert (status, "empty" in message) == (400, True)


def test_the_same_key_twice_is_one_key(gateway: RunningGateway) -> None:
    assert ask(gateway, ("authorization", f"Bearer {KEY}"), ("x-api-key", KEY))[0] == 400
    assert "empty" in ask(gateway, ("authorization", f"Bearer {KEY}"), ("x-api-key", KEY))[2]


OTHER_KEY = "prom_sk_the_key_of_somebody_else_at_this_gateway"
HEADERS = ["authorization", "x-api-key", "api-key", "x-goog-api-key"]
#: What clients and proxies send beside a key of the gateway, and no key of it.
FOREIGN = [
    ("x-api-key", ""),
    ("x-api-key", "sk-ant-stale"),
    ("api-key", "null"),
    ("x-goog-api-key", "AIzaStale"),
    ("authorization", ""),
    ("authorization", "Bearer"),
    ("authorization", "Bearer "),
    ("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"),
    ("authorization", "Basic dTpw"),
    ("authorization", "Digest username=a"),
    ("authorization", "sk-without-a-scheme"),
]


def credential(header: str, secret: str) -> tuple[str, str]:
    return header, f"Bearer {secret}" if header == "authorization" else secret


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("foreign", FOREIGN, ids=": ".join)
@pytest.mark.parametrize("first", [True, False])
def test_the_key_is_found_beside_a_credential_of_something_else(
    gateway: RunningGateway, header: str, foreign: tuple[str, str], first: bool
) -> None:
    shown = [foreign, credential(header, KEY)]
    status, _, message = ask(gateway, *(shown if first else reversed(shown)))
    assert (status, "empty" in message) == (400, True)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("other", HEADERS)
def test_two_keys_of_the_gateway_are_refused(gateway: RunningGateway, header: str, other: str) -> None:
    gateway.add_key("other", OTHER_KEY)
    assert ask(gateway, credential(header, KEY), credential(other, OTHER_KEY))[:2] == (400, "ambiguous_api_key")


def test_several_credentials_of_which_none_is_a_key_are_a_wrong_key(gateway: RunningGateway) -> None:
    assert ask(gateway, *FOREIGN) == (401, "invalid_api_key", INVALID)


def test_more_secrets_than_a_client_has_headers_for_are_not_looked_up(gateway: RunningGateway) -> None:
    many = [("x-api-key", f"guess-{number}") for number in range(MAX_SECRETS)]
    assert ask(gateway, *many)[:2] == (401, "invalid_api_key")
    assert ask(gateway, *many, ("x-api-key", KEY))[:2] == (400, "ambiguous_api_key")


@pytest.mark.parametrize("name", ["x_api_key", "api_key", "x_goog_api_key", "x-api_key"])
def test_a_name_with_an_underscore_carries_no_key(gateway: RunningGateway, name: str) -> None:
    assert ask(gateway, (name, KEY)) == (401, "invalid_api_key", MISSING)
    gateway.add_key("other", OTHER_KEY)
    assert "empty" in ask(gateway, ("x-api-key", KEY), (name, OTHER_KEY))[2]


@pytest.mark.parametrize("target", ["?key=", "?api_key=", "?api-key="])
def test_a_key_in_the_query_is_none(gateway: RunningGateway, target: str) -> None:
    with gateway.client() as client:
        client.request("POST", f"/v1beta/models/a:generateContent{target}{KEY}", b"{}")
        answer, body = client.read_answer()
    assert (answer.status, json.loads(body.payload)["error"]["message"]) == (401, MISSING)


def test_a_missing_key_is_answered_with_how_to_send_one(gateway: RunningGateway) -> None:
    assert ask(gateway) == (401, "invalid_api_key", MISSING)


@pytest.mark.parametrize(
    "value",
    ["Bearer prom_sk_wrong", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", KEY, f"Bearer {KEY} more", f"Token {KEY}"],
)
def test_a_wrong_key_looks_like_any_other_wrong_key(gateway: RunningGateway, value: str) -> None:
    assert ask(gateway, ("authorization", value)) == (401, "invalid_api_key", INVALID)


def test_an_expired_and_a_revoked_key_look_like_a_wrong_one(gateway: RunningGateway, store: KeyStore) -> None:
    revoked = gateway.wait_for(store.create("revoked"))[1]
    expiring = gateway.wait_for(store.create("expiring", expires=datetime.now(UTC) + timedelta(seconds=1.5)))[1]
    for secret in (revoked, expiring):
        wait_until(lambda secret=secret: ask(gateway, ("x-api-key", secret))[0] == 400, "the new key")  # type: ignore[misc]
    gateway.wait_for(store.revoke("revoked"))
    for secret in (revoked, expiring):
        wait_until(lambda secret=secret: ask(gateway, ("x-api-key", secret))[0] == 401, "the key's end")  # type: ignore[misc]
        assert ask(gateway, ("x-api-key", secret)) == (401, "invalid_api_key", INVALID)


@pytest.mark.parametrize("others", [(), (("x-api-key", "sk-stale"),)])
def test_a_head_that_comes_again_is_judged_by_the_keys_of_the_moment(
    gateway: RunningGateway, store: KeyStore, others: tuple[tuple[str, str], ...]
) -> None:
    secret = gateway.wait_for(store.create(f"ends {len(others)}"))[1]
    lines = "".join(f"{name}: {value}\r\n" for name, value in (("authorization", f"Bearer {secret}"), *others))
    sent = f"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n{lines}content-length: 2\r\n\r\n{{}}".encode()
    wait_until(lambda: ask(gateway, ("x-api-key", secret))[0] == 400, "the new key")
    with gateway.client() as client:

        def status() -> int:
            client.send(sent)
            return client.read_answer()[0].status

        assert [status() for _ in range(4)] == [400] * 4
        gateway.wait_for(store.revoke(f"ends {len(others)}"))
        wait_until(lambda: status() == 401, "the key's end")
        if others:
            gateway.add_key("once stale", "sk-stale")
            assert status() == 400


def test_the_digest_of_a_head_that_comes_again_is_not_made_again(tmp_path: Path) -> None:
    sent = request("none", stream=False)

    async def scene() -> bytes:
        async with running_rig(tmp_path, ["any"]) as rig:
            for _ in range(3):
                rig.send_request(sent)
            known = rig._client._head_cache.head
            assert known is not None
            # Were they read again, no key would be found in them.
            known.headers.clear()
            rig.send_request(sent)
            return rig.client_transport.last

    assert run(scene()).startswith(b"HTTP/1.1 404 ")


def test_the_old_and_the_new_secret_of_one_key_are_one_key(gateway: RunningGateway, store: KeyStore) -> None:
    old = gateway.wait_for(store.create("turns"))[1]
    new = gateway.wait_for(store.rotate("turns", 60))
    wait_until(lambda: ask(gateway, ("x-api-key", new))[0] == 400, "the new secret")
    assert "empty" in ask(gateway, ("x-api-key", new), ("authorization", f"Bearer {old}"))[2]


def test_a_key_is_known_as_soon_as_it_is_made(tmp_path: Path) -> None:
    asked = [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/files/file-1"),
        ("POST", "/v1/messages"),
    ]
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        watching = gateway.gateway._watching
        assert watching is not None
        gateway.call(lambda _: watching.cancel())
        store = KeyStore(tmp_path)
        gateway.wait_for(store.open())
        for method, path in asked:
            # As long as it takes, for the tests, to start a command.
            time.sleep(CATCH_UP_SECONDS)
            secret = gateway.wait_for(store.create(path))[1]
            client.request(method, path, b"", {"x-api-key": secret})
            assert client.read_answer()[0].status != 401, path
        gateway.wait_for(store.close())


def test_unknown_keys_share_a_look_at_the_file(tmp_path: Path) -> None:
    async def scene() -> int:
        store, index = KeyStore(tmp_path), KeyIndex(tmp_path)
        await store.open()
        await index.open()
        looks = 0
        refresh = index.refresh

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await refresh()

        index.refresh = counted  # type: ignore[method-assign]
        await asyncio.gather(*(index.catch_up() for _ in range(100)))
        await index.catch_up()
        await index.close()
        await store.close()
        return looks

    assert run(scene()) == 1


class OneKey:
    """An index of one key."""

    def lookup(self, digest: bytes, now: float) -> Key | None:
        return self.key if digest == digest_of(b"good") and now < 2_000 else None

    key = Key(id="key_1", name="one", models=None, created=0, expires=2_000)


def test_a_key_is_valid_up_to_its_end() -> None:
    headers: list[Header] = [(b"x-api-key", b"good")]
    index = OneKey()
    assert lookup_key(index, credential_digests(headers), 1_999) is OneKey.key  # type: ignore[arg-type]
    with pytest.raises(AuthenticationFailed):
        lookup_key(index, credential_digests(headers), 2_000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "has"),
    [
        ([(b"authorization", b"Bearer x")], True),
        ([(b"authorization", b"Basic x")], False),
        ([(b"authorization", b"Bearer ")], False),
        ([(b"x-goog-api-key", b"x")], True),
        ([(b"api-key", b"")], False),
        ([(b"cookie", b"x")], False),
    ],
)
def test_whether_a_request_shows_a_secret(headers: list[tuple[bytes, bytes]], has: bool) -> None:
    assert has_secret(headers) is has
