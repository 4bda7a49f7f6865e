"""What a key, a team or an organisation may be given, and what of the database is damaged."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from proxy.auth.values import (
    MAX_DEPTH,
    MAX_EXPIRES,
    Damaged,
    decoded_budgets,
    decoded_limits,
    encoded,
    encoded_budgets,
    is_deeper,
    plain_limits,
    valid_budgets,
    valid_expiry,
    valid_limits,
    valid_metadata,
    valid_nano,
    valid_tags,
)
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest

LIMITS = Limits(requests="10/s, 600/min", tokens="15/h burst 5", concurrent=3, models={"core": Limits(tokens="5/d")})
BUDGETS = (Budget(limit=Decimal("0.000000001"), window="month:31", zone="Europe/Berlin", warn=[90, 10]),)


def test_values_come_back_as_they_were_stored() -> None:
    assert decoded_limits(encoded(plain_limits(valid_limits(LIMITS)))) == LIMITS
    read = decoded_budgets(encoded_budgets(valid_budgets(BUDGETS)))
    assert (read[0].limit, read[0].warn, read[0].zone) == (BUDGETS[0].limit, [10, 90], "Europe/Berlin")
    assert (decoded_limits(None), decoded_budgets(None)) == (None, ())


def test_limits_of_nothing_are_none() -> None:
    assert valid_limits(Limits(models={"core": Limits()})) is None


@pytest.mark.parametrize(
    "limits",
    [
        Limits(requests="600"),
        Limits(tokens="0/min"),
        Limits(requests="-1/min"),
        Limits(requests="1/month"),
        Limits(requests="1/s,,2/s"),
        Limits(requests="1/s, 2/second"),
        Limits(requests="10/s burst 0"),
        Limits(models={"core": Limits(models={"other": Limits()})}),
        Limits(models={"": Limits(requests="1/s")}),
    ],
)
def test_what_is_no_limit_is_refused(limits: Limits) -> None:
    with pytest.raises(InvalidRequest) as caught:
        valid_limits(limits)
    assert str(caught.value.param).startswith("limits")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"limit": Decimal("-1")}, "budgets.0.limit"),
        ({"limit": Decimal("NaN")}, "budgets.0.limit"),
        ({"limit": Decimal("1e-10")}, "budgets.0.limit"),
        ({"limit": Decimal("1000000001")}, "budgets.0.limit"),
        ({"window": "month:32"}, "budgets.0.window"),
        ({"zone": "Mars/Olympus"}, "budgets.0.zone"),
        ({"zone": "../../etc/passwd"}, "budgets.0.zone"),
        ({"models": [" "]}, "budgets.0.models"),
        ({"teams": ["web"]}, "budgets.0"),
    ],
)
def test_what_is_no_budget_is_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        valid_budgets([Budget(**{"limit": Decimal(1), **changes})])
    assert caught.value.param == param


def test_two_budgets_that_count_the_same_are_refused() -> None:
    valid_budgets([Budget(limit=Decimal(1)), Budget(limit=Decimal(1), models=["core"])])
    with pytest.raises(InvalidRequest):
        valid_budgets([Budget(limit=Decimal(1)), Budget(limit=Decimal(2))])


def test_tags_and_metadata_are_bounded() -> None:
    assert valid_tags(["b", "a", "b"]) == ("a", "b")
    for tags in (["a,b"], [""], ["x" * 65], [" a"], [str(number) for number in range(33)]):
        with pytest.raises(InvalidRequest):
            valid_tags(tags)
    with pytest.raises(InvalidRequest):
        valid_metadata({"a": "x" * 8_192})


def test_money_is_exact() -> None:
    assert valid_nano(Decimal("0.1"), "limit") == 100_000_000
    assert valid_nano(Decimal("-1000000000"), "amount") == -(10**18)


@pytest.mark.parametrize("text", ["", "[]", '{"requests": 5}', '{"requests": "5"}', '{"other": "5/s"}'])
def test_damaged_limits_are_found(text: str) -> None:
    with pytest.raises(Damaged):
        decoded_limits(text)


@pytest.mark.parametrize("text", ["{}", "[{}]", '[{"limit": "x"}]', '[{"limit": "1", "window": "x"}]'])
def test_damaged_budgets_are_found(text: str) -> None:
    with pytest.raises(Damaged):
        decoded_budgets(text)


def test_documents_are_bounded_in_depth() -> None:
    deep: dict[str, Any] = {}
    assert is_deeper([[1]], 1)
    assert not is_deeper([[1]], 2)
    for _ in range(MAX_DEPTH + 1):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest):
        valid_metadata(deep)


@pytest.mark.parametrize("text", ["0e-999999999", "0.0000000000", "1e-10", "1e-999999999"])
def test_money_has_nine_decimals_at_most_and_zeros_are_some(text: str) -> None:
    with pytest.raises(InvalidRequest):
        valid_nano(Decimal(text), "limit")


def test_an_expiry_that_no_date_can_show_is_refused() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert valid_expiry(last, 0) == MAX_EXPIRES
    with pytest.raises(InvalidRequest):
        valid_expiry(last.replace(tzinfo=timezone(-timedelta(hours=1))), 0)
