"""Runs scenarios through one gateway and says of each what is not as it must be.

All cases of a run are asked at the same time, a few dozen at once; each has upstreams of its own in the configuration,
so that one that fails is never judged by what another did. The ledger's rows are compared when all have ended.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.app import Gateway
from proxy.config.tree import Config, Model, Server, Upstream
from proxy.ledger.record import UsageRecord as Row
from tests.fakes import Body, Head, RawClient
from tests.faults.reading import Read, read
from tests.faults.scenario import End, Scenario
from tests.faults.secrets import (
    CLIENT_HEADERS,
    CREDENTIALS,
    PROMPT,
    SECRETS,
    UPSTREAM_HEADERS,
    UPSTREAM_KEY,
    UPSTREAM_QUERY,
)
from tests.faults.upstream import PREFIX, WELL
from tests.faults.wires import INPUT_TOKENS, OUTPUT_TOKENS, TEXT, WIRES, Wire
from tests.serving import PRICE, RunningGateway

#: Seconds: the deadlines of the gateway under test.
CONNECT, FIRST_BYTE, IDLE = 0.6, 0.8, 0.8
_TELLING: Final = (b"vndr", b"127.0.0.1")


@dataclass(frozen=True)
class Case:
    """One scenario in one format and mode, with or without a second target."""

    number: int
    scenario: Scenario
    wire: Wire
    stream: bool
    backed: bool

    def __str__(self) -> str:
        mode = "stream" if self.stream else "json"
        return f"{self.scenario.name} {self.wire.name} {mode} {'backed' if self.backed else 'alone'}"

    @property
    def end(self) -> End:
        return self.scenario.end(stream=self.stream, backed=self.backed)


@dataclass
class Result:
    """What became of a case."""

    case: Case
    head: Head
    body: Body
    seconds: float
    #: RetryPlan as the upstream counted them.
    attempts: int
    #: The answer to a good question through the same upstream, right afterwards.
    after: bytes
    problems: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.head.header("x-request-id") or ""


def all_cases(scenarios: Mapping[str, Scenario]) -> list[Case]:
    """Every scenario in each of its formats and modes, without a second target and with one."""
    found = [
        (scenario, WIRES[wire], stream, backed)
        for scenario in scenarios.values()
        for wire in scenario.wires
        for stream in scenario.modes
        for backed in (False, True)
    ]
    return [Case(number, *one) for number, one in enumerate(found)]


def sample(scenarios: Mapping[str, Scenario]) -> list[Case]:
    """Every quick scenario once: the formats, the modes and the second target take turns."""
    found = []
    for number, scenario in enumerate(one for one in scenarios.values() if not one.slow):
        wire = WIRES[scenario.wires[number % len(scenario.wires)]]
        stream = scenario.modes[number // 2 % len(scenario.modes)]
        found.append(Case(number, scenario, wire, stream, number % 3 == 0))
    return found


@dataclass(frozen=True)
class FaultyUpstream:
    """The process with the faults."""

    ports: Mapping[str, int]
    authority: str

    def base_url(self, place: str) -> str:
        """Where a place listens."""
        if place == "no-such-host":
            return "http://vndr-host.invalid:9/v1"
        return f"{'https' if place.startswith('tls') else 'http'}://127.0.0.1:{self.ports[place]}/v1"

    def tell(self, nonce: str) -> None:
        """The client of a question has the beginning of its answer."""
        self._ask(f"/told/{nonce}", "told")

    def attempts(self, nonce: str) -> int:
        """How often a question came."""
        return self._ask(f"/attempts/{nonce}", "attempts")

    def requests_with(self, text: str) -> int:
        """In how many requests a text stood, head or body."""
        return self._ask(f"/requests-with/{text}", "requests")

    def _ask(self, path: str, what: str) -> int:
        with RawClient("127.0.0.1", self.ports["plain"]) as client:
            client.request("GET", path)
            return int(json.loads(client.read_answer()[1].payload)[what])


@contextmanager
def faulty_upstream(seed: int = 1) -> Iterator[FaultyUpstream]:
    """Start the process, and end it."""
    command = [sys.executable, "-m", "tests.faults.upstream", "--seed", str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the faulty upstream did not start"
        facts = json.loads(line)
        yield FaultyUpstream(facts["ports"], facts["authority"])
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def config_for(cases: Sequence[Case], upstream: FaultyUpstream, folder: Path, **settings: Any) -> Config:
    """A configuration in which each case has aliases and upstreams of its own; `settings` are the upstreams'."""
    authority = folder / "authority.pem"
    authority.write_text(upstream.authority)
    common: dict[str, Any] = {
        "api_key": UPSTREAM_KEY,
        "headers": UPSTREAM_HEADERS,
        "query": UPSTREAM_QUERY,
        "warm_connections": 0,
        "connect_timeout": CONNECT,
        "first_byte_timeout": FIRST_BYTE,
        "idle_timeout": IDLE,
        **settings,
    }
    plain = upstream.base_url("plain")
    upstreams, models = {}, {}
    for case in cases:
        scenario, kind = case.scenario, case.wire.kind
        first, second = f"vndr-first-{case.number}", f"vndr-second-{case.number}"
        ca_file = str(authority) if scenario.place.startswith("tls") else None
        upstreams[first] = Upstream(kind=kind, base_url=upstream.base_url(scenario.place), ca_file=ca_file, **common)
        upstreams[second] = Upstream(kind=kind, base_url=plain, **common)
        targets = [f"{first}/{PREFIX}{scenario.name}", *([f"{second}/{WELL}"] if case.backed else [])]
        models[_alias(case)] = Model(capability="chat", targets=targets, price=PRICE)
        well = f"{first if scenario.place == 'plain' else second}/{WELL}"
        models[_alias(case, "after")] = Model(capability="chat", targets=[well], price=PRICE)
    server = Server(data_dir=str(folder / "data"), port=0, log_format="json", max_event_bytes=1_048_576)
    return Config(server=server, upstreams=upstreams, models=models)


def _alias(case: Case, what: str = "fault") -> str:
    return f"{what}-{case.number}"


def send(client: RawClient, wire: Wire, alias: str, prompt: str, *, stream: bool, **fields: object) -> None:
    """Ask in a wire's format."""
    body: dict[str, object] = {"model": alias, **fields, **({"stream": True} if stream else {})}
    if wire.name == "generate":
        body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    elif wire.name == "responses":
        body["input"] = prompt
    else:
        body |= {"messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
    headers = {
        **CREDENTIALS[sum(alias.encode()) % len(CREDENTIALS)],
        **CLIENT_HEADERS,
        "content-type": "application/json",
    }
    data = json.dumps(body, separators=(",", ":")).encode()
    client.request("POST", wire.paths[stream].replace("{model}", alias), data, headers)


def ask(client: RawClient, wire: Wire, alias: str, prompt: str, *, stream: bool) -> bytes:
    """Ask, and read the answer's body to its end."""
    send(client, wire, alias, prompt, stream=stream)
    return client.read_answer()[1].payload


def run(
    gateway: RunningGateway, upstream: FaultyUpstream, cases: Sequence[Case], grace: float, at_once: int
) -> list[Result]:
    """Ask every case, so many at once, and find its problems; it may take `grace` seconds more than its deadlines."""
    with ThreadPoolExecutor(at_once, "asking") as pool:
        results = list(pool.map(lambda case: _meet(gateway, upstream, case), cases))
    rows: dict[str, list[Row]] = {}
    for row in gateway.rows():
        rows.setdefault(row.id, []).append(row)
    for result in results:
        result.problems += [*_wrong_answer(result, grace), *_wrong_bill(result, rows.get(result.id, []))]
    return results


def _meet(gateway: RunningGateway, upstream: FaultyUpstream, case: Case) -> Result:
    """Ask one case, and then a good question."""
    scenario, wire = case.scenario, case.wire
    # The same in each run: with the seed it decides where the upstream cuts.
    nonce = f"nonce-{case.number:05}"
    prompt = f"{nonce} {PROMPT} " + "x" * scenario.padding
    if scenario.warm:
        with gateway.client(20) as client:
            ask(client, wire, _alias(case), f"{nonce}w warm-up", stream=case.stream)
        time.sleep(0.05)
    problems: list[str] = []
    with gateway.client(20) as client:
        asked = time.monotonic()
        try:
            send(client, wire, _alias(case), prompt, stream=case.stream, **scenario.asks)
            client.socket.recv(1, socket.MSG_PEEK)
            upstream.tell(nonce)
            head, body = client.read_answer()
        except (AssertionError, OSError) as error:
            head, body = Head(0, []), Body(b"", [], complete=False, reset=False)
            problems.append(f"the client could not read the answer: {error}")
        seconds = time.monotonic() - asked
    with gateway.client(20) as client:
        after = ask(client, wire, _alias(case, "after"), f"{nonce}a", stream=False)
    return Result(case, head, body, seconds, upstream.attempts(nonce), after, problems)


def _wrong_answer(result: Result, grace: float) -> Iterator[str]:
    """What is wrong with what the client got."""
    case, head, body = result.case, result.head, result.body
    end, wire = case.end, case.wire.name
    if head.status != end.status:
        yield f"status {head.status}, not {end.status}: {body.payload[:200]!r}"
    shown = "".join(f"{name.lower()}: {value}\n" for name, value in head.headers).encode() + body.payload
    for telling in (*_TELLING, *(secret.encode() for secret in SECRETS.values()), b"nonce-", *case.scenario.hides):
        if telling in shown.lower() or telling in shown:
            at = max(shown.lower().find(telling), shown.find(telling))
            yield f"the client is shown {telling!r}: {shown[max(at - 80, 0) : at + 80]!r}"
    missing = [one for one in case.scenario.shows if one not in shown]
    if missing and end.attempts == 1 and end.ending != "whole":
        yield f"the client is not shown {missing}"
    events = (head.header("content-type") or "").startswith("text/event-stream")
    yield from _wrong_ending(result, events)
    deadlines = end.attempts * max(CONNECT, FIRST_BYTE, IDLE)
    if result.seconds > deadlines + grace:
        yield f"took {result.seconds:.2f} s; its deadlines are {deadlines:.1f} s"
    try:
        if read(wire, result.after, events=False).text != TEXT:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        yield f"a good question afterwards got {result.after[:300]!r}"


def _wrong_ending(result: Result, events: bool) -> Iterator[str]:
    case, body, end = result.case, result.body, result.case.end
    if body.complete != (end.ending != "cut"):
        yield f"the body {'ends' if body.complete else 'is cut'}: …{body.payload[-200:]!r}"
    if end.ending == "cut" and not events:
        return
    try:
        seen = read(case.wire.name, body.payload, events=events)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield f"no client can read it: {error!r} in {body.payload[:300]!r}"
        return
    yield from _wrong_content(case, end, seen)
    # An error of our own names its request; a provider's that is passed on does not.
    own = end.ending == "error" and end.status in (502, 504) and f"upstream_{end.status}" not in end.codes
    if own and not _names(seen.errors, result.id):
        yield f"the error does not name its request: {body.payload[:300]!r}"


def _wrong_content(case: Case, end: End, seen: Read) -> Iterator[str]:
    """What is wrong with the text, its end and the errors in it."""
    text = case.scenario.text if case.scenario.text is not None and end.attempts == 1 else TEXT
    if end.ending == "whole":
        if seen.text != text:
            yield f"the text is {seen.text[:200]!r}"
        if not seen.ends and case.scenario.name != "done-without-finish":
            yield "the client is not told why it ended"
        if seen.errors:
            yield f"an error in a whole answer: {seen.errors}"
    elif len(seen.errors) != 1:
        yield f"{len(seen.errors)} errors are told: {seen.errors}"
    elif end.ending == "cut" and not seen.ends_in_error:
        yield "something follows the error"
    elif seen.ends and not case.scenario.asks and end.ending == "cut":
        yield "an end was made up"


def _names(errors: Sequence[Mapping[str, Any]], request_id: str) -> bool:
    return any(request_id in json.dumps(error) for error in errors)


def _wrong_bill(result: Result, rows: Sequence[Row]) -> Iterator[str]:
    """What is wrong with the row."""
    case, end = result.case, result.case.end
    if len(rows) != 1:
        yield f"{len(rows)} rows"
        return
    row = rows[0]
    counted = case.scenario.place == "plain"
    wanted = {
        "outcome": end.outcome,
        "status": end.status,
        "attempts": end.attempts,
        "usage_source": end.source,
        "stream": case.stream,
    }
    for name, value in wanted.items():
        if getattr(row, name) != value:
            yield f"the row's {name} is {getattr(row, name)!r}, not {value!r} ({row.error_code})"
    if row.error_code not in end.codes:
        yield f"the row's error code is {row.error_code!r}, not of {end.codes}"
    if row.attempts > 3 or (counted and result.attempts != row.attempts):
        yield f"{row.attempts} attempts by the row, {result.attempts} by the upstream"
    tokens = (row.input_tokens, row.output_tokens)
    if row.usage_source == "reported" and tokens != (INPUT_TOKENS, OUTPUT_TOKENS):
        yield f"the row's tokens are {tokens}"
    if row.usage_source == "estimated" and not (tokens[0] and row.text_in):
        yield f"the row's estimate is {tokens}"
    if row.usage_source == "none" and (row.cost != 0 or any(tokens)):
        yield f"nothing was used, and the cost is {row.cost}"


def left_over(gateway: RunningGateway) -> list[str]:
    """What the gateway still holds of its requests though all have ended: busy connections, waiters, deadlines."""

    def look(inside: Gateway) -> list[str]:
        busy = [repr(pool) for pool in inside.pools.values() if pool.size != pool.idle or pool.saturated]
        return [*busy, *([f"{len(inside.deadlines)} deadlines"] if len(inside.deadlines) else [])]

    deadline = time.monotonic() + 10
    while (found := gateway.call(look)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"left over: {one}" for one in found]
