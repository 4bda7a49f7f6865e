"""The faulty upstream, in a process of its own: `python -m tests.faults.upstream`.

The model that it is asked for names the scenario. `GET /told/NONCE` says that the client of a question has the
beginning of its answer, `GET /attempts/NONCE` tells how often it came, `GET /requests-with/TEXT` in how many requests a
text stood. It prints one line of JSON with its ports when it listens, and ends when its standard input does. It imports
nothing of the gateway.
"""

import argparse
import datetime
import json
import logging
import random
import re
import socket
import ssl
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final, Self

import trustme

from tests.fakes import Pause, ReadNothing, RecordedRequest, ScriptedUpstream, Step, WaitFor, json_answer
from tests.faults.scenario import Asked, well
from tests.faults.table import SCENARIOS
from tests.faults.wires import WIRES, Wire

#: What the models of the scenarios begin with, and the one that is always well.
PREFIX: Final = "vndr-fault-"
WELL: Final = "vndr-well"
_NONCE: Final = re.compile(rb"nonce-[0-9a-z]+")
_MODEL: Final = re.compile(rb'"model": ?"(vndr-[^"]+)"')
_VERB: Final = re.compile(r"/models/([^/:]+):(stream)?[gG]enerateContent")
_LONG_AGO: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_RESET: Final = struct.pack("ii", 1, 0)


class Answers:
    """Answers by scenario, and counts the attempts. One seed gives the same answers to the same questions."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._attempts: Counter[str] = Counter()
        self._served: Counter[tuple[int, int]] = Counter()
        self._requests: list[bytes] = []
        self._told: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def _event(self, nonce: str) -> threading.Event:
        with self._lock:
            return self._told.setdefault(nonce, threading.Event())

    def _count_with(self, text: bytes) -> int:
        with self._lock:
            return sum(text in one for one in self._requests)

    def at(self, port: int, request: RecordedRequest) -> Iterable[Step]:
        """The answer to a request on one of the ports."""
        if request.target.startswith("/attempts/"):
            with self._lock:
                return json_answer({"attempts": self._attempts[request.target.rpartition("/")[2]]})
        if request.target.startswith("/told/"):
            self._event(request.target.rpartition("/")[2]).set()
            return json_answer({"told": 1})
        if request.target.startswith("/requests-with/"):
            return json_answer({"requests": self._count_with(request.target.rpartition("/")[2].encode())})
        with self._lock:
            self._requests.append(_seen(request))
        found = _NONCE.search(request.body)
        nonce = found[0].decode() if found else ""
        with self._lock:
            self._attempts[nonce] += 1
            self._served[port, request.connection] += 1
            attempt, served = self._attempts[nonce], self._served[port, request.connection]
        wire, stream, model = _what(request)
        chance = random.Random(f"{self._seed} {model} {nonce}")
        told = WaitFor(self._event(nonce)) if stream else Pause(0.05)
        asked = Asked(wire, stream, model, attempt, served, chance, request, told)
        does = well if model == WELL else SCENARIOS[model.removeprefix(PREFIX)].does
        return does(asked)


def _seen(request: RecordedRequest) -> bytes:
    """All of a request, but for a body beyond reason."""
    lines = [request.target, *(f"{name}: {value}" for name, value in request.headers)]
    return "\n".join(lines).encode("latin-1") + b"\n" + request.body[:65_536]


def _what(request: RecordedRequest) -> tuple[Wire, bool, str]:
    """The format, whether a stream is asked for, and the model."""
    verb = _VERB.search(request.target)
    if verb:
        return WIRES["generate"], verb[2] is not None, verb[1]
    name = request.target.partition("?")[0].rpartition("/")[2]
    found = _MODEL.search(request.body)
    model = found[1].decode() if found else WELL
    return WIRES["chat" if name == "completions" else name], b'"stream":true' in request.body, model


class _Hasty(ScriptedUpstream):
    """Answers as soon as it has a head, and reads no body."""

    def arrived(self, request: RecordedRequest) -> tuple[Step, ...] | None:
        super().arrived(request)
        scenario = next(one for one in SCENARIOS.values() if one.place == "hasty")
        asked = Asked(
            WIRES["chat"], False, PREFIX + scenario.name, 1, 1, random.Random(0), request, WaitFor(threading.Event())
        )
        return (ReadNothing(), *scenario.does(asked))


class _Door:
    """A listener that is a fault by itself: it takes connections and closes, resets or ignores them."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._run, name=what, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            if self._what == "tls-mute":
                self._kept.append(taken)
                continue
            if self._what == "resetting":
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            taken.close()


def _tls(port_of: dict[str, int], stack: ExitStack, answers: Answers, authority: trustme.CA) -> None:
    """The TLS listeners: one that is right, and each way to be wrong."""
    certificates = {
        "tls": authority.issue_cert("127.0.0.1"),
        "tls-expired": authority.issue_cert(
            "127.0.0.1", not_before=_LONG_AGO, not_after=_LONG_AGO + datetime.timedelta(1)
        ),
        "tls-wrong-name": authority.issue_cert("other.example"),
        "tls-unknown": trustme.CA().issue_cert("127.0.0.1"),
    }
    for place, certificate in certificates.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        upstream = stack.enter_context(_listening(answers, context))
        port_of[place] = upstream.port


def _listening(answers: Answers, tls: ssl.SSLContext | bool = False) -> ScriptedUpstream:
    upstream = ScriptedUpstream(tls=tls)
    upstream.handler = lambda request: answers.at(upstream.port, request)
    return upstream


def main() -> None:
    """Listen until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    # A refused certificate is a scenario here, and no news.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    answers = Answers(parser.parse_args().seed)
    authority = trustme.CA()
    port_of: dict[str, int] = {}
    with ExitStack() as stack:
        port_of["plain"] = port_of["tls-on-plain"] = stack.enter_context(_listening(answers)).port
        port_of["hasty"] = stack.enter_context(_Hasty()).port
        for what in ("closing", "resetting", "tls-mute"):
            port_of[what] = stack.enter_context(_Door(what)).port
        unheard = stack.enter_context(socket.socket())
        unheard.bind(("127.0.0.1", 0))
        port_of["refused"] = unheard.getsockname()[1]
        _tls(port_of, stack, answers, authority)
        print(json.dumps({"ports": port_of, "authority": authority.cert_pem.bytes().decode()}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
