"""JSON twins have exact money, and nothing of upstreams for the owner of a key."""

from proxy.ledger.board_values import RequestRow, Totals
from proxy.pages.dashboard.documents import flat, request_document, totals_document, utc_microseconds
from tests.ledger.samples import STARTED, final


def test_money_is_an_exact_decimal() -> None:
    totals = Totals(requests=2, cost=1_000_000_001, target_cost=5, margin=1_000_000_000 - 4)
    document = totals_document(totals, for_admin=True)
    assert (document.cost_usd, document.target_cost_usd, document.margin_usd) == (
        "1.000000001",
        "0.000000005",
        "0.999999996",
    )


def test_an_owner_gets_nothing_of_upstreams() -> None:
    row = RequestRow(1, final(1, target_cost=5))
    own = request_document(row, {}, for_admin=False)
    assert (own.upstream, own.upstream_model, own.target_cost_usd) == (None, None, None)
    assert request_document(row, {}, for_admin=True).upstream == "openai"
    totals = totals_document(Totals(requests=1, cost=9, target_cost=5, margin=4), for_admin=False)
    assert (totals.target_cost_usd, totals.margin_usd) == (None, None)


def test_times_have_their_milliseconds() -> None:
    assert utc_microseconds(STARTED + 1_500) == "2026-11-20T10:30:00.001Z"


def test_a_row_of_a_file_joins_the_names_of_what_is_nested() -> None:
    row = flat(totals_document(Totals(requests=1), for_admin=True))
    assert row["requests"] == 1
    assert row["ttft.p95"] is None
