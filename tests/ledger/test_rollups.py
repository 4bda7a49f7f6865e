"""Histograms and sums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from proxy.ledger import rollups
from tests.ledger.samples import STARTED, final

#: The place of the first sum in a row.
FIRST = 3 + len(rollups.DIMENSIONS)


def histogram(*durations: int) -> int:
    return sum(rollups.observation(duration) for duration in durations)


@given(st.integers(min_value=64, max_value=2**32 - 1))
def test_a_single_duration_comes_back_within_a_quarter(duration: int) -> None:
    found = rollups.percentile(rollups.observation(duration), 0.5)
    assert found is not None
    assert abs(found - duration) <= duration / 4


@given(st.lists(st.integers(min_value=0, max_value=2**40), min_size=1, max_size=50))
def test_percentiles_grow_with_their_share(durations: list[int]) -> None:
    whole = histogram(*durations)
    found = [rollups.percentile(whole, share) or 0 for share in (0.0, 0.5, 0.9, 0.99, 1.0)]
    assert found == sorted(found)


def test_percentiles_follow_the_counts() -> None:
    whole = histogram(*[1_000] * 98, *[1_000_000] * 2)
    assert rollups.percentile(whole, 0.5) == pytest.approx(1_000, rel=0.25)
    assert rollups.percentile(whole, 0.99) == pytest.approx(1_000_000, rel=0.25)


def test_no_observation_has_no_percentile() -> None:
    assert rollups.percentile(0, 0.5) is None


@given(st.lists(st.integers(min_value=0, max_value=2**40)), st.lists(st.integers(min_value=0, max_value=2**40)))
def test_merging_stored_histograms_is_counting_all(ones: list[int], others: list[int]) -> None:
    merged = rollups.merge_packed(rollups.pack(histogram(*ones)), rollups.pack(histogram(*others)))
    assert rollups.unpack(merged) == histogram(*ones, *others)


def test_hours_and_days_are_summed_apart() -> None:
    hour = 3_600_000_000
    finals = [final(1), final(2), final(3, started=STARTED + hour), final(4, key="key_b")]
    view = rollups.view_of(rollups.DIMENSIONS)
    rows = {row[1:5]: row for row in rollups.summarise(map(astuple, finals)) if row[0] == view}
    start = STARTED // 1_000_000 // 3_600 * 3_600
    day = start // 86_400 * 86_400
    counts = {group: row[FIRST] for group, row in rows.items()}
    assert counts == {
        (3_600, start, "key_aaaaaaaaaaaa", "prometheus-core"): 2,
        (3_600, start + 3_600, "key_aaaaaaaaaaaa", "prometheus-core"): 1,
        (3_600, start, "key_b", "prometheus-core"): 1,
        (86_400, day, "key_aaaaaaaaaaaa", "prometheus-core"): 3,
        (86_400, day, "key_b", "prometheus-core"): 1,
    }


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"status": 429}, "errors"),
        ({"outcome": "upstream_cut"}, "errors"),
        ({"cost": None}, "unpriced"),
        ({"usage_source": "estimated"}, "estimated"),
    ],
)
def test_what_is_counted(changes: dict[str, object], column: str) -> None:
    position = FIRST + rollups.SUMS.index(column)
    plain, changed = (rollups.summarise([astuple(record)])[0] for record in (final(1), final(1, **changes)))
    assert (plain[position], changed[position]) == (0, 1)


def test_a_client_that_leaves_is_no_error() -> None:
    row = rollups.summarise([astuple(final(1, outcome="client_closed", ttft=None))])[0]
    assert row[FIRST + rollups.SUMS.index("errors")] == 0
    assert row[FIRST + rollups.SUMS.index("answered")] == 0
