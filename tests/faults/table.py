"""THE table of faults: all scenarios, by where the fault is."""

from collections.abc import Mapping
from typing import Final

from tests.faults import bodies, endings, events, heads, reaching, statuses
from tests.faults.scenario import Scenario

GROUPS: Final[Mapping[str, tuple[Scenario, ...]]] = {
    "before the answer": reaching.SCENARIOS,
    "statuses": statuses.SCENARIOS,
    "heads": heads.SCENARIOS,
    "endings": endings.SCENARIOS,
    "events": events.SCENARIOS,
    "JSON": bodies.SCENARIOS,
}
SCENARIOS: Final[Mapping[str, Scenario]] = {one.name: one for group in GROUPS.values() for one in group}
