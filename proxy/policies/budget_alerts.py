"""What operators see of budgets: warnings in the log and by webhook, and metrics. It neither counts nor refuses."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from proxy.config.tree import Webhooks
from proxy.limits.budget import Pot, Spending
from proxy.limits.calendar import NEVER
from proxy.observability.access_format import dollars
from proxy.observability.webhooks import WebhookSender
from proxy.policies.base import GatewayState
from proxy.policies.budget_pots import NANO, Pots

_MICROSECONDS: Final = 1_000_000
_log: Final = logging.getLogger(__name__)


class BudgetAlerts:
    """Warnings and metrics of one worker. A warning that another worker has given does not get here."""

    def __init__(self, state: GatewayState, pots: Pots) -> None:
        self._pots = pots
        self._sender: WebhookSender | None = None
        metrics = state.metrics
        self._refusals = metrics.counter(
            "prometheus_gateway_budget_refusals_total", "Requests that a budget refused.", "budget"
        )
        self._warnings = metrics.counter(
            "prometheus_gateway_budget_warnings_total", "Warnings that a share of a budget is spent.", "budget"
        )
        for name, help_, read in (
            ("limit", "What a budget of the configuration may spend in its window.", _limit),
            ("spent", "What it has spent in its window.", _spent),
            ("reserved", "What running requests have reserved of it.", _reserved),
        ):
            metrics.gauge(
                f"prometheus_gateway_budget_{name}_dollars", help_, _Reading(pots, read), "budget", merge="max"
            )

    def reconfigure(self, settings: Webhooks | None) -> None:
        """Follow another configuration; events that are on their way go on by the old one."""
        if settings is None:
            self._sender = None
        elif self._sender is None or self._sender.settings != settings:
            self._sender = WebhookSender(settings)

    def refused(self, spending: Spending) -> None:
        """A budget has refused a request."""
        self._refusals.add(1, self._label(spending.pot))

    def warn(self, spending: Spending, percent: int, spent: int) -> None:
        """A share of a budget is spent."""
        pot, window = spending.pot, spending.window
        self._warnings.add(1, self._label(pot))
        whose = pot.owner
        _log.warning(
            "%s: %d %% spent: $%s of $%s (%s)",
            whose if whose.startswith("budget ") else f"budget of {whose}",
            percent,
            dollars(spent),
            dollars(spending.limit),
            window.id,
        )
        if self._sender is not None:
            self._sender.send(
                "budget.warning",
                {
                    "budget": whose,
                    "percent": percent,
                    "spent_usd": dollars(spent),
                    "limit_usd": dollars(spending.limit),
                    "window": window.id,
                    "starts_at": _iso(window.start),
                    "resets_at": None if window.end >= NEVER else _iso(window.end),
                },
            )

    def _label(self, pot: Pot) -> str:
        """The value of a metric's label: names of the configuration, and kinds of all others, so that it is bounded."""
        kind, _, rest = pot.owner.partition(" ")
        return rest if kind == "budget" else kind


class _Reading:
    """Reads one number of each budget of the configuration."""

    def __init__(self, pots: Pots, read: Callable[[Spending], int]) -> None:
        self._pots = pots
        self._read = read

    def __call__(self) -> Mapping[tuple[str, ...], float]:
        now = time.time_ns() // 1_000
        return {(name,): self._read(pot.spending(now)) / NANO for name, pot in self._pots.of_file.items()}


def _limit(spending: Spending) -> int:
    return spending.limit


def _spent(spending: Spending) -> int:
    return spending.counts()[0]


def _reserved(spending: Spending) -> int:
    return spending.counts()[1]


def _iso(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // _MICROSECONDS))
