"""Rotated keys: the states, what counts, what is stored, and what is shown."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from proxy.admin.provider_keys import DRAIN_SECONDS, ProviderKeys, masked, with_promoted
from proxy.config.tree import Config, Upstream
from proxy.errors import InvalidRequest, StoreFailed

FIRST, SECOND, THIRD = "sk-first-1111", "sk-second-2222", "sk-third-3333"


def config(key: str = FIRST) -> Config:
    return Config(upstreams={"vendor": Upstream(base_url="https://v.test/v1", api_key=key)})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def keys_in(folder: Path, clock: Callable[[], float], written: Config | None = None) -> ProviderKeys:
    """The keys as a worker has them that begins now."""
    keys = ProviderKeys(folder, clock)
    written = written or config()
    keys.adopt(written, keys.current(written))
    return keys


def in_force(folder: Path, clock: Callable[[], float], written: Config | None = None) -> str:
    keys = keys_in(folder, clock, written)
    return with_promoted(keys.written, keys.current(keys.written)).upstreams["vendor"].api_key


def test_a_new_key_is_in_force_from_its_promotion_on_in_every_worker(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    assert keys.start("vendor", SECOND).status(clock.now) == "pending"
    assert in_force(tmp_path, clock) == FIRST
    assert keys.promote("vendor").status(clock.now) == "draining"
    assert in_force(tmp_path, clock) == SECOND
    clock.now += DRAIN_SECONDS
    assert keys.find("vendor").status(clock.now) == "idle"
    assert in_force(tmp_path, clock) == SECOND


def test_a_pending_key_is_dropped_by_a_rollback(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    keys.start("vendor", SECOND)
    assert keys.roll_back("vendor").status(clock.now) == "idle"
    assert in_force(tmp_path, clock) == FIRST
    assert SECOND not in keys.path.read_text()


def test_a_draining_promotion_is_undone_by_a_rollback(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    keys.start("vendor", SECOND)
    keys.promote("vendor")
    keys.roll_back("vendor")
    assert in_force(tmp_path, clock) == FIRST


def test_the_second_of_two_rotations_is_undone_to_the_first(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    keys.start("vendor", SECOND)
    keys.promote("vendor")
    clock.now += DRAIN_SECONDS
    keys.start("vendor", THIRD)
    keys.promote("vendor")
    assert in_force(tmp_path, clock) == THIRD
    keys.roll_back("vendor")
    assert in_force(tmp_path, clock) == SECOND


def test_a_changed_value_in_the_file_ends_the_override(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    keys.start("vendor", SECOND)
    keys.promote("vendor")
    changed = config(THIRD)
    assert in_force(tmp_path, clock, changed) == THIRD
    # For good: the next change of the file of rotations drops it.
    keys_in(tmp_path, clock, changed).start("vendor", "sk-fourth-4444")
    assert SECOND not in keys.path.read_text()


@pytest.mark.parametrize("step", ["promote", "roll_back"])
def test_without_a_rotation_there_is_nothing_to_end(tmp_path: Path, step: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        getattr(keys_in(tmp_path, Clock()), step)("vendor")
    assert caught.value.status == 409


def test_while_one_is_under_way_no_other_begins(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    keys.start("vendor", SECOND)
    for _ in range(2):
        with pytest.raises(InvalidRequest) as caught:
            keys.start("vendor", THIRD)
        assert caught.value.status == 409
        if keys.find("vendor").status(clock.now) == "pending":
            keys.promote("vendor")


@pytest.mark.parametrize("key", ["", "a\r\nx-injected: 1", "späß", " sk-space", "x" * 5_000])
def test_what_no_header_can_carry_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        keys_in(tmp_path, Clock()).check("vendor", key)
    assert (caught.value.status, caught.value.param) == (400, "new_key")


def test_the_key_in_force_is_no_new_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="in force already"):
        keys_in(tmp_path, Clock()).check("vendor", FIRST)


def test_unknown_upstreams_and_those_without_a_key_have_no_rotation(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not found"):
        keys_in(tmp_path, Clock()).start("../vendor", SECOND)
    with pytest.raises(InvalidRequest, match="no api_key"):
        keys_in(tmp_path, Clock(), config("")).start("vendor", SECOND)


def test_one_of_several_keys_is_changed_in_the_file(tmp_path: Path) -> None:
    several = msgspec.structs.replace(config("").upstreams["vendor"], api_keys=[FIRST, SECOND])
    written = msgspec.structs.replace(config(""), upstreams={"vendor": several})
    with pytest.raises(InvalidRequest, match="change one in the configuration"):
        keys_in(tmp_path, Clock(), written).start("vendor", THIRD)


def test_the_file_is_for_its_owner_and_keeps_no_key_longer_than_needed(tmp_path: Path) -> None:
    clock = Clock()
    keys = keys_in(tmp_path, clock)
    keys.start("vendor", SECOND)
    keys.promote("vendor")
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert FIRST in keys.path.read_text()
    clock.now += DRAIN_SECONDS
    keys.start("vendor", THIRD)
    assert FIRST not in keys.path.read_text()


def test_a_damaged_file_is_a_fault_and_not_a_lost_key(tmp_path: Path) -> None:
    keys = keys_in(tmp_path, Clock())
    keys.path.write_text("[{")
    with pytest.raises(StoreFailed, match="damaged"):
        keys.current(config())


def test_keys_are_masked(tmp_path: Path) -> None:
    assert [masked(key) for key in ("", "12345678", "123456789", FIRST)] == ["", "***", "1234...6789", "sk-f...1111"]


def test_a_rotation_is_stored_as_it_is_read(tmp_path: Path) -> None:
    keys = keys_in(tmp_path, Clock())
    stored = keys.start("vendor", SECOND)
    assert keys.find("vendor") == stored
    assert msgspec.json.decode(keys.path.read_bytes())[0]["provider"] == "vendor"
