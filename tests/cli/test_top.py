"""`top`: one look where stdout is no terminal, and where it is asked for once."""

import json
import time
from collections.abc import Callable, Sequence

from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[UsageRecord]], None]


def test_one_look_has_a_line_for_each_alias_and_the_total(run: Run, stored: Stored) -> None:
    now = time.time_ns() // 1_000
    stored([row(1, started=now), row(2, started=now, alias="prometheus-lite", cost=1_000_000_000)])
    lines = run("top", "--window", "3600").stdout.splitlines()
    assert "the last 3600 s" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["prometheus-core", "prometheus-lite", "total"]
    assert lines[-1].split()[-1] == "1.000033"
    assert max(map(len, lines)) <= 80


def test_json_has_exact_counts(run: Run, stored: Stored) -> None:
    stored([row(1, started=time.time_ns() // 1_000)])
    document = json.loads(run("top", "--by", "key", "--window", "3600", "--json").stdout)
    assert (document["total"]["requests"], document["total"]["tokens"], document["window"]) == (1, 15, 3600)
    assert document["lines"][0]["group"] == "key_000000000001"


def test_nothing_is_said_and_no_ledger_is_an_error(run: Run, stored: Stored) -> None:
    assert run("top").exit_code != 0
    stored([])
    result = run("top", "--once")
    assert result.exit_code == 0
    assert "Nothing went through today." in result.stderr
