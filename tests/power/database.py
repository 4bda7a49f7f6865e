"""SQLite over the lossy disk: a virtual file system of apsw, and its connection under the face of Python's sqlite3."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apsw

from tests.power.disk import LossyDisk


class LossyFileSystem(apsw.VFS):
    """Files are real; the disk is notified of each write and sync."""

    def __init__(self, disk: LossyDisk) -> None:
        self.name = f"lossy-{id(disk)}"
        self._disk = disk
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> "LossyFile":  # noqa: N802 (SQLite's name)
        """A file that notifies the disk."""
        return LossyFile(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 (SQLite's name)
        """Remove a file."""
        super().xDelete(filename, False)
        self._disk.remove(filename, synced=syncdir)


class LossyFile(apsw.VFSFile):
    """See the file system."""

    def __init__(self, disk: LossyDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("", name, flags)
        # SQLite's own file system syncs the directory with the first sync of a log that it has made.
        self._sync_name = bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 (SQLite's name)
        """Write."""
        self._disk.write(self._path, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 (SQLite's name)
        """Cut off."""
        self._disk.truncate(self._path, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 (SQLite's name)
        """Notify the disk; the real one is not synced, because its power is not cut."""
        self._disk.sync(self._path)
        if self._sync_name:
            self._sync_name = False
            self._disk.sync_names(str(Path(self._path).parent))


class Connection:
    """As much of `sqlite3.Connection` as the writer uses."""

    def __init__(self, path: Path, file_system: LossyFileSystem) -> None:
        self._connection = apsw.Connection(str(path), vfs=file_system.name)
        self._connection.set_busy_timeout(1_000)

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows changed since the connection was opened."""
        return self._connection.total_changes()

    def execute(self, statement: str, values: Any = ()) -> apsw.Cursor:
        """Run one statement."""
        return self._connection.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Any]) -> None:
        """Run one statement for each row."""
        self._connection.executemany(statement, rows)

    def create_function(self, name: str, count: int, function: Callable[..., Any], *, deterministic: bool) -> None:
        """Make a function that statements can use."""
        self._connection.create_scalar_function(name, function, count, deterministic=deterministic)

    def create_aggregate(self, name: str, count: int, aggregate: Any) -> None:
        """Make a function over rows that statements can use, of a class with `step` and `finalize`."""
        self._connection.create_aggregate_function(
            name, lambda: (aggregate(), aggregate.step, aggregate.finalize), count
        )

    def close(self) -> None:
        """Close it."""
        self._connection.close()
