"""Interpolator: where they lead, and what is said when they lead nowhere."""

from pathlib import Path

import pytest

from proxy.config.interpolation import InterpolationError, Interpolator


def interpolator(folder: Path = Path()) -> Interpolator:
    return Interpolator({"A": "one", "B_2": "two", "EMPTY": "", "FILE": "file:x"}, folder)


@pytest.mark.parametrize(
    ("text", "value"),
    [("plain", "plain"), ("${A}", "one"), ("x-${A}-${B_2}", "x-one-two"), ("$A", "$A"), ("${FILE}", "file:x")],
)
def test_variables_are_put_in(text: str, value: str) -> None:
    assert interpolator().secret(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${C}", "the environment variable C is not set"),
        ("${EMPTY}", "the environment variable EMPTY is empty"),
        ("${}", "a ${NAME} is not written in full"),
        ("${A", "a ${NAME} is not written in full"),
        ("${A B}", "a ${NAME} is not written in full"),
        ("file:", "file: names no file"),
    ],
)
def test_a_broken_reference_says_why(text: str, message: str) -> None:
    with pytest.raises(InterpolationError) as caught:
        interpolator().secret(text)
    assert caught.value.message == message


@pytest.mark.parametrize("content", [b"", b"\nsecret", b"\xff\xfe", b"x" * 65_537])
def test_a_file_without_a_credential_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InterpolationError):
        interpolator(tmp_path).secret("file:key")


def test_a_path_may_hold_a_variable(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("secret")
    assert interpolator(tmp_path).secret("file:${A}") == "secret"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterpolationError, match=rf"{tmp_path}/none cannot be read: No such file"):
        interpolator(tmp_path).secret("file:none")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("http://host/tenant-77/v1/models", "http://host/${TENANT}/v1/models"),
        ("put /tenant-77x/v1 there", "put /${TENANT}x/v1 there"),
        ("at eu.example:8000", "at ${HOST}:8000"),
        ("at EU.example:8000", "at ${HOST}:8000"),
        ("/ab/v1 is about that", "/${SHORT}/v1 is about that"),
        ("key topsecret", "key topsecret"),
    ],
)
def test_what_is_put_into_addresses_is_hidden_in_messages(tmp_path: Path, text: str, hidden: str) -> None:
    environment = {"TENANT": "tenant-77", "HOST": "EU.example", "SHORT": "ab", "KEY": "topsecret", "EMPTY": "/"}
    interpolator = Interpolator(environment, tmp_path)
    interpolator.address("https://${HOST}:8000/${TENANT}/${SHORT}${EMPTY}v1")
    interpolator.secret("${KEY}")
    assert interpolator.hide(text) == hidden
