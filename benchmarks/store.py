"""Makes a store that has seen years of use: many keys, many rows, written straight into the databases' own schema.

    python -m benchmarks.store [--keys N] [--rows N]

It prints the data directory, which is kept in `benchmarks/.cache/` and made once for each pair of numbers: ten million
rows take some minutes and four gigabytes. The figures in it mean nothing; their number does.
"""

import argparse
import hashlib
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from proxy.ledger import rollups, sqlite
from proxy.ledger.ledger import prepare
from proxy.ledger.record import UsageRecord

CACHE = Path(__file__).resolve().parent / ".cache"
#: Keys that have used the gateway; the others were made and forgotten.
ACTIVE_KEYS = 50
ALIASES = ("prometheus-core", "prometheus-lite", "prometheus-atlas")
#: The rows lie in so many days before now.
DAYS = 90
_BATCH = 50_000
_COLUMNS = UsageRecord.__struct_fields__
_ROW = f"INSERT INTO requests ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_KEY = "INSERT INTO keys (id, name, models, created, expires, revoked, revision) VALUES (?, ?, NULL, ?, NULL, NULL, ?)"
_SECRET = "INSERT INTO secrets (digest, key, hint, created, expires) VALUES (?, ?, ?, ?, NULL)"


def full_store(keys: int, rows: int, cache: Path = CACHE) -> Path:
    """The data directory with that many keys and rows; made when it is not there."""
    folder = cache / f"{keys}-keys-{rows}-rows"
    if folder.exists():
        return folder
    draft = cache / f"{folder.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    prepare(draft)
    print(f"making a store with {keys:,} keys and {rows:,} rows, once", file=sys.stderr)
    _fill(draft, keys, rows)
    draft.rename(folder)
    return folder


def _fill(folder: Path, keys: int, rows: int) -> None:
    now = int(time.time())
    _fill_keys(folder / "keys.db", keys, now)
    _fill_ledger(folder / "ledger.db", min(keys, ACTIVE_KEYS), rows, now)


def _fill_keys(path: Path, count: int, now: int) -> None:
    sqlite.create_rollback(path, sqlite.migrations("keys_"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, sqlite.transaction(connection):
        ids = [_key_id(number) for number in range(count)]
        connection.executemany(_KEY, [(id_, f"key {number}", now, number + 1) for number, id_ in enumerate(ids)])
        digests = [(hashlib.sha256(f"secret of {id_}".encode()).digest(), id_, "none", now) for id_ in ids]
        connection.executemany(_SECRET, digests)


def _fill_ledger(path: Path, keys: int, count: int, now: int) -> None:
    connection = sqlite.open_writer(path, "process")
    try:
        sqlite.migrate(connection, path, sqlite.migrations())
        with sqlite.mapped(path):
            connection.create_function("merge_histograms", 2, rollups.merge_packed, deterministic=True)
            # A draft that is lost with the machine is made again.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA cache_size = -{512 * 1024}")
            for batch in _batches(keys, count, now):
                rows = list(map(msgspec.structs.astuple, batch))
                with sqlite.transaction(connection):
                    connection.executemany(_ROW, rows)
                    connection.executemany(rollups.UPSERT, rollups.summarise(rows))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _batches(keys: int, count: int, now: int) -> Iterator[list[UsageRecord]]:
    """Rows in the order of time, their keys at random but the same in each run."""
    chance = random.Random(20_261_121)
    begin = (now - DAYS * 86_400) * 1_000_000
    step = DAYS * 86_400 * 1_000_000 // max(count, 1)
    for first in range(0, count, _BATCH):
        yield [
            UsageRecord(
                id=f"req_{number:032x}",
                started=begin + number * step,
                key=_key_id(chance.randrange(keys)),
                alias=ALIASES[number % len(ALIASES)],
                endpoint="/v1/chat/completions",
                upstream="fake",
                upstream_model="bench-first",
                stream=True,
                status=200,
                outcome="complete",
                attempts=1,
                input_tokens=180,
                output_tokens=20 + number % 50,
                usage_source="reported",
                cost=400_000,
                ttft=200_000 + number % 5_000,
                total=2_000_000 + number % 50_000,
                overhead=150 + number % 100,
                bytes_out=5_000,
                text_in=900,
                text_out=120,
            )
            for number in range(first, min(first + _BATCH, count))
        ]


def _key_id(number: int) -> str:
    return f"key_{number:012x}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description="Make a store full of rows.")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    arguments = parser.parse_args()
    if arguments.keys < 1 or arguments.rows < 0:
        parser.error("at least one key, and no rows below nothing")
    print(full_store(arguments.keys, arguments.rows))


if __name__ == "__main__":
    main()
