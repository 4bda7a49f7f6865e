"""A request to a resource endpoint: its context, and what only requests for resources have."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.exchange.context import RequestContext
from proxy.ledger.record import AttemptRecord, OwnershipRecord, UsageRecord
from proxy.resources.spec import ResourceRow
from proxy.server.cycle import RequestCycle
from proxy.upstream.target import Target
from proxy.wire.headers import Header
from proxy.wire.schemas import Body, Usage


class ResourceRequest:
    """One request to a resource endpoint, and what has been found out about it so far."""

    def __init__(self, context: RequestContext, row: ResourceRow, ids: dict[str, str], client: RequestCycle) -> None:
        """`ids` are those in the path, by their names."""
        self.context = context
        self.row = row
        self.ids = ids
        self.client = client
        #: The records of the resources that the path names, by the names of their ids; the request is about the last.
        self.records: dict[str, OwnershipRecord] = {}
        #: The alias that the request, or the resource it names, was made with, and its model at the upstream.
        self.alias = ""
        self.model = ""
        #: The upstream that has, or will have, the resource.
        self.target: Target | None = None
        #: It uploads the input file of a batch.
        self.uploads_batch = False
        self.calls = UpstreamCalls()
        self.usage: Usage | None = None
        #: The bill, once it is written.
        self.final: UsageRecord | None = None

    @property
    def headers(self) -> list[Header]:
        headers: list[Header] = self.client.head.headers
        return headers

    @property
    def query(self) -> bytes:
        """The raw query string."""
        query: bytes = self.client.head.query
        return query

    @property
    def key(self) -> str:
        """The id of its key."""
        return self.context.key.id

    @property
    def record(self) -> OwnershipRecord | None:
        """The record of the resource that the request is about."""
        return next(reversed(self.records.values()), None)

    @property
    def upstream(self) -> str:
        """The name of the upstream; "" before it is known."""
        return self.target.pool.name if self.target is not None else ""

    @property
    def streams(self) -> bool:
        """Whether the response is a stream of events, or was asked for as one."""
        return self.context.body.stream

    @streams.setter
    def streams(self, streams: bool) -> None:
        self.context.body = Body({}, self.alias, streams, wants_usage=True)

    def opened(self) -> AttemptRecord:
        """The journal's record of a call to the upstream that is about to be made."""
        self.calls.attempts += 1
        context = self.context
        return AttemptRecord(
            id=context.id,
            started=context.started,
            key=self.key,
            alias=self.alias,
            endpoint=self.row.path,
            upstream=self.upstream,
            upstream_model=self.model,
            stream=self.streams,
            attempt=self.calls.attempts,
        )


class UpstreamCalls:
    """The calls to the upstream that a request has made, and the time that they took."""

    def __init__(self) -> None:
        self.attempts = 0
        #: Seconds spent waiting for the upstream.
        self.waited = 0.0
        #: Monotonic time at which the response's first byte was sent; 0 before.
        self.first_write = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a wait for the upstream."""
        before = time.monotonic()
        yield
        self.waited += time.monotonic() - before
