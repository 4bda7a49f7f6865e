"""Records and records' helpers for the ledger's tests. Not a test itself."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from proxy.ledger.ingest import JournalIngester
from proxy.ledger.record import AttemptRecord, UsageRecord

#: 2026-11-20 10:30 UTC, in microseconds.
STARTED = 1_795_170_600_000_000


def request_id(number: int) -> str:
    """A valid request id of a number."""
    return f"req_{number:032x}"


def opened(number: int, **changes: Any) -> AttemptRecord:
    """The record of an upstream call."""
    record = AttemptRecord(
        id=request_id(number),
        started=STARTED + number,
        key="key_aaaaaaaaaaaa",
        alias="prometheus-core",
        endpoint="/v1/chat/completions",
        upstream="openai",
        upstream_model="gpt-5",
        stream=True,
    )
    return msgspec.structs.replace(record, **changes)


def final(number: int, **changes: Any) -> UsageRecord:
    """The record of a settled request."""
    record = UsageRecord(
        id=request_id(number),
        started=STARTED + number,
        key="key_aaaaaaaaaaaa",
        alias="prometheus-core",
        endpoint="/v1/chat/completions",
        upstream="openai",
        upstream_model="gpt-5",
        stream=True,
        status=200,
        outcome="complete",
        attempts=1,
        input_tokens=100,
        output_tokens=50,
        usage_source="reported",
        cost=330_000,
        ttft=200_000,
        total=900_000,
        overhead=300,
        bytes_out=4_000,
        text_in=400,
        text_out=200,
    )
    return msgspec.structs.replace(record, **changes)


def lines(*records: AttemptRecord | UsageRecord) -> bytes:
    """What a segment with these records holds."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def segment(directory: Path, content: bytes, owner: str = "dead", number: int = 1) -> Path:
    """Leave a segment behind, as a process that has ended does."""
    path = directory / f"{owner}-{number:08d}.journal"
    path.write_bytes(content)
    return path


def digest(path: Path) -> str:
    """What a file holds, in short."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def drain(writer: JournalIngester) -> None:
    """Take in all there is."""
    while await writer.tick():
        pass
