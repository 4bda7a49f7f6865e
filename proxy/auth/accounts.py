"""Accounts: who pays for a request. A key belongs to a team, a team to an organisation; each may have limits.

Values only, budgets too: `keys` stores them, and the policies of limits and budgets act on them.
"""

from typing import Literal

import msgspec

from proxy.config.tree import Budget, Limits


class Account(msgspec.Struct, frozen=True, gc=False):
    """A key, a team or an organisation, with the limits and budgets that it has of its own."""

    kind: Literal["key", "team", "org"]
    id: str
    name: str
    limits: Limits | None = None
    budgets: tuple[Budget, ...] = ()
    #: Nano-dollars of prepaid credits that were ever granted and have not expired unspent; None where it needs none.
    credits: int | None = None
