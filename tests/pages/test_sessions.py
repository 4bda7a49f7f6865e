"""Sessions: by a token, until their end, and never longer than what they began with."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.auth.keys import digest_of
from proxy.errors import AuthenticationFailed, RateLimited
from proxy.pages.session_store import FILE_NAME, MAX_ATTEMPTS_PER_CLIENT, SessionStore
from proxy.pages.sessions import LINK_SECONDS, Sessions, make_link
from tests.fakes import ScriptedUpstream
from tests.serving import KEY, RunningGateway, simple_config

HERE = "127.0.0.1"


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(gateway: RunningGateway, clock: Clock) -> Iterator[Sessions]:
    made = Sessions(gateway.gateway.admin.services, clock)
    yield made
    gateway.wait_for(made.close())


def begin(gateway: RunningGateway, sessions: Sessions, secret: str = KEY) -> str:
    async def both() -> str:
        return await sessions.begin(await sessions.identify(secret, HERE, admins=True))

    return gateway.wait_for(both())


def token_of_admin(gateway: RunningGateway) -> str:
    return gateway.gateway.admin.services.token.file.load_or_create()


def test_a_key_begins_the_session_of_its_owner(gateway: RunningGateway, sessions: Sessions) -> None:
    viewer = gateway.wait_for(sessions.viewer(begin(gateway, sessions)))
    assert viewer is not None
    assert viewer.key is not None
    assert viewer.actor.startswith("key:")


def test_the_admin_token_begins_that_of_an_admin(gateway: RunningGateway, sessions: Sessions) -> None:
    viewer = gateway.wait_for(sessions.viewer(begin(gateway, sessions, token_of_admin(gateway))))
    assert viewer is not None
    assert viewer.is_admin


def test_the_admin_token_is_nothing_where_admins_may_not_sign_in(gateway: RunningGateway, sessions: Sessions) -> None:
    with pytest.raises(AuthenticationFailed):
        gateway.wait_for(sessions.identify(token_of_admin(gateway), HERE, admins=False))


def test_other_workers_and_later_starts_know_it(gateway: RunningGateway, sessions: Sessions) -> None:
    token = begin(gateway, sessions)
    other = Sessions(gateway.gateway.admin.services)
    assert gateway.wait_for(other.viewer(token)) is not None
    gateway.wait_for(other.close())


def test_it_ends_when_it_is_ended(gateway: RunningGateway, sessions: Sessions) -> None:
    token = begin(gateway, sessions)
    gateway.wait_for(sessions.end(token))
    assert gateway.wait_for(sessions.viewer(token)) is None


def test_it_ends_when_nothing_is_done_in_it(gateway: RunningGateway, sessions: Sessions, clock: Clock) -> None:
    token = begin(gateway, sessions)
    clock.now += gateway.config.pages.session_idle + 1
    assert gateway.wait_for(sessions.viewer(token)) is None


def test_it_goes_on_while_it_is_used_and_then_ends(gateway: RunningGateway, sessions: Sessions, clock: Clock) -> None:
    token, pages = begin(gateway, sessions), gateway.config.pages
    last = clock.now + pages.session_max
    while clock.now + pages.session_idle - 60 < last:
        clock.now += pages.session_idle - 60
        assert gateway.wait_for(sessions.viewer(token)) is not None
    clock.now = last
    assert gateway.wait_for(sessions.viewer(token)) is None


def test_looking_without_using_prolongs_nothing(gateway: RunningGateway, sessions: Sessions, clock: Clock) -> None:
    token, idle = begin(gateway, sessions), gateway.config.pages.session_idle
    clock.now += idle - 60
    assert gateway.wait_for(sessions.viewer(token, used=False)) is not None
    clock.now += 61
    assert gateway.wait_for(sessions.viewer(token)) is None


def test_it_ends_with_its_key(gateway: RunningGateway, sessions: Sessions) -> None:
    token = begin(gateway, sessions)
    gateway.call(lambda running: running.keys._by_digest.pop(digest_of(KEY.encode())))
    assert gateway.wait_for(sessions.viewer(token)) is None


def test_it_ends_with_the_admin_token_it_began_with(gateway: RunningGateway, sessions: Sessions) -> None:
    token = begin(gateway, sessions, token_of_admin(gateway))
    gateway.gateway.admin.services.token.file.rotate()
    assert gateway.wait_for(sessions.viewer(token)) is None


def test_too_many_wrong_secrets_of_a_client_are_refused_even_if_one_is_right(
    gateway: RunningGateway, sessions: Sessions, clock: Clock
) -> None:
    for _ in range(MAX_ATTEMPTS_PER_CLIENT):
        with pytest.raises(AuthenticationFailed):
            gateway.wait_for(sessions.identify("wrong", HERE, admins=True))
    with pytest.raises(RateLimited):
        gateway.wait_for(sessions.identify(KEY, HERE, admins=True))
    assert gateway.wait_for(sessions.identify(KEY, "127.0.0.2", admins=True)) is not None
    clock.now += 61
    assert gateway.wait_for(sessions.identify(KEY, HERE, admins=True)) is not None


def test_right_secrets_are_never_too_many(gateway: RunningGateway, sessions: Sessions) -> None:
    for _ in range(MAX_ATTEMPTS_PER_CLIENT + 1):
        begin(gateway, sessions)


def test_a_link_signs_in_once(gateway: RunningGateway, sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    code = asyncio.run(new_link(tmp_path, clock.now))
    assert gateway.wait_for(sessions.redeem(code)).key is None
    with pytest.raises(AuthenticationFailed, match="used already"):
        gateway.wait_for(sessions.redeem(code))


def test_a_link_is_over_after_ten_minutes(
    gateway: RunningGateway, sessions: Sessions, clock: Clock, tmp_path: Path
) -> None:
    code = asyncio.run(new_link(tmp_path, clock.now - LINK_SECONDS))
    with pytest.raises(AuthenticationFailed):
        gateway.wait_for(sessions.redeem(code))


def test_the_file_has_no_token_and_is_for_its_owner_alone(
    gateway: RunningGateway, sessions: Sessions, tmp_path: Path
) -> None:
    token = begin(gateway, sessions)
    file = tmp_path / FILE_NAME
    assert token.encode() not in file.read_bytes()
    assert KEY.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "../../etc/passwd", "é" * 43])
def test_what_is_no_token_has_no_session(gateway: RunningGateway, sessions: Sessions, token: str) -> None:
    assert gateway.wait_for(sessions.viewer(token)) is None


async def new_link(data_dir: Path, now: float) -> str:
    store = SessionStore(data_dir)
    try:
        return await make_link(store, now)
    finally:
        await store.close()


def attempt(gateway: RunningGateway, sessions: Sessions, client: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        gateway.wait_for(sessions.identify("wrong", client, admins=True))


@pytest.mark.parametrize(
    ("addresses", "other"),
    [
        ("2001:db8:1:2::{}", "2001:db8:1:3::1"),
        ("fe80::{}%eth0", "fe80:0:0:1::1"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2"),
        ("a Unix socket", "10.0.0.1"),
    ],
)
def test_a_client_of_many_addresses_has_no_more_attempts(
    gateway: RunningGateway, sessions: Sessions, addresses: str, other: str
) -> None:
    for number in range(MAX_ATTEMPTS_PER_CLIENT):
        attempt(gateway, sessions, addresses.format(number + 1), AuthenticationFailed)
    attempt(gateway, sessions, addresses.format(99), RateLimited)
    attempt(gateway, sessions, other, AuthenticationFailed)


def test_guesses_at_the_same_time_are_counted_one_by_one(gateway: RunningGateway, sessions: Sessions) -> None:
    async def guess() -> list[type]:
        tries = [sessions.identify(f"wrong {number}", HERE, admins=True) for number in range(30)]
        return [type(found) for found in await asyncio.gather(*tries, return_exceptions=True)]

    kinds = gateway.wait_for(guess())
    assert (kinds.count(AuthenticationFailed), kinds.count(RateLimited)) == (MAX_ATTEMPTS_PER_CLIENT, 20)
