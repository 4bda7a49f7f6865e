"""Policies: what may refuse, answer, delay or follow a request. One file each, and one line in the tuple below."""

from typing import Final

from proxy.policies.access import AccessPolicy
from proxy.policies.access_line import AccessLinePolicy
from proxy.policies.base import Policy
from proxy.policies.budgets import BudgetPolicy
from proxy.policies.hedge import HedgePolicy
from proxy.policies.limits import RequestLimitPolicy, TokenLimitPolicy
from proxy.policies.metrics import MetricsPolicy
from proxy.policies.overload import OverloadPolicy
from proxy.policies.ownership import OwnershipPolicy
from proxy.policies.queue import QueuePolicy
from proxy.policies.routing import RoutingPolicy

#: Every policy, in the order in which they run; those that need no request body run first.
POLICIES: Final[tuple[type[Policy], ...]] = (
    OverloadPolicy,
    RequestLimitPolicy,
    AccessPolicy,
    OwnershipPolicy,
    TokenLimitPolicy,
    BudgetPolicy,
    RoutingPolicy,
    QueuePolicy,
    HedgePolicy,
    MetricsPolicy,
    AccessLinePolicy,
)
