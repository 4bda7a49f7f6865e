"""Accounts: who pays for a request. A key belongs to a team, a team to an organisation; each may have limits.

Values only, budgets too: `keys` stores them, and the policies of limits and budgets act on them.
"""

from typing import Literal

import msgspec

from proxy.auth.grants import Grant
from proxy.config.tree import Budget, Limits


class Account(msgspec.Struct, frozen=True, gc=False):
    """A key, a team or an organisation, with the limits and budgets that it has of its own."""

    kind: Literal["key", "team", "org"]
    id: str
    name: str
    limits: Limits | None = None
    budgets: tuple[Budget, ...] = ()
    #: Nano-dollars of all prepaid credits that a key was given; None where it needs none.
    credits: int | None = None
    #: When it was given the first ones, in seconds since 1970: what was spent from then on is spent of them.
    credits_since: int = 0
    #: The same one by one: some may expire.
    grants: tuple[Grant, ...] = ()

    @property
    def limits_something(self) -> bool:
        """Whether it has limits, budgets or credits: of a team or an organisation there may be an account without."""
        return self.limits is not None or bool(self.budgets) or self.credits is not None
