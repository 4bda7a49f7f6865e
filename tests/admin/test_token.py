"""The admin token: its file, and who is refused."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.admin.token import MAX_FAILURES_PER_SECOND, AdminToken, Failures, TokenFile, credentials_of
from proxy.auth.key_index import KeyIndex
from proxy.config.tree import Admin
from proxy.errors import AuthenticationFailed, InvalidRequest, RateLimited, StoreFailed

SETTING = "a-token-that-stands-in-the-configuration"
CLIENT_KEY = "prom_sk_of_a_client"


def keys_of(folder: Path) -> KeyIndex:
    keys = KeyIndex(folder)
    keys.remember("client", CLIENT_KEY)
    return keys


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]


def test_the_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    token = file.load_or_create()
    # 256 bits in base64, behind the prefix.
    assert len(token.removeprefix("prom_admin_")) == 43
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert TokenFile(tmp_path).load_or_create() == token
    assert [one.name for one in tmp_path.iterdir()] == ["admin.token"]


def test_of_many_that_start_at_once_all_have_one_token(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: TokenFile(tmp_path).load_or_create(), range(16)))) == 1


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = TokenFile(tmp_path)
    token = file.load_or_create()
    file.path.chmod(0o644)
    assert file.read() == token
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize("content", ["", "short\n", "two words of more than thirty-two characters\n"])
def test_a_file_without_a_token_is_a_fault_with_its_mending(tmp_path: Path, content: str) -> None:
    (tmp_path / "admin.token").write_text(content)
    with pytest.raises(StoreFailed, match="admin token --rotate"):
        TokenFile(tmp_path).load_or_create()


def test_the_right_token_passes_under_both_names(tmp_path: Path) -> None:
    token = TokenFile(tmp_path).load_or_create()
    admin = AdminToken(tmp_path, keys_of(tmp_path))
    actor = admin.authenticate(bearer(token), Admin(), "1.2.3.4")
    assert actor == admin.authenticate([(b"x-api-key", token.encode())], Admin(), "1.2.3.4")
    assert actor.startswith("admin:")
    assert token not in actor


def test_a_setting_takes_the_place_of_the_file(tmp_path: Path) -> None:
    token = TokenFile(tmp_path).load_or_create()
    admin = AdminToken(tmp_path, keys_of(tmp_path))
    admin.authenticate(bearer(SETTING), Admin(token=SETTING), "1.2.3.4")
    with pytest.raises(AuthenticationFailed):
        admin.authenticate(bearer(token), Admin(token=SETTING), "1.2.3.4")


def test_a_rotated_token_counts_from_the_next_request_on(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    before = file.load_or_create()
    admin = AdminToken(tmp_path, keys_of(tmp_path))
    admin.authenticate(bearer(before), Admin(), "1.2.3.4")
    after = file.rotate()
    admin.authenticate(bearer(after), Admin(), "1.2.3.4")
    with pytest.raises(AuthenticationFailed):
        admin.authenticate(bearer(before), Admin(), "1.2.3.4")


def test_without_a_file_nothing_is_the_token(tmp_path: Path) -> None:
    admin = AdminToken(tmp_path, keys_of(tmp_path))
    for token in ("", "None", SETTING):
        with pytest.raises(AuthenticationFailed):
            admin.authenticate(bearer(token), Admin(), "1.2.3.4")


def test_no_credential_is_a_401_that_says_where_the_token_is(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match="prometheus-gateway admin token") as caught:
        AdminToken(tmp_path, keys_of(tmp_path)).authenticate([], Admin(token=SETTING), "1.2.3.4")
    assert caught.value.status == 401


def test_a_client_key_is_a_403_that_says_which_credential_to_use(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="a client key cannot be used") as caught:
        AdminToken(tmp_path, keys_of(tmp_path)).authenticate(bearer(CLIENT_KEY), Admin(token=SETTING), "1.2.3.4")
    assert (caught.value.status, caught.value.code) == (403, "admin_token_required")


def test_too_many_wrong_tokens_are_refused_unseen_and_the_right_one_is_not(tmp_path: Path) -> None:
    admin, settings = AdminToken(tmp_path, keys_of(tmp_path)), Admin(token=SETTING)
    refused = []
    # A second may end meanwhile: then as many more are looked at.
    for _ in range(3 * MAX_FAILURES_PER_SECOND):
        with pytest.raises((RateLimited, AuthenticationFailed)) as caught:
            admin.authenticate(bearer("wrong"), settings, "1.2.3.4")
        refused.append(caught.value.headers.get("retry-after"))
    assert refused.count("1") >= MAX_FAILURES_PER_SECOND
    admin.authenticate(bearer(SETTING), settings, "1.2.3.4")


def test_wrong_tokens_are_logged_by_the_second_and_never_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures = Failures()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            failures.add("198.51.100.7")
    assert 1 <= len(caplog.records) <= 4
    assert "198.51.100.7" in caplog.text
    caplog.clear()
    with pytest.raises(AuthenticationFailed):
        AdminToken(tmp_path, keys_of(tmp_path)).authenticate(bearer("prom_admin_wrong"), Admin(token=SETTING), "::1")
    assert "prom_admin_wrong" not in caplog.text


def test_only_two_headers_carry_it_and_few_of_them_are_looked_at() -> None:
    headers = [(b"api-key", b"a"), (b"authorization", b"Basic b"), (b"x-goog-api-key", b"c"), (b"x-api-key", b"")]
    assert credentials_of(headers) == []
    assert len(credentials_of([(b"x-api-key", b"%d" % number) for number in range(1, 50)])) == 4
