"""The table of resource endpoints: every id in a path has a rule, and no two rows are the same endpoint."""

import re

import pytest

from proxy.resources.spec import CHILD_IDS, ResourceRow
from proxy.resources.table import RESOURCE_ROWS
from tests.resources.samples import OWNED_IDS, names


@pytest.mark.parametrize("row", RESOURCE_ROWS, ids=names)
def test_every_id_in_a_path_has_a_rule(row: ResourceRow) -> None:
    assert set(row.ids) <= OWNED_IDS | CHILD_IDS
    assert not set(row.ids) or row.ids[0] in OWNED_IDS
    assert row.deletes in ("", *row.ids)


def test_no_two_rows_are_the_same_endpoint() -> None:
    shapes = [(row.method, re.sub(r"\{\w+\}", "{}", row.path)) for row in RESOURCE_ROWS]
    assert len(set(shapes)) == len(shapes)
