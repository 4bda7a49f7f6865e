"""What the tests of commands share: running one in a fresh folder, and a ledger with rows in it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from click.testing import CliRunner, Result

from proxy.cli.group import group
from proxy.ledger.ledger import Ledger
from proxy.ledger.record import UsageRecord


class Run(Protocol):
    """Runs the command line in this process; `env` is added to the environment."""

    def __call__(self, *args: str, **env: str) -> Result: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def call(*args: str, **env: str) -> Result:
        return CliRunner().invoke(group, args, prog_name="prometheus-gateway", env=env)

    return call


def row(number: int, **changes: object) -> UsageRecord:
    """One settled request; ten seconds after the one before."""
    fields: dict[str, object] = {
        "id": f"req_{number:032x}",
        "started": 1_790_000_000_000_000 + number * 10_000_000,
        "key": "key_000000000001",
        "alias": "prometheus-core",
        "endpoint": "chat.completions",
        "upstream": "openai",
        "upstream_model": "gpt-5",
        "stream": True,
        "status": 200,
        "outcome": "complete",
        "input_tokens": 10,
        "output_tokens": 5,
        "usage_source": "reported",
        "cost": 33_000,
        "ttft": 1_500,
        "total": 9_000,
    }
    return UsageRecord(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def stored(folder: Path) -> Callable[[Sequence[UsageRecord]], None]:
    """Puts rows into the ledger of the default data directory."""

    async def store(rows: Sequence[UsageRecord]) -> None:
        ledger = Ledger(folder / "data")
        await ledger.start()
        for final in rows:
            ledger.journal.append(final)
        await ledger.stop()

    return lambda rows: asyncio.run(store(rows))
