"""The shape of a scenario: which requests, over how many connections, for how long. Values only."""

from dataclasses import dataclass, field, replace
from typing import Literal, Self

Unit = Literal["request", "stream", "chunk"]

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One table of the report. Its loads are run anew for each system in each round."""

    name: str
    #: What it shows, in one line.
    about: str
    #: The upstream's model name, which is its script.
    script: str
    #: What CPU time is divided by.
    unit: Unit
    path: str = CHAT
    stream: bool = True
    #: Content events in each response.
    events: int = 1
    interval_ms: float = 0.0
    body_bytes: int = 1024
    connections: int = 1
    #: Length of the measured phase in one round, in seconds.
    seconds: float = 1.0
    #: Requests per second in the open loop; 0: closed loop.
    rate: float = 0.0
    #: Requests that start at the same moment, in the open loop.
    burst: int = 1
    #: Requests on a connection before another one takes its place; 0: it stays.
    per_connection: int = 0
    #: Most requests in one round; 0: as many as fit.
    requests: int = 0
    warmup: int = 200
    warmup_script: str = ""
    #: Connections that take part in the warm-up; 0: all.
    warm_connections: int = 0
    #: Whether a request waits behind no other: only then is its time less the direct one what the system adds.
    isolated: bool = False
    #: Whether the system is started anew for each run.
    fresh: bool = False
    #: Whether the memory of open streams is what matters: it is read in the middle of the run.
    memory: bool = False
    #: Another load that runs at the same time, and is not measured.
    beside: "Scenario | None" = None
    #: Systems that it is for, where it is not for all that were asked for.
    systems: tuple[str, ...] = ()
    #: How many rounds of those asked for it gets: a long one needs fewer.
    rounds: float = 1.0
    #: How much of it `--quick` runs: seconds, or for streams on a schedule connections and rate, are multiplied by it.
    quick: float = 0.3

    @property
    def scripts(self) -> set[str]:
        """The models that it requests."""
        own = {self.script, self.warmup_script} - {""}
        return own | self.beside.scripts if self.beside is not None else own

    def shortened(self) -> Self:
        """The same in a fraction of the time, or for streams on a schedule, with a fraction of the streams."""
        if not self.rate or self.burst > 1:
            return replace(self, seconds=self.seconds * self.quick)
        return replace(
            self,
            connections=max(1, int(self.connections * self.quick)),
            rate=self.rate * self.quick,
            requests=int(self.requests * self.quick),
            warmup=max(1, int(self.warmup * self.quick)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """How long a command of the gateway takes from its start until it has said a thing, on a machine that knows it."""

    name: str
    about: str
    #: What is started, by its name: the arguments of the gateway's command, and the line that it prints when ready.
    commands: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    times: int = 7
    quick: int = 3
