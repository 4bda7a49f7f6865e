"""Account: a value that needs nothing but whose it is."""

from proxy.auth.accounts import Account


def test_an_account_has_no_limits_by_default() -> None:
    account = Account("team", "team_1", "web")
    assert (account.limits, account.budgets, account.credits) == (None, (), None)
