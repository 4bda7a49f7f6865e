"""Who asks: every header that carries a key, and what the wrong ones get."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.endpoints.credentials import INVALID, MISSING, authenticate
from proxy.errors import AuthenticationFailed
from proxy.ledger.keys import Key, KeyStore, digest_of
from proxy.wire.headers import Header
from tests.fakes import ScriptedUpstream
from tests.relay.samples import wait_until
from tests.serving import KEY, RunningGateway, simple_config


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(folder, upstream.base_url)) as running:
        yield running


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


@pytest.mark.parametrize("other", ["x-api-key", "api-key", "x-goog-api-key", "authorization"])
def test_two_different_keys_are_refused(gateway: RunningGateway, other: str) -> None:
    value = "Bearer other" if other == "authorization" else "other"
    assert ask(gateway, ("authorization", f"Bearer {KEY}"), (other, value))[:2] == (400, "ambiguous_api_key")


def test_no_key_is_told_how_to_send_one(gateway: RunningGateway) -> None:
    assert ask(gateway) == (401, "invalid_api_key", MISSING)


@pytest.mark.parametrize(
    "value",
    ["Bearer prom_sk_wrong", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", KEY, f"Bearer {KEY} more", f"Token {KEY}"],
)
def test_a_wrong_key_looks_like_any_other_wrong_key(gateway: RunningGateway, value: str) -> None:
    assert ask(gateway, ("authorization", value)) == (401, "invalid_api_key", INVALID)


def test_an_expired_and_a_revoked_key_look_like_a_wrong_one(gateway: RunningGateway) -> None:
    store = KeyStore(Path(gateway.config.server.data_dir))

    async def make() -> tuple[str, str]:
        await store.open()
        _, revoked = await store.create("revoked")
        _, expiring = await store.create("expiring", expires=datetime.now(UTC) + timedelta(seconds=1.5))
        return revoked, expiring

    revoked, expiring = gateway.wait_for(make())
    for secret in (revoked, expiring):
        wait_until(lambda secret=secret: ask(gateway, ("x-api-key", secret))[0] == 400, "the new key")  # type: ignore[misc]
    gateway.wait_for(store.revoke("revoked"))
    gateway.wait_for(store.close())
    for secret in (revoked, expiring):
        wait_until(lambda secret=secret: ask(gateway, ("x-api-key", secret))[0] == 401, "the key's end")  # type: ignore[misc]
        assert ask(gateway, ("x-api-key", secret)) == (401, "invalid_api_key", INVALID)


class OneKey:
    """An index of one key."""

    def at(self, digest: bytes, now: float) -> Key | None:
        return self.key if digest == digest_of(b"good") and now < 2_000 else None

    key = Key(id="key_1", name="one", models=None, created=0, expires=2_000)


def test_a_key_is_valid_up_to_its_end() -> None:
    headers: list[Header] = [(b"x-api-key", b"good")]
    index = OneKey()
    assert authenticate(headers, index, 1_999) is OneKey.key  # type: ignore[arg-type]
    with pytest.raises(AuthenticationFailed):
        authenticate(headers, index, 2_000)  # type: ignore[arg-type]
