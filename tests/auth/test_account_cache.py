"""The accounts of keys: shared by the keys of a team, replaced when either is changed, and refused when damaged."""

import pytest

from proxy.auth.account_cache import AccountCache, AccountRow
from proxy.auth.grants import Grant
from proxy.auth.values import Damaged

TEAM = ("team_1", "web", '{"requests":"1/s"}', None)
ORG = ("org_1", "acme", None, '[{"limit":"5"}]')
NONE = (None, None, None, None)


def row(own: tuple[object, ...] = NONE, team: tuple[object, ...] = NONE, org: tuple[object, ...] = NONE) -> AccountRow:
    return AccountRow(*own, "[]", *team, *org)  # type: ignore[arg-type, call-arg]


def test_a_key_without_any_has_no_account() -> None:
    assert AccountCache().accounts("key_1", "app", row()) == ()


def test_keys_of_a_team_share_its_accounts() -> None:
    cache = AccountCache()
    one = cache.accounts("key_1", "one", row(team=TEAM, org=ORG))
    two = cache.accounts("key_2", "two", row(('{"concurrent":1}', None, None, None), TEAM, ORG))
    three = cache.accounts("key_3", "three", row(team=("team_2", "net", None, None), org=ORG))
    assert one is cache.accounts("key_4", "four", row(team=TEAM, org=ORG))
    assert [account.name for account in two] == ["two", "web", "acme"]
    assert (two[1], two[2], three[1]) == (one[0], one[1], one[1])
    assert two[2] is one[1] is three[1]


def test_a_changed_team_and_a_changed_organisation_are_read_again() -> None:
    cache = AccountCache()
    before = cache.accounts("key_1", "app", row(team=TEAM, org=ORG))
    after = cache.accounts("key_1", "app", row(team=TEAM, org=(*ORG[:3], None)))
    assert (len(before[1].budgets), len(after[1].budgets)) == (1, 0)
    assert cache.accounts("key_1", "app", row(team=("team_1", "web", None, None)))[0].limits is None


def test_credits_alone_make_an_account() -> None:
    (account,) = AccountCache().accounts("key_1", "app", row((None, None, 0, 9)))
    assert (account.credits, account.credits_since, account.limits_something) == (0, 9, True)


@pytest.mark.parametrize(
    "damaged",
    [
        row(("{", None, None, None)),
        row(team=("team_1", None, None, None)),
        row(team=TEAM, org=("org_1", None, None, None)),
        row(team=("team_1", "web", "{", None)),
        row(team=TEAM, org=("org_1", "acme", None, "[")),
    ],
)
def test_a_damaged_account_is_no_account(damaged: AccountRow) -> None:
    with pytest.raises(Damaged):
        AccountCache().accounts("key_1", "app", damaged)


def test_teams_without_keys_are_forgotten() -> None:
    cache = AccountCache()
    before = cache.accounts("key_1", "app", row(team=TEAM, org=ORG))
    cache.retain({"team_2"})
    assert cache.accounts("key_1", "app", row(team=TEAM, org=ORG)) is not before


def test_credits_are_there_one_by_one() -> None:
    grants = '[{"amount":5,"created":7,"expires":9},{"amount":2,"created":8,"expires":null}]'
    own = AccountRow(None, None, 7, 7, grants, *NONE, *NONE)
    account = AccountCache().accounts("key_1", "app", own)[0]
    assert account.grants == (Grant(5, 7, 9), Grant(2, 8))
