"""A gateway whose ledger has requests of two keys, for tests of the dashboard. Not a test itself.

Every figure of the second key has the digits 7777 in it, and all of its names the word "secret": the owner of the first
one must see neither.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from proxy.config.tree import Budget, Config, Limits
from proxy.ledger.record import UsageRecord
from tests.ledger.ingesting import ingest
from tests.ledger.samples import final, lines, request_id, segment
from tests.pages.serving import session_of
from tests.serving import ALIAS, RunningGateway, simple_config

#: Names that a page must escape, and a spreadsheet must not calculate.
HOSTILE = "=HYPERLINK(1)<img src=x onerror=alert(1)>"
DAY = 86_400
#: The alias that the second key alone may use.
OTHER_ALIAS = "secret-alias"


@dataclass(frozen=True)
class Dashboard:
    """A gateway, and the sessions of an admin and of the owner of the first key."""

    gateway: RunningGateway
    admin: str
    owner: str
    #: Ids of the owner's key and of the other one.
    key: str
    other: str

    #: The first request of each key, the newest one.
    request = request_id(1)
    of_other = request_id(101)


class Seed(NamedTuple):
    """The owner's key, as it is stored, and when its newest request was."""

    key: str
    secret: str
    now: float


def records(key: str, other: str, now: float, team: str = "") -> list[UsageRecord]:
    """Requests of the last three days; none of the other key where that is empty."""
    started = int(now * 1_000_000)
    own = [
        final(
            number,
            key=key,
            started=started - 60_000_000 - number * 3_600_000_000,
            alias=HOSTILE if number == 3 else "prometheus-core",
            status=502 if number == 2 else 200,
            outcome="upstream_error" if number == 2 else "complete",
            error_code="upstream_error" if number == 2 else None,
            cost=None if number == 4 else 1_000_000 * number,
            target_cost=500_000,
            upstream="hidden-upstream",
            upstream_model="hidden-model",
            session=HOSTILE if number == 1 else "",
        )
        for number in range(1, 61)
    ]
    others = [
        final(
            100 + number,
            key=other,
            started=started - 30_000_000 - number * 3_600_000_000,
            alias=OTHER_ALIAS,
            requested_model="secret-requested",
            endpoint="/v1/secret",
            upstream="secret-upstream",
            upstream_model="secret-model",
            status=418 if number == 2 else 200,
            outcome="upstream_error" if number == 2 else "complete",
            error_code="secret-code" if number == 2 else None,
            team=team,
            session="secret-session",
            user="secret-user",
            metadata='{"project":"secret-project"}',
            input_tokens=77_770_000,
            cost=7_777_000_000_000,
        )
        for number in range(1, 41 if other else 1)
    ]
    # Those of the owner have some of the other key in front of them, and some behind.
    return others[:20] + own + others[20:]


def seed(data_dir: Path) -> Seed:
    """Store the owner's key."""
    return Seed(*asyncio.run(_owner(data_dir)), time.time())


@contextmanager
def seeded(data_dir: Path, own: Seed | None = None, *, has_other: bool = True) -> Iterator[Dashboard]:
    """The gateway, running; without the other key and its requests, where it is not to have them."""
    own = own or seed(data_dir)
    other, team = asyncio.run(_other(data_dir)) if has_other else ("", "")
    (data_dir / "journal").mkdir(parents=True, exist_ok=True)
    segment(data_dir / "journal", lines(*records(own.key, other, own.now, team)), owner="dead00000001")
    ingest(data_dir)
    with RunningGateway(config_of(data_dir)) as gateway:
        yield Dashboard(gateway, session_of(gateway), session_of(gateway, own.secret), own.key, other)


def config_of(data_dir: Path) -> Config:
    """Two aliases: of all, and of the other key."""
    config = simple_config(data_dir, "http://127.0.0.1:9")
    return msgspec.structs.replace(config, models={**config.models, OTHER_ALIAS: config.models[ALIAS]})


async def _owner(data_dir: Path) -> tuple[str, str]:
    async with Store(data_dir) as store:
        await store.orgs.create(OrgFields(name="acme"), actor="test")
        budget = Budget(limit=Decimal(100))
        await store.teams.create(TeamFields(name="research", org="acme", budgets=[budget]), actor="test")
        key, secret = await store.keys.add(
            KeyFields(
                name="web-app",
                models=[ALIAS],
                team="research",
                tags=["prod"],
                limits=Limits(requests="600/min"),
                budgets=[Budget(limit=Decimal("5.00"))],
            ),
            actor="test",
        )
    return key.id, secret


async def _other(data_dir: Path) -> tuple[str, str]:
    async with Store(data_dir) as store:
        await store.orgs.create(OrgFields(name="secret-org"), actor="test")
        team = await store.teams.create(TeamFields(name="secret-team", org="secret-org"), actor="test")
        key, _ = await store.keys.add(
            KeyFields(
                name="secret-key",
                models=[OTHER_ALIAS],
                team="secret-team",
                tags=["secret-tag"],
                budgets=[Budget(limit=Decimal("7777.00"))],
            ),
            actor="test",
        )
        hostile, _ = await store.keys.add(KeyFields(name=HOSTILE), actor="test")
        await store.keys.revoke(hostile.id, actor="test")
    return key.id, team.id
