"""The fuzzer, in the size that every run of the tests has time for; `make fuzz` goes on for as long as it is told."""

from pathlib import Path

from tests.fuzz.run import run

SECONDS, SEED, CLIENTS = 60.0, 1, 12


def test_no_odd_request_or_answer_hangs_leaks_or_costs_a_row(tmp_path: Path) -> None:
    findings = run(tmp_path, seconds=SECONDS, seed=SEED, clients=CLIENTS)
    assert findings.failures == []
    assert findings.cases > CLIENTS
