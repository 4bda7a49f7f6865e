"""What the load generator sends, and when: one checked value, and the bytes of its request. Pure."""

from dataclasses import dataclass

import msgspec

MOST_REQUESTS = 1_000_000
MOST_GAPS = 5_000_000
MOST_CONNECTIONS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent, and when. `seconds` and `requests` both bound the measured phase; open loop where `rate` is set."""

    port: int
    model: str
    path: str = "/v1/chat/completions"
    key: str = "none"
    stream: bool = False
    #: Content events that each response must bring; fewer count as lost.
    events: int = 1
    #: Milliseconds between two events of a paced stream; 0: not paced.
    interval_ms: float = 0.0
    #: Size of the request body, at least.
    body_bytes: int = 1024
    connections: int = 1
    seconds: float = 2.0
    requests: int = MOST_REQUESTS
    #: Requests per second; 0: closed loop.
    rate: float = 0.0
    #: Requests that start at the same moment; the rate counts requests all the same.
    burst: int = 1
    #: Requests on each connection before it is closed and another one opened; 0: never.
    per_connection: int = 0
    #: Requests of the warm-up: at least one for each connection that takes part in it, all at the same time.
    warmup: int = 100
    #: Connections that take part in the warm-up; 0: all. The others are open, but have carried nothing.
    warm_connections: int = 0
    #: The model of the warm-up; as `model` when not given.
    warmup_model: str = ""
    #: Seconds after the last start in which responses may still end.
    grace: float = 20.0

    def check(self) -> None:
        """Raise ValueError where a bound is passed."""
        if not 1 <= self.connections <= MOST_CONNECTIONS:
            raise ValueError(f"connections must be from 1 to {MOST_CONNECTIONS}")
        if not 1 <= self.requests <= MOST_REQUESTS:
            raise ValueError(f"requests must be from 1 to {MOST_REQUESTS}")
        if self.rate and self.rate * self.seconds > MOST_REQUESTS:
            raise ValueError(f"rate x seconds must not pass {MOST_REQUESTS}")
        if self.burst != 1 and (not self.rate or not 1 <= self.burst <= self.connections):
            raise ValueError("a burst belongs to the open loop, and each of its requests needs a connection")
        if self.per_connection and self.rate:
            raise ValueError("connections are closed after some requests in the closed loop only")
        if self.interval_ms and not self.rate:
            raise ValueError("paced streams belong to the open loop: give a rate")
        if self.interval_ms and self.starts * self.events > MOST_GAPS:
            raise ValueError(f"requests x events of paced streams must not pass {MOST_GAPS}: lower seconds or rate")

    @property
    def starts(self) -> int:
        """How many requests the open loop starts."""
        return max(1, min(self.requests, round(self.rate * self.seconds)))

    def offset(self, number: int) -> int:
        """When the open loop means to start a request, in nanoseconds after the first one; `number` counts from 0."""
        return int((number - number % self.burst) * 1_000_000_000 / self.rate)

    def request(self, model: str) -> bytes:
        """The whole request: head and body."""
        question = "Say something about gateways. "
        fields: dict[str, object] = {"model": model}
        if self.path.endswith("/embeddings"):
            fields["input"] = ""
        else:
            fields |= {"stream": self.stream, "messages": [{"role": "user", "content": ""}]}
        missing = max(self.body_bytes - len(msgspec.json.encode(fields)), len(question))
        text = (question * (missing // len(question) + 1))[:missing]
        if "input" in fields:
            fields["input"] = text
        else:
            fields["messages"] = [{"role": "user", "content": text}]
        body = msgspec.json.encode(fields)
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nuser-agent: benchmark\r\n"
            f"accept: {'text/event-stream' if self.stream else 'application/json'}\r\n"
            f"authorization: Bearer {self.key}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
