"""A month of sample data: marked, the same each time, and stored once."""

from decimal import Decimal
from pathlib import Path

import pytest

from proxy.config.tree import Model, Price
from proxy.ledger import sample
from proxy.ledger.boards import Boards
from tests.ledger.ingesting import ingest, query
from tests.ledger.test_boards import ask

NOW = 1_796_083_200
MODELS = {
    "core": Model(capability="chat", targets=["a/b"], price=Price(input=Decimal(1), output=Decimal(2))),
    "vectors": Model(capability="embeddings", targets=["a/c"]),
}


def test_every_row_says_that_it_is_a_sample(data_dir: Path) -> None:
    sample.add_sample(data_dir, MODELS, NOW)
    ingest(data_dir)
    ((rows, marked, aliases, first, last),) = query(
        data_dir,
        "SELECT count(*), sum(key LIKE 'sample-%' AND upstream IN ('sample', '')), count(DISTINCT alias), "
        "min(started), max(started) FROM requests",
    )
    assert (marked, aliases) == (rows, 2)
    assert 4_000 < rows < 8_000
    assert (NOW - 31 * 86_400) * 1_000_000 < first < last < NOW * 1_000_000
    sums = query(data_dir, "SELECT sum(requests) FROM rollups WHERE view = 0 AND grain = 86400")
    assert sums == [(rows,)]


def test_a_second_start_adds_nothing(data_dir: Path) -> None:
    for _ in range(2):
        sample.add_sample(data_dir, MODELS, NOW)
        ingest(data_dir)
    ((rows, ids),) = query(data_dir, "SELECT count(*), count(DISTINCT id) FROM requests")
    ((requests,),) = query(data_dir, "SELECT sum(requests) FROM rollups WHERE view = 0 AND grain = 3600")
    assert rows == ids == requests


@pytest.mark.parametrize("is_there", [True, False])
def test_boards_say_whether_there_is_sample_data(data_dir: Path, is_there: bool) -> None:
    if is_there:
        sample.add_sample(data_dir, MODELS, NOW)
    ingest(data_dir)
    assert ask(data_dir, Boards.has_sample) is is_there
