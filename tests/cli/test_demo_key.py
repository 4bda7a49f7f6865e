"""The demo's key: kept, for its owner alone, and replaced when it is none."""

import stat
from pathlib import Path

import pytest

from proxy.cli import demo_key
from proxy.errors import StoreFailed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    first = demo_key.load_or_create(tmp_path / "data", "prom_sk_")
    assert first.startswith("prom_sk_")
    assert len(first) >= 40
    assert demo_key.load_or_create(tmp_path / "data", "prom_sk_") == first
    assert mode(tmp_path / "data" / "demo-key") == 0o600
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["demo-key", "journal"]


def test_others_may_not_read_it_any_more(tmp_path: Path) -> None:
    first = demo_key.load_or_create(tmp_path, "prom_sk_")
    (tmp_path / "demo-key").chmod(0o644)
    assert demo_key.load_or_create(tmp_path, "prom_sk_") == first
    assert mode(tmp_path / "demo-key") == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\xff" * 50, b"prom_sk_" + b"a" * 4_000, b"a b" * 20, b"a" * 40 + b"\nb"]
)
def test_what_is_no_key_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "demo-key").write_bytes(content)
    assert demo_key.load(tmp_path) is None
    made = demo_key.load_or_create(tmp_path, "prom_sk_")
    assert (tmp_path / "demo-key").read_text() == made + "\n"
    assert mode(tmp_path / "demo-key") == 0o600


def test_a_file_that_cannot_be_kept_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "demo-key").mkdir()
    with pytest.raises(StoreFailed, match="name another --data-dir"):
        demo_key.load_or_create(tmp_path, "prom_sk_")


def test_the_key_has_the_id_that_the_demo_bills(tmp_path: Path) -> None:
    secret = demo_key.load_or_create(tmp_path, "prom_sk_")
    key = demo_key.load(tmp_path)
    assert key is not None
    assert (key.id, key.name, key.hint, key.models) == (demo_key.key_id(), "demo", secret[-4:], None)


def test_without_a_demo_there_is_none(tmp_path: Path) -> None:
    assert demo_key.load(tmp_path) is None
