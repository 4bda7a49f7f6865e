"""Fixtures of the ledger's tests."""

from pathlib import Path

import pytest

from proxy.ledger.ledger import prepare


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path
