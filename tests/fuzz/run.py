"""The fuzzer's run: some clients at once, a case after the other for each, and at the end the ledger beside them."""

import asyncio
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from proxy.ledger.record import UsageRecord
from tests.fuzz.answers import Answer, answer
from tests.fuzz.client import Client, Response
from tests.fuzz.requests import request
from tests.fuzz.upstream import Upstream
from tests.load.processes import Process
from tests.load.store import make_key, read_rows

UPSTREAM_SECRET = "sk-upstream-secret-1234567890"
CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"
total_timeout = 8
body_idle_timeout = 4
head_timeout = 4
"""
UPSTREAM = """
[upstreams.{name}]
kind = "{kind}"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "{secret}"
warm_connections = 0
first_byte_timeout = 2
idle_timeout = 2
consecutive_5xx = 0
consecutive_gateway_failures = 0
"""
MODEL = """
[models.{alias}]
capability = "{capability}"
targets = ["{upstream}/vendor"]
price = {{ {price} }}
"""
_TOKENS = 'input = "600", output = "600"'
#: Capability, kind of upstream and price of each format.
SERVED = {
    **dict.fromkeys(("chat", "completions", "responses"), ("chat", "compatible", _TOKENS)),
    "messages": ("chat", "anthropic", _TOKENS),
    "gemini": ("chat", "gemini", _TOKENS),
    "embeddings": ("embeddings", "compatible", 'input = "600"'),
    "images": ("image", "compatible", 'image = "1"'),
    "audio": ("audio", "compatible", 'minute = "1"'),
    "speech": ("speech", "compatible", _TOKENS),
}
#: What an upstream marks each of its answers with.
_MARK = re.compile(rb"mk-(\d+-\d+)-([0-9a-f]{8})-")
#: What no line of the gateway's log may hold.
_LOG_FAULTS = ("Traceback", "CRITICAL", "never retrieved", "Task was destroyed")


@dataclass
class Findings:
    """What a run found."""

    cases: int = 0
    #: Requests that must have a row, by the gateway's id: the number of the key that asked.
    due: dict[str, int] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def alias_of(kind: str, number: int) -> str:
    """The alias for a format, of the client with that number."""
    return f"{kind}-{number}"


def mark_of(number: int, case: int) -> str:
    """What every answer of a case is marked with; it tells whether it was changed on its way."""
    name = f"{number}-{case}"
    return f"mk-{name}-{zlib.crc32(name.encode()):08x}-"


def config_of(data_dir: Path, ports: Sequence[int]) -> str:
    """A configuration in which each client has upstreams of its own."""
    text = CONFIG.format(data_dir=data_dir)
    for number, port in enumerate(ports):
        for kind in ("compatible", "anthropic", "gemini"):
            text += UPSTREAM.format(name=f"{kind}{number}", kind=kind, port=port, secret=UPSTREAM_SECRET)
        for served, (capability, kind, price) in SERVED.items():
            alias = alias_of(served, number)
            text += MODEL.format(alias=alias, capability=capability, upstream=f"{kind}{number}", price=price)
    return text


def run(folder: Path, *, seconds: float, seed: int, clients: int, only: tuple[int, int] | None = None) -> Findings:
    """Fuzz for so many seconds; `only` is the one case of one client to run."""
    data_dir = folder / "data"
    secrets = [make_key(data_dir, name) for name in ("alice", "bob")]
    findings = Findings()
    asyncio.run(_run(folder, data_dir, secrets, findings, seconds, seed, clients, only))
    rows = read_rows(data_dir)
    judge_rows(rows, findings)
    damaged = list((data_dir / "journal").glob("damaged/*"))
    if damaged:
        findings.failures.append(f"the ledger refused records of its own: {[path.name for path in damaged]}")
    return findings


async def _run(
    folder: Path,
    data_dir: Path,
    secrets: Sequence[str],
    findings: Findings,
    seconds: float,
    seed: int,
    clients: int,
    only: tuple[int, int] | None,
) -> None:
    config = folder / "fuzz.toml"
    async with AsyncExitStack() as stack:
        upstreams = [
            await stack.enter_async_context(Upstream(b"prom_sk_", findings.failures.append)) for _ in range(clients)
        ]
        config.write_text(config_of(data_dir, [upstream.port for upstream in upstreams]))
        gateway = Process(folder, "proxy", ["serve", "--config", str(config), "--port", "0"])
        with gateway:
            end = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                for number, upstream in enumerate(upstreams):
                    if only is None or only[0] == number:
                        key = number % len(secrets)
                        client = Client(gateway.port)
                        first, last = (only[1], only[1] + 1) if only is not None else (0, 1 << 30)
                        group.create_task(
                            _client(
                                client, upstream, number, key, secrets[key], findings, seed, range(first, last), end
                            )
                        )
            status = await asyncio.to_thread(gateway.end)
            if status:
                findings.failures.append(f"the gateway ended with status {status}")
        judge_log(gateway.said(), findings)


async def _client(
    client: Client,
    upstream: Upstream,
    number: int,
    key: int,
    secret: str,
    findings: Findings,
    seed: int,
    cases: range,
    end: float,
) -> None:
    for case in cases:
        if time.monotonic() > end:
            break
        chance = random.Random(f"{seed}-{number}-{case}")
        mark = mark_of(number, case)
        kind_of = chance.getstate()
        kind = request(chance, "x", secret).kind
        chance.setstate(kind_of)
        asked = request(chance, alias_of(kind, number), secret)
        # What came too late or too much of the answer before, on the connection of the same key, may be taken for this.
        quiet = upstream.answer.good
        upstream.answer = answer(chance, asked.kind, asked.stream, mark)
        upstream.chance = chance
        name = f"case {number}:{case} of seed {seed}, {asked.kind}"
        try:
            response = await client.ask(asked, chance)
        except TimeoutError:
            findings.failures.append(f"{name}: hung")
            client.close()
            continue
        findings.cases += 1
        findings.statuses[response.status] += 1
        for fault in faults_of(upstream.answer, response, mark.encode(), secret.encode()):
            findings.failures.append(f"{name}: {fault}")
        expected = upstream.answer.status
        if quiet and asked.good and upstream.answer.good and not response.left and response.status != expected:
            findings.failures.append(f"{name}: {response.status} for a good answer: {bytes(response.body[:300])!r}")
        # Heads that the server refuses before it knows who asks have no id of a row; only paths of rows are asked.
        if response.request_id and response.status not in (401, 404, 405, 408):
            findings.due[response.request_id] = key
    client.close()


def faults_of(answered: Answer, response: Response, mark: bytes, secret: bytes) -> list[str]:
    """What is wrong with an answer, whatever the upstream said."""
    found = []
    body = bytes(response.body)
    if response.broken:
        found.append(f"no client can read it: {response.broken}")
    if not response.left and not response.status:
        found.append("the connection ended without an answer")
    if b"internal_error" in body or (response.status == 500 and answered.status != 500):
        found.append(f"an error of the gateway's own: {body[:300]!r}")
    for other in _MARK.finditer(body):
        # One whose sum is wrong was broken on purpose.
        if other[0] != mark and b"%08x" % zlib.crc32(other[1]) == other[2]:
            found.append(f"bytes of another answer: {other[0]!r}")
    if secret in body or (UPSTREAM_SECRET.encode() in body and response.status >= 400):
        found.append(f"a credential in the answer: {body[:300]!r}")
    if any(secret in value or UPSTREAM_SECRET.encode() in value for value in response.headers.values()):
        found.append("a credential in the head")
    return found


def judge_rows(rows: Sequence[UsageRecord], findings: Findings) -> None:
    """Hold the rows against what was asked."""
    by_id = Counter(row.id for row in rows)
    keys = sorted({row.key for row in rows})
    owner: dict[int, str] = {}
    if len(by_id) != len(rows):
        findings.failures.append(f"{len(rows) - len(by_id)} rows stand there twice")
    found = {row.id: row for row in rows}
    for id_, key in findings.due.items():
        row = found.get(id_)
        if row is None:
            findings.failures.append(f"{id_} has no row")
        elif owner.setdefault(key, row.key) != row.key:
            findings.failures.append(f"{id_} is on the bill of another key")
    if len(keys) > 2:
        findings.failures.append(f"there are rows of {len(keys)} keys")
    if len(rows) > findings.cases + 100:
        findings.failures.append(f"{len(rows)} rows for {findings.cases} requests")
    for row in rows:
        tokens = row.input_tokens or row.output_tokens
        if row.usage_source == "reported" and row.text_out and not tokens and row.endpoint.endswith("completions"):
            findings.failures.append(f"{row.id}: text was answered, and nothing is reported as the bill")


def judge_log(text: str, findings: Findings) -> None:
    """Hold the gateway's log against what may stand there."""
    for line in text.splitlines():
        if any(fault in line for fault in _LOG_FAULTS):
            findings.failures.append(f"in the log: {line[:200]}")
        if UPSTREAM_SECRET in line:
            findings.failures.append("a credential in the log")
        if not line.isprintable():
            findings.failures.append(f"a line of the log holds control characters: {line[:200]!r}")
