"""The shape of a scenario: what is asked for, by how many, for how long. Values only."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["request", "stream", "chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One line of the report. Its loads are run anew for each system in each round."""

    name: str
    #: What it shows, in one line.
    about: str
    #: The upstream's model name, which is its script.
    script: str
    #: What CPU time is divided by.
    unit: Unit
    stream: bool = True
    #: Content events in each answer.
    events: int = 1
    interval_ms: float = 0.0
    body_bytes: int = 1024
    connections: int = 1
    #: Length of the measured phase in one round, in seconds.
    seconds: float = 1.0
    #: Requests per second in the open loop; 0: closed loop.
    rate: float = 0.0
    #: Most requests in one round; 0: as many as fit.
    requests: int = 0
    warmup: int = 200
    warmup_script: str = ""
    #: Whether a request waits behind no other: only then is its time less the direct one what the system adds.
    isolated: bool = False
    #: How much of it `--quick` runs: seconds, or for paced streams connections and rate, are multiplied by it.
    quick: float = 0.3

    @property
    def scripts(self) -> tuple[str, ...]:
        return (self.script, self.warmup_script) if self.warmup_script else (self.script,)
