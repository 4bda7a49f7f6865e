"""The accounts of teams and organisations in memory, one object each, shared by all of their keys.

It decodes rows of `keys.db` and reads no database.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from proxy.auth.accounts import Account
from proxy.auth.grants import Grant
from proxy.auth.values import Damaged, decoded_budgets, decoded_limits


class AccountRow(NamedTuple):
    """What the database has of a key's accounts: limits and budgets are JSON, empty ids are none."""

    limits: str | None
    budgets: str | None
    credits: int | None
    credits_since: int | None
    #: The same one by one, as a JSON list.
    grants: str
    team: str | None
    team_name: str | None
    team_limits: str | None
    team_budgets: str | None
    org: str | None
    org_name: str | None
    org_limits: str | None
    org_budgets: str | None


class AccountCache:
    """Builds the accounts of keys. Memory is one account for each team and organisation that has keys."""

    def __init__(self) -> None:
        #: By the id of the team: what was read, and the accounts of its keys that have none of their own.
        self._teams: dict[str, tuple[tuple[Any, ...], tuple[Account, ...]]] = {}
        #: By the id of the organisation: what was read, and its account.
        self._orgs: dict[str, tuple[tuple[Any, ...], Account]] = {}

    def accounts(self, key_id: str, key_name: str, row: AccountRow) -> tuple[Account, ...]:
        """The accounts of a key. Raises Damaged."""
        shared = self._shared(row)
        if row.limits is None and row.budgets is None and row.credits is None:
            return shared
        own = _account("key", key_id, key_name, row.limits, row.budgets)
        if row.credits is not None:
            grants = msgspec.json.decode(row.grants, type=tuple[Grant, ...])
            own = msgspec.structs.replace(own, credits=row.credits, credits_since=row.credits_since or 0, grants=grants)
        return (own, *shared)

    def retain(self, teams: set[str]) -> None:
        """Forget all teams but these, and the organisations without one of them."""
        self._teams = {id_: kept for id_, kept in self._teams.items() if id_ in teams}
        orgs = {account.id for _, accounts in self._teams.values() for account in accounts}
        self._orgs = {id_: kept for id_, kept in self._orgs.items() if id_ in orgs}

    def _shared(self, row: AccountRow) -> tuple[Account, ...]:
        if row.team is None:
            return ()
        known = self._teams.get(row.team)
        if known is not None and known[0] == row[5:]:
            return known[1]
        if row.team_name is None or (row.org is not None and row.org_name is None):
            raise Damaged("the team or its organisation is not there")
        accounts = (_account("team", row.team, row.team_name, row.team_limits, row.team_budgets), *self._org(row))
        self._teams[row.team] = row[5:], accounts
        return accounts

    def _org(self, row: AccountRow) -> tuple[Account, ...]:
        if row.org is None or row.org_name is None:
            return ()
        known = self._orgs.get(row.org)
        if known is None or known[0] != row[9:]:
            known = row[9:], _account("org", row.org, row.org_name, row.org_limits, row.org_budgets)
            self._orgs[row.org] = known
        return (known[1],)


def _account(
    kind: Literal["key", "team", "org"],
    id_: str,
    name: str,
    limits: str | None,
    budgets: str | None,
) -> Account:
    return Account(kind, id_, name, decoded_limits(limits), decoded_budgets(budgets))
