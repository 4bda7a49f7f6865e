"""Opening and migrating databases, and messages that say how to mend what fails."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from proxy.errors import StoreFailed
from proxy.ledger import sqlite

ONE = "CREATE TABLE one (a INTEGER) STRICT;\n-- a comment; with a semicolon\nCREATE TABLE two (a INTEGER) STRICT;\n"


def migrated(path: Path, scripts: list[str]) -> None:
    connection = sqlite.open_writer(path, "process")
    try:
        sqlite.migrate(connection, path, scripts)
    finally:
        connection.close()


def tables(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
    finally:
        connection.close()


def test_the_database_is_private(tmp_path: Path) -> None:
    migrated(tmp_path / "db", [ONE])
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o600


def test_migrations_are_applied_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "db"
    migrated(path, [ONE])
    migrated(path, [ONE, "ALTER TABLE two RENAME TO three;\n"])
    migrated(path, [ONE, "ALTER TABLE two RENAME TO three;\n"])
    assert tables(path) == ["one", "three"]


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with pytest.raises(StoreFailed):
        migrated(path, [ONE + "CREATE TABLE one (b);\n"])
    assert tables(path) == []


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db"
    migrated(path, [ONE, "CREATE TABLE later (a);\n"])
    with pytest.raises(StoreFailed, match="newer version"):
        migrated(path, [ONE])


def test_a_damaged_file_is_refused_with_a_hint_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreFailed, match=r"recover"):
        migrated(path, [ONE])
    assert path.read_bytes() == b"no database" * 1_000


def test_a_reader_cannot_write_or_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "db"

    async def run() -> None:
        writer = sqlite.open_writer(path, "process")
        sqlite.migrate(writer, path, [ONE])
        reader = await sqlite.open_reader(path)
        try:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await reader.execute("INSERT INTO one VALUES (1)")
            checkpoint = list(await reader.execute_fetchall("PRAGMA wal_autocheckpoint"))
            assert checkpoint == [(0,)]
        finally:
            await reader.close()
            writer.close()

    asyncio.run(run())


def test_a_reader_that_closes_last_checkpoints_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        writer = sqlite.open_writer(tmp_path / "db", "process")
        sqlite.migrate(writer, tmp_path / "db", [ONE])
        # What a killed writer leaves: a WAL without a connection.
        (tmp_path / "left").mkdir()
        for name in ("db", "db-wal"):
            shutil.copy(tmp_path / name, tmp_path / "left" / name)
        writer.close()
        reader = await sqlite.open_reader(tmp_path / "left" / "db")
        assert list(await reader.execute_fetchall("SELECT count(*) FROM one")) == [(0,)]
        await reader.close()
        assert (tmp_path / "left" / "db-wal").stat().st_size > 0

    asyncio.run(run())


def test_a_reader_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="no ledger yet"):
        asyncio.run(sqlite.open_reader(tmp_path / "db"))


@pytest.mark.parametrize(("durability", "level"), [("power", 2), ("process", 1)])
def test_power_mode_syncs_each_commit(tmp_path: Path, durability: str, level: int) -> None:
    writer = sqlite.open_writer(tmp_path / "db", "power" if durability == "power" else "process")
    try:
        assert writer.execute("PRAGMA synchronous").fetchall() == [(level,)]
    finally:
        writer.close()


@pytest.mark.parametrize("prefix", ["", "keys_"])
def test_shipped_migrations_are_numbered_without_gaps(prefix: str, tmp_path: Path) -> None:
    scripts = sqlite.migrations(prefix)
    assert scripts
    migrated(tmp_path / "db", scripts)
