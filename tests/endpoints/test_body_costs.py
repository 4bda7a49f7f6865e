"""What a body of 32 MiB may cost each of its readers, whatever it is made of: CPU time, as load changes it little.

A turn of Python for each byte or item takes seconds; what C does in one call takes a fraction of one.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from proxy.auth.credentials import credential_digests
from proxy.endpoints.head_facts import allowed_query
from proxy.errors import GatewayError, InvalidRequest
from proxy.exchange.context import NESTED, NESTED_GEMINI
from proxy.policies.access import not_found
from proxy.policies.references import check_models, find, may_name
from proxy.resources.batch_files import BatchDownload, BatchUpload, LineSplitter
from proxy.resources.request import ResourceRequest
from proxy.resources.routing import ResourceRouting
from proxy.server.bodies import Bodies, Holding
from proxy.wire.field_names import may_name_object, object_name_in
from proxy.wire.json_scan import nesting_exceeds
from proxy.wire.multipart import MAX_PART_NAME_BYTES, MAX_PARTS, ModelExtractor, read_part_head
from proxy.wire.request_body import (
    decode_object,
    parse_body,
    parse_body_in_steps,
    parse_body_without_model,
    parse_body_without_model_in_steps,
    render_body,
    render_chunks,
    text_bytes,
)
from proxy.wire.schemas import Body

SIZE = 32 * 1_048_576
#: Seconds of CPU for all of a reader's work: several times what it needs, and a part of what a loop over bytes would.
MAX_CPU = 0.9
#: Seconds for which a body that is read in steps may hold the event loop.
MAX_HOLD = 1.0


#: How often a cost beyond its limit is measured again, as a busy machine makes everything dearer for a while.
MEASUREMENTS = 3


def cpu(work: Callable[[], object]) -> float:
    """What some work costs, refused or not: the least of its measurements."""
    least = float("inf")
    for _ in range(MEASUREMENTS):
        before = time.thread_time()
        with suppress(InvalidRequest):
            work()
        least = min(least, time.thread_time() - before)
        if least < MAX_CPU:
            break
    return least


def text(unit: bytes) -> bytes:
    """A body with one string of this unit."""
    return b'{"model":"m","x":"' + unit * (SIZE // len(unit)) + b'"}'


def value(unit: bytes, last: bytes) -> bytes:
    """A body with one list of this unit."""
    return b'{"model":"m","x":[' + unit * (SIZE // len(unit)) + last + b"]}"


TEXTS = (
    *(b"a", b" ", b"{", b"[]", b"\\\\", b'\\"', b"\\u0041", b"\\n[", b"\\ud83d", b",", b"NaN,", b"model"),
    *(b"\xc3\xa9", b"\xf0\x9f\x98\x80", b";base64,", b";base64, ", b";", b"_", b"_id", b"file_i", b"file_id"),
    *(b"\\\\u00", b"\\u005f", b"\\\\u017"),
)
LISTS = (
    (b"0,", b"0"),
    (b'"",', b'""'),
    (b"{},", b"{}"),
    (b'{"aaaaaaaaaa":1},', b"{}"),
    (b'{"file_id":""},', b"{}"),
    (b'";base64,AA",', b'""'),
    (b"1e5,", b"0"),
    (b"NaN,", b"0"),
    (b'"file-1",', b'""'),
    (b'{"model":1},', b"{}"),
)
OTHERS: dict[str, Callable[[], bytes]] = {
    "names at the top": lambda: b'{"model":"m",' + b",".join(b'"%x":1' % n for n in range(SIZE // 10)) + b"}",
    "one name again and again": lambda: b'{"model":"m",' + b'"a":1,' * (SIZE // 6) + b'"a":1}',
    "a long name": lambda: b'{"model":"m","' + b"a" * SIZE + b'":1}',
    "a long model": lambda: b'{"model":"' + b"a" * SIZE + b'"}',
    "a long model in escapes": lambda: b'{"model":"' + b"\\u0061" * (SIZE // 6) + b'"}',
    "blanks": lambda: b'{"model":"m",' + b" " * SIZE + b'"x":1}',
    "blanks behind a value": lambda: b'{"model":"m","x":1' + b"\n" * SIZE + b"}",
    "ids": lambda: b'{"model":"m","file_ids":[' + b'"file-1",' * (SIZE // 9) + b'""]}',
    "one id and values": lambda: b'{"model":"m","file_id":"a","x":[' + b"0," * (SIZE // 2) + b'{"file_id":1}]}',
    "tools": lambda: b'{"model":"m","tools":[' + b'{"model":{}},' * (SIZE // 32) + b"{}" + b" " * (SIZE // 2) + b"]}",
    "requests": lambda: b'{"requests":[' + b'{"model":"m"    },' * (SIZE // 18) + b"{}]}",
    "one number that is none": lambda: b'{"model":"m","y":NaN,"x":"' + b"a" * SIZE + b'"}',
    "brackets alone": lambda: b"[" * SIZE,
    "pairs of brackets": lambda: b"[]" * (SIZE // 2),
    "quotes alone": lambda: b'"' * SIZE,
    "stairs": lambda: b"[[]" * (SIZE // 4) + b"]" * (SIZE // 4),
}
CASES: dict[str, Callable[[], bytes]] = {
    **{f"text of {unit!r}": partial(text, unit) for unit in TEXTS},
    **{f"list of {unit!r}": partial(value, unit, last) for unit, last in LISTS},
    **OTHERS,
}


def in_steps(steps: Generator[None, None, Body]) -> tuple[Body | None, float, float]:
    """What steps come to, the CPU time of them all, and of the longest, for which the event loop is held."""
    body: Body | None = None
    total = longest = 0.0
    while True:
        before = time.thread_time()
        ended = False
        try:
            next(steps)
        except StopIteration as end:
            body, ended = end.value, True
        except InvalidRequest:
            ended = True
        step = time.thread_time() - before
        total += step
        longest = max(longest, step)
        if ended:
            return body, total, longest


@pytest.mark.parametrize("name", CASES)
def test_no_reader_of_a_json_body_takes_a_turn_for_each_of_its_bytes(name: str) -> None:
    data = CASES[name]()
    for _ in range(MEASUREMENTS):
        body, total, longest = in_steps(
            parse_body_without_model_in_steps(data, "m", False) if name == "requests" else parse_body_in_steps(data)
        )
        if longest < MAX_HOLD and total < MAX_CPU:
            break
    assert longest < MAX_HOLD
    costs = {
        "body": total,
        "text": cpu(lambda: text_bytes(data)),
        "words": cpu(lambda: may_name(data, NESTED, True)),
        "words of Gemini": cpu(lambda: may_name(data, NESTED_GEMINI, False)),
    }
    if body is not None:
        costs["references"] = cpu(lambda: find(body.fields))
        costs["models"] = cpu(lambda: check_models(body.fields, frozenset({"models"}), frozenset({"tools", "x"}), bool))
        costs["render_body"] = cpu(lambda: render_body(body, "real", True))
        costs["pieces"] = cpu(lambda: render_chunks(body, "real", True))
    assert {reader: cost for reader, cost in costs.items() if cost > MAX_CPU} == {}


@pytest.mark.parametrize("name", ["names at the top", "brackets alone", "text of b'a'"])
def test_a_body_that_is_read_at_once_costs_no_more(name: str) -> None:
    data = CASES[name]()
    assert cpu(lambda: decode_object(data)) < MAX_CPU
    assert cpu(lambda: parse_body(data)) < MAX_CPU
    assert cpu(lambda: nesting_exceeds(data, 64, len(data) // 16)) < MAX_CPU


@pytest.mark.parametrize("length", [1_025, SIZE])
def test_a_name_beyond_reason_is_compared_with_no_alias(length: int) -> None:
    aliases = [f"prometheus-{number:04}" for number in range(500)]
    assert cpu(lambda: not_found("a" * length, aliases)) < MAX_CPU
    for data in (b'{"model":"%b"}' % (b"a" * length), b'{"model":"%b"}' % ("ä" * 1_025).encode()):
        with pytest.raises(InvalidRequest, match="longer than 1024 characters") as error:
            parse_body(data)
        assert error.value.param == "model"
    with pytest.raises(InvalidRequest, match="longer than 1024 characters"):
        parse_body_without_model(b"{}", "a" * length, False)
    assert parse_body(b'{"model":"%b"}' % ("ä" * 1_024).encode()).model == "ä" * 1_024


LONG = b"B" * 150
#: Boundaries, and what a part's content is made of.
FORMS = {
    "look-alikes": (b"B", b"x--B"),
    "ends of lines": (b"B", b"\r\n"),
    "hyphens": (b"B", b"-"),
    "half a boundary": (LONG, b"\r\n--" + LONG[:-1]),
    "boundaries without a line end": (LONG, b"--" + LONG),
    "the boundary's own letter": (LONG, b"B"),
    "carriage returns": (b"B", b"\r"),
    "line feeds": (b"B", b"\n"),
}


@pytest.mark.parametrize("field", ["file", "prompt"])
@pytest.mark.parametrize(("boundary", "unit"), FORMS.values(), ids=FORMS.keys())
def test_no_reader_of_a_form_takes_a_turn_for_each_of_its_bytes(boundary: bytes, unit: bytes, field: str) -> None:
    of_file = b'; filename="a"' if field == "file" else b""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\nx' % (boundary, field.encode(), of_file)
    data = head + unit * (SIZE // len(unit))

    scanner = ModelExtractor(boundary)

    def feed() -> None:
        for begin in range(0, len(data), 65_536):
            scanner.feed(data[begin : begin + 65_536])

    assert cpu(feed) < MAX_CPU


@pytest.mark.parametrize("unit", [b"; a%x=b", b"\r\na%x: b", b';"a%x"=b', b"; filename%x=name="])
def test_the_head_of_a_part_costs_little(unit: bytes) -> None:
    head = b'Content-Disposition: form-data; name="a"' + b"".join(unit % number for number in range(2_000))
    assert cpu(lambda: [cpu(lambda: read_part_head(head[:16_384])) for _ in range(256)]) < MAX_CPU


@pytest.mark.parametrize("unit", ["[", "[a]", ".a", "a", "file_id"])
def test_the_name_of_a_part_costs_little(unit: str) -> None:
    assert cpu(lambda: [object_name_in(unit * (MAX_PART_NAME_BYTES // len(unit))) for _ in range(MAX_PARTS)]) < MAX_CPU


@pytest.mark.parametrize("unit", [b'"', b'"file_i', b"[", b"{", b" "])
def test_the_value_of_a_field_costs_little(unit: bytes) -> None:
    assert cpu(lambda: [may_name_object("a", unit * (65_536 // len(unit))) for _ in range(256)]) < 2 * MAX_CPU


@pytest.mark.parametrize("unit", [b"\n", b" \n", b"\r\n", b"a", b"{}\n", b"\t"])
def test_no_reader_of_a_batch_takes_a_turn_for_each_of_its_bytes(unit: bytes) -> None:
    choice, owners, key = cast("Any", None), cast("Any", None), cast("Any", SimpleNamespace(id="key_1"))

    async def feed(change: BatchUpload) -> None:
        for begin in range(0, SIZE, 262_144):
            await change.feed(unit * (262_144 // len(unit)) if begin < SIZE else b"")

    assert cpu(lambda: asyncio.run(feed(BatchUpload(choice, owners, key, None, SIZE + 1, Holding(Bodies()))))) < MAX_CPU
    lines, down = LineSplitter(SIZE + 1), BatchDownload("alias", "model", SIZE + 1)
    assert cpu(lambda: [lines.feed(unit * (262_144 // len(unit))) for _ in range(16)]) < MAX_CPU
    assert cpu(lambda: down.feed(unit * (262_144 // len(unit)))) < MAX_CPU


@pytest.mark.parametrize("unit", [b"&", b"a=b&", b"after=a&", b"%61fter=a&", b";", b"=", b"%"])
def test_a_query_costs_little(unit: bytes) -> None:
    query = unit * (65_536 // len(unit))
    row = SimpleNamespace(query=frozenset({"after"}), lists="")
    visit = cast("ResourceRequest", SimpleNamespace(query=query, row=row, ids={}, records={}, key="key_1"))
    choice = ResourceRouting(cast("Any", None), cast("Any", None), {})

    def read() -> None:
        allowed_query(query, frozenset({"after"}))
        with suppress(AttributeError):
            asyncio.run(choice.check_ids(visit))
        choice.query(visit)

    assert cpu(read) < MAX_CPU


@pytest.mark.parametrize("value", [b"Bearer" + b" " * 65_536, b"Bearer " + b"a " * 32_768, b"Bearer" + b" a" * 32_768])
def test_a_credential_costs_little(value: bytes) -> None:
    def read() -> None:
        with suppress(GatewayError):
            credential_digests([(b"authorization", value)])

    assert cpu(read) < MAX_CPU


def test_values_that_were_decoded_are_parts_of_the_body_and_no_copies() -> None:
    data = text(b"a")
    before = time.thread_time()
    fields = decode_object(data)
    assert bytes(fields["model"]) == b'"m"'
    assert len(fields["x"]) == len(data) - len(b'{"model":"m","x":}')
    assert msgspec.json.encode(fields) == data
    assert time.thread_time() - before < MAX_CPU
