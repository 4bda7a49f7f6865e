"""A ledger of millions of rows for the benchmark of pages, made by SQL in some minutes, and its keys. Not a real month.

Rows are spread evenly over the days; keys are drawn with a preference for the first ones, as it is in life. There are
as many sums as such rows have, two aliases to each key, but they are not summed from them: their figures mean nothing.
"""

import json
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.store import CACHE
from proxy.auth.keys import digest_of
from proxy.ledger import rollups, sqlite
from proxy.ledger.ledger import prepare

KEYS: Final = 2_000
TEAMS: Final = 20
ALIASES: Final = 10
DAYS: Final = 30
#: The first second after the rows: 2026-12-01, UTC.
END: Final = 1_796_083_200
# Made again after the rows, which is much faster than with each of them.
_INDEXES: Final = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'requests' AND sql IS NOT NULL"
)
_ROWS: Final = f"""
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :rows),
drawn AS (
    SELECT n, (n * 2654435761) % 4294967296 AS a, (n * 40503 + n / 7) % 65536 AS b FROM numbers
),
chosen AS (
    SELECT n, a, b, CAST({KEYS} * (a / 4294967296.0) * (a / 4294967296.0) AS INTEGER) AS k FROM drawn
),
named AS (SELECT *, (k * 7 + b % 3) % {ALIASES} AS m, b % 50 = 0 AS failed FROM chosen)
INSERT INTO requests (id, started, key, alias, endpoint, upstream, upstream_model, stream, status, outcome, attempts,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, audio_milliseconds, images,
    usage_source, cost, ttft, total, overhead, bytes_out, text_in, text_out, error_code, team, session)
SELECT printf('req_%032x', n), (:begin + n * :days * 86400 / :rows) * 1000000 + n % 1000, printf('key_%012d', k),
    'alias-' || m, CASE WHEN m < 8 THEN '/v1/chat/completions' ELSE '/v1/embeddings' END,
    'upstream-' || ((m + (b % 10 = 0)) % 5), 'model-' || m, m < 8, CASE WHEN failed THEN 502 ELSE 200 END,
    CASE WHEN failed THEN 'upstream_error' ELSE 'complete' END, 1, 200 + b % 3000, b % 200, 0, 50 + b % 700,
    b % 40, 0, 0, 'reported', CASE WHEN b % 97 = 0 THEN NULL ELSE 100000 + b * 13 END,
    CASE WHEN failed THEN NULL ELSE 90000 + b * 9 END, 300000 + b * 40, 150 + b % 900, 4000, 800, 900,
    CASE WHEN failed THEN 'upstream_error' END, 'team_' || (k % {TEAMS}),
    CASE WHEN b % 400 = 0 THEN 'session-' || k ELSE '' END
FROM named
"""


# What the rows of each view are: the axes besides the time, the dimensions in their order, and how many rows there are.
_KEY, _TEAM = "printf('key_%012d', k)", "'team_' || (k % 20)"
_ALIAS, _MODEL, _UPSTREAM = "'alias-' || m", "'model-' || m", "'upstream-' || (m % 5)"
_ENDPOINT = "CASE WHEN m < 8 THEN '/v1/chat/completions' ELSE '/v1/embeddings' END"
_VIEWS: Final = {
    0: ("kinds", f"'', '', '', '', {_ENDPOINT.replace('m <', 'k * 8 <')}, '', ''", 2),
    1: ("kinds", "'', 'alias-' || k, '', '', '', '', ''", ALIASES),
    2: ("kinds", "'', '', '', '', '', 'upstream-' || (k % 5), 'model-' || k", ALIASES),
    3: ("kinds", f"'', '', {_TEAM}, '', '', '', ''", TEAMS),
    4: ("kinds", f"{_KEY}, '', '', '', '', '', ''", KEYS),
    5: ("pairs", f"'', {_ALIAS}, {_TEAM}, '', {_ENDPOINT}, {_UPSTREAM}, {_MODEL}", TEAMS),
    6: ("two", f"{_KEY}, {_ALIAS}, {_TEAM}, '', {_ENDPOINT}, {_UPSTREAM}, {_MODEL}", KEYS),
}
_SUMS_OF: Final = """
WITH RECURSIVE times(t) AS (SELECT :begin UNION ALL SELECT t + :grain FROM times WHERE t + :grain < :end),
kinds(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM kinds WHERE k + 1 < :count),
aliases(m) AS (SELECT 0 UNION ALL SELECT m + 1 FROM aliases WHERE m + 1 < 10),
pairs AS (SELECT k, m FROM kinds CROSS JOIN aliases),
two AS (SELECT k, (k * 7 + n) % 10 AS m FROM kinds CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1))
"""


# A key as `make_keys` writes it: id, name, created, revision, team and tags.
_KEY_ROW: Final = "INSERT INTO keys (id, name, created, revision, team, tags) VALUES (?, ?, ?, ?, ?, ?)"


def key_id(number: int) -> str:
    """The id of a key."""
    return f"key_{number:012d}"


def secret_of(number: int) -> str:
    """The secret of a key."""
    return f"prom_sk_bench_{number:08d}"


def tags_of(number: int) -> tuple[str, ...]:
    """The tags of a key: each has two."""
    return f"group-{number % 7}", f"tag-{number % 12}"


def kept(rows: int) -> Path:
    """The data directory with so many rows, which is made once."""
    folder = CACHE / f"pages-{rows}-rows"
    if not folder.exists():
        draft = CACHE / f"{folder.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        begin = time.monotonic()
        print(f"making a ledger with {rows:,} rows and {KEYS:,} keys, once", file=sys.stderr)
        make(draft, rows)
        draft.rename(folder)
        print(f"that took {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return folder


def make_keys(data_dir: Path) -> None:
    """Make the keys of a ledger, where there are none."""
    path = data_dir / "keys.db"
    if path.exists():
        return
    sqlite.create_rollback(path, sqlite.migrations("keys_"))
    began = END - DAYS * rollups.DAY
    numbers = range(KEYS)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, sqlite.transaction(connection):
        teams = [(f"team_{number}", f"team {number}", began) for number in range(TEAMS)]
        connection.executemany("INSERT INTO teams (id, name, created) VALUES (?, ?, ?)", teams)
        connection.executemany(
            _KEY_ROW,
            [(key_id(n), f"key {n}", began, n + 1, f"team_{n % TEAMS}", json.dumps(tags_of(n))) for n in numbers],
        )
        connection.executemany(
            "INSERT INTO secrets (digest, key, hint, created) VALUES (?, ?, 'none', ?)",
            [(digest_of(secret_of(n).encode()), key_id(n), began) for n in numbers],
        )


def make(data_dir: Path, count: int) -> None:
    """Make a ledger of `count` rows in a directory that has none."""
    prepare(data_dir)
    path = data_dir / "ledger.db"
    connection = sqlite.open_writer(path, "process")
    try:
        sqlite.migrate(connection, path, sqlite.migrations())
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        connection.execute("PRAGMA temp_store = MEMORY")
        _insert(connection, count)
        _sum_up(connection, count)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _insert(connection: sqlite3.Connection, count: int) -> None:
    indexes = connection.execute(_INDEXES).fetchall()
    connection.execute("BEGIN")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute(_ROWS, {"rows": count, "begin": END - DAYS * rollups.DAY, "days": DAYS})
    for _, text in indexes:
        connection.execute(text)
    connection.execute("COMMIT")


def _sum_up(connection: sqlite3.Connection, count: int) -> None:
    """Write as many sums as such rows have; their values are even."""
    connection.execute("BEGIN")
    for view, (axis, dimensions, kinds) in _VIEWS.items():
        groups = kinds * {"kinds": 1, "pairs": ALIASES, "two": 2}[axis]
        for grain in (rollups.HOUR, rollups.DAY):
            requests = max(count * grain // (DAYS * rollups.DAY) // groups, 1)
            values = dict.fromkeys(rollups.SUMS, f"{requests * 1_000}")
            values |= dict.fromkeys(("requests", "answered"), f"{requests}")
            values |= {"errors": f"{requests // 50}", "unpriced": "0", "uncosted": "0"}
            # Different ones, since the largest lines are searched for.
            values["cost"] += " * (1 + k % 97)"
            sums = ", ".join(values.values())
            seen = [50_000 + number * 40_000 for number in range(min(requests, 30))]
            histogram = rollups.pack(rollups.observation(*seen))
            connection.execute(
                f"INSERT INTO rollups {_SUMS_OF} SELECT {view}, :grain, t, {dimensions}, {sums}, :blob, :blob, :blob "
                f"FROM times CROSS JOIN {axis}",
                {"begin": END - DAYS * rollups.DAY, "end": END, "grain": grain, "count": kinds, "blob": histogram},
            )
    connection.execute("COMMIT")
