"""A plausible month of made-up requests: sample data, for the dashboard of a demo to have something to display.

Each row says so: its key's id begins with `sample-`, and its upstream is `sample`. The rows go the way of all others,
as a journal that is ingested, so their sums are right. They never get into a ledger that a configuration file names.
"""

import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from proxy.config.tree import Model
from proxy.ledger import sqlite
from proxy.ledger.ledger import prepare
from proxy.ledger.pricing import CompiledPrice, compile_price, cost_of
from proxy.ledger.record import UsageRecord
from proxy.ledger.rollups import DAY, HOUR

#: How the id of a key of sample data begins, and the upstream of its rows.
PREFIX: Final = "sample-"
UPSTREAM: Final = "sample"
DAYS: Final = 30
#: Rows on an average day.
_ROWS_PER_DAY: Final = 200
_SEGMENT: Final = "sample-00000001.journal"
#: Names of keys and their teams.
_KEYS: Final = (
    ("website", "web"),
    ("mobile-app", "web"),
    ("batch", "research"),
    ("notebooks", "research"),
    ("support", "support"),
)
_ENDPOINTS: Final[Mapping[str, str]] = {
    "chat": "/v1/chat/completions",
    "vision": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
    "image": "/v1/images/generations",
    "speech": "/v1/audio/speech",
    "audio": "/v1/audio/transcriptions",
    "rerank": "/v1/rerank",
    "moderation": "/v1/moderations",
}
_TEXT: Final = frozenset({"chat", "vision"})


def add_sample(data_dir: Path, models: Mapping[str, Model], now: int, seed: int = 1) -> None:
    """Write the sample of the month before `now`, in seconds since 1970, for the next start to store.

    A directory that has it already gets no row twice. Raises StoreFailed.
    """
    prepare(data_dir)
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in _records(models, now, seed))
    path = data_dir / "journal" / _SEGMENT
    with sqlite.mapped(path):
        draft = path.with_suffix(".draft")
        draft.write_bytes(lines)
        draft.chmod(0o600)
        draft.rename(path)


def _records(models: Mapping[str, Model], now: int, seed: int) -> Iterator[UsageRecord]:
    draw = random.Random(seed)
    known = [(name, model) for name, model in models.items() if model.capability in _ENDPOINTS]
    prices = {name: compile_price(model.price, model.capability) if model.price else None for name, model in known}
    number = 0
    for hour in range(DAYS * 24):
        start = now - (DAYS * 24 - hour) * HOUR
        for _ in range(_count(draw, start)):
            number += 1
            name, model = draw.choices(known, [8 if model.capability in _TEXT else 1 for _, model in known])[0]
            moment = start * 1_000_000 + draw.randrange(HOUR * 1_000_000)
            yield _record(draw, f"req_{seed:08x}{number:024x}", moment, name, model, prices[name])


def _count(draw: random.Random, start: int) -> int:
    """The rows of an hour: many by day, few at night and at weekends."""
    by_day = 1 + math.sin((start % DAY / DAY - 0.29) * 2 * math.pi)
    # 1 January 1970 was a Thursday.
    weekend = 0.35 if (start // DAY + 3) % 7 >= 5 else 1.2
    mean = _ROWS_PER_DAY / 24 * by_day * weekend
    return int(mean) + (draw.random() < mean % 1)


def _record(
    draw: random.Random, id_: str, started: int, alias: str, model: Model, price: CompiledPrice | None
) -> UsageRecord:
    key, team = draw.choices(_KEYS, (8, 5, 3, 2, 2))[0]
    is_text = model.capability in _TEXT
    failed = draw.random() < 0.015
    limited = not failed and draw.random() < 0.01
    worked = not (failed or limited)
    given = int(draw.lognormvariate(6.3, 0.9)) if worked and model.capability != "audio" else 0
    made = int(draw.lognormvariate(5.2, 0.8)) if worked and is_text else 0
    cached = given // 2 if is_text and draw.random() < 0.3 else 0
    images = 1 if worked and model.capability == "image" else 0
    audio = draw.randrange(5_000, 240_000) if worked and model.capability == "audio" else 0
    ttft = int(draw.lognormvariate(12.6, 0.45))
    total = ttft + made * draw.randrange(8_000, 16_000)
    return UsageRecord(
        id=id_,
        started=started,
        key=PREFIX + key,
        alias=alias,
        endpoint=_ENDPOINTS[model.capability],
        upstream="" if limited else UPSTREAM,
        upstream_model="" if limited else alias,
        stream=is_text and draw.random() < 0.8,
        status=429 if limited else 502 if failed else 200,
        outcome="refused" if limited else "upstream_error" if failed else "complete",
        attempts=0 if limited else 1,
        input_tokens=given,
        cached_input_tokens=cached,
        output_tokens=made,
        reasoning_tokens=made // 3 if made and draw.random() < 0.2 else 0,
        audio_milliseconds=audio,
        images=images,
        usage_source="reported" if worked else "none",
        cost=cost_of(price, given, cached, 0, made, audio, images) if worked else 0,
        ttft=ttft if worked else None,
        total=total if worked else 40_000,
        overhead=draw.randrange(120, 900),
        bytes_out=made * 40,
        error_code="rate_limited" if limited else "upstream_error" if failed else None,
        team=PREFIX + team,
    )
