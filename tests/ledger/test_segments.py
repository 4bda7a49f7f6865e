"""Segment names, and locks that show whether an owner is alive."""

import os
from pathlib import Path

import pytest

from proxy.ledger import segments


def test_a_name_contains_its_owner() -> None:
    owner = segments.new_owner()
    assert segments.owner_of(f"{owner}-00000001.journal") == owner


def test_a_new_segment_is_locked_and_private(tmp_path: Path) -> None:
    name, number, descriptor = segments.create(tmp_path, "owner", 7)
    try:
        assert (name, number) == ("owner-00000007.journal", 7)
        assert not segments.is_closed(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    finally:
        os.close(descriptor)
    assert segments.is_closed(tmp_path / name)


def test_a_segment_that_a_writer_removes_before_it_is_locked_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = segments.try_lock

    def remove_first(descriptor: int) -> bool:
        monkeypatch.setattr(segments, "try_lock", lock)
        (tmp_path / "owner-00000001.journal").unlink()
        return lock(descriptor)

    monkeypatch.setattr(segments, "try_lock", remove_first)
    name, _, descriptor = segments.create(tmp_path, "owner", 1)
    os.close(descriptor)
    assert (tmp_path / name).exists()


def test_a_locked_segment_is_not_removed(tmp_path: Path) -> None:
    name, _, descriptor = segments.create(tmp_path, "owner", 1)
    assert not segments.remove(tmp_path / name, 0)
    os.close(descriptor)
    assert segments.remove(tmp_path / name, 0)
    assert segments.names(tmp_path) == []


def test_a_segment_that_grew_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "owner-00000001.journal"
    path.write_bytes(b"more")
    assert not segments.remove(path, 3)


def test_other_files_are_no_segments(tmp_path: Path) -> None:
    for name in ("b-2.journal", "a-1.journal", "notes.txt"):
        (tmp_path / name).touch()
    assert segments.names(tmp_path) == ["a-1.journal", "b-2.journal"]
