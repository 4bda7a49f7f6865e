"""Who pays for a request, as its row has it, however it ends; and that labels go nowhere else."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.auth.keys import Key
from proxy.dialects.openai_chat import CHAT
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.payers import (
    MAX_METADATA_BYTES,
    MAX_METADATA_PAIRS,
    MAX_USER_CHARACTERS,
    metadata_json,
    with_payers,
)
from proxy.wire.schemas import Body
from tests.exchange.samples import JSON_ANSWER, question, serving
from tests.fakes import json_answer
from tests.ledger.samples import final
from tests.serving import KEY, RunningGateway

HEAD = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
LABELS = {
    "x-prism-session-id": "s-1",
    "x-prism-user-id": "ann",
    "x-prism-metadata": '{"project": "x", "stage": 2}',
}


def send(gateway: RunningGateway, headers: dict[str, str], **fields: Any) -> int:
    with gateway.client() as client:
        body = msgspec.json.encode(question(stream=False) | fields)
        client.request("POST", "/v1/chat/completions", body, {**HEAD, **headers})
        return client.read_answer()[0].status


def labels(gateway: RunningGateway) -> tuple[str, str, str]:
    (row,) = gateway.rows()
    return row.session, row.user, row.metadata


def test_a_row_has_the_labels_of_the_head_and_the_upstream_has_none(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        assert send(gateway, LABELS) == 200
        assert labels(gateway) == ("s-1", "ann", '{"project":"x","stage":"2"}')
        assert "prism" not in str(upstream.requests[0].headers).lower()


@pytest.mark.parametrize(
    ("fields", "session", "user"),
    [
        ({"user": "bob"}, "", "bob"),
        ({"safety_identifier": "h4sh"}, "", "h4sh"),
        ({"user": "bob", "safety_identifier": "h4sh"}, "", "bob"),
        ({"metadata": {"user_id": "carl", "session_id": "s-2"}}, "s-2", "carl"),
        ({"user": "bob", "metadata": {"user_id": "carl", "session_id": "s-2"}}, "s-2", "bob"),
        ({"user": 7, "metadata": {"user_id": None, "session_id": {"a": 1}}}, "", ""),
        ({"user": "two\nlines\u0000"}, "", "two\\nlines\\x00"),
        ({"metadata": [1]}, "", ""),
    ],
)
def test_a_body_has_labels_too(tmp_path: Path, fields: dict[str, Any], session: str, user: str) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        assert send(gateway, {}, **fields) == 200
        assert labels(gateway)[:2] == (session, user)
        assert json.loads(upstream.requests[0].body).keys() >= fields.keys()


def test_the_head_counts_before_the_body(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        send(gateway, LABELS, user="bob", metadata={"session_id": "s-2"})
        assert labels(gateway)[:2] == ("s-1", "ann")


def test_a_refused_request_has_its_labels(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, _):
        assert send(gateway, LABELS, model="no-such-model") == 404
        assert labels(gateway)[:2] == ("s-1", "ann")


def context(
    key: Key | None = None, headers: list[tuple[bytes, bytes]] | None = None, **fields: bytes
) -> RequestContext:
    spec = EndpointSpec("/v1/chat/completions", CHAT)
    body = Body({name: msgspec.Raw(value) for name, value in fields.items()}, "m", False, False)
    made = RequestContext(spec, id="req_1", started=0, arrived=0.0, body=body)
    if key is not None:
        made.key = key
    return made


def test_a_row_has_the_team_and_organisation_of_its_key() -> None:
    key = Key(id="k", name="k", models=None, created=0, expires=None, team="team_1", org="org_1")
    row = with_payers(context(key), final(1))
    assert (row.team, row.org, row.user) == ("team_1", "org_1", "")


def test_a_request_without_any_of_them_keeps_its_row() -> None:
    row = final(1)
    assert with_payers(context(metadata=b'{"a": "b"}', user=b"null"), row) is row


def test_what_is_too_long_for_a_label_is_cut_or_not_read() -> None:
    row = with_payers(context(user=b'"' + b"x" * 1_000 + b'"'), final(1))
    assert (len(row.user), row.user[-1]) == (MAX_USER_CHARACTERS, "…")
    huge = b'{"user_id": "ann", "rest": "' + b"x" * 20_000 + b'"}'
    assert with_payers(context(metadata=huge, user=b'"' + b"x" * 20_000 + b'"'), final(1)).user == ""


def test_damaged_labels_are_none() -> None:
    broken = context(user=b'"\\ud800"', metadata=b"{", safety_identifier=b'"\xff"')
    assert with_payers(broken, final(1)).user == ""


def test_metadata_of_a_row_is_bounded_and_whole() -> None:
    pairs = tuple((f"key-{number}", "v" * 300) for number in range(20))
    stored = metadata_json(pairs)
    assert len(stored) <= MAX_METADATA_BYTES
    assert json.loads(stored) == dict(pairs[:3])
    assert len(json.loads(metadata_json(tuple((str(number), "") for number in range(20))))) == MAX_METADATA_PAIRS
    assert metadata_json(()) == ""
