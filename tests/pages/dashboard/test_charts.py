"""Charts are drawn in whole numbers, and their script gets the same values."""

from proxy.ledger.board_values import Line, Series, Totals
from proxy.pages.dashboard.charts import nice_top, sparkline, stacked
from proxy.pages.dashboard.figures import Figures

UTC = Figures("UTC")


def test_groups_are_stacked_and_all_others_are_grey() -> None:
    series = Series(
        (0, 3_600),
        (
            Line("a", (Totals(requests=3), Totals(requests=1))),
            Line(None, (Totals(requests=1), Totals())),
        ),
    )
    chart = stacked(series, "requests", "hour", UTC, {"a": "Alpha"}, Series((0,), (Line("", (Totals(requests=4),)),)))
    low, high, last = chart.bars
    assert (low.colour, high.colour, last.colour) == (1, 9, 1)
    assert high.y + high.height == low.y
    assert abs(low.height - 3 * high.height) <= 3
    assert low.x < last.x
    assert [one.name for one in chart.legend] == ["Alpha", "other"]
    assert chart.data["lines"][0] == {"name": "Alpha", "values": [3.0, 1.0]}
    assert chart.data["previous"] == [4.0]
    assert not chart.is_empty


def test_a_chart_of_nothing_is_empty() -> None:
    assert stacked(Series((0,), ()), "cost", "hour", UTC, {}).is_empty


def test_the_top_is_a_round_number_above_all_values() -> None:
    assert [nice_top(value) for value in (0, 4, 5, 11, 100, 101, 950)] == [4, 4, 6, 12, 100, 120, 1_000]


def test_a_sparkline_needs_two_values_that_are_not_all_0() -> None:
    assert sparkline([0, 0]) == sparkline([5]) == ""
    assert sparkline([0, 10], 10, 12) == "0,11 10,1"
