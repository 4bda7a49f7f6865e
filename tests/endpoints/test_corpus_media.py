"""Recorded exchanges of audio, images, moderations and embeddings, replayed through their rows over real sockets."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from proxy.config.tree import Capability, Config, Model, Price
from tests.corpus import Exchange, cuts, exchanges, with_model
from tests.fakes import ScriptedUpstream, json_answer, sse_answer
from tests.serving import KEY, RunningGateway, simple_config

CAPABILITIES: dict[str, Capability] = {
    "/v1/audio/transcriptions": "audio",
    "/v1/audio/speech": "speech",
    "/v1/images/generations": "image",
    "/v1/moderations": "moderation",
    "/v1/embeddings": "embeddings",
}
MEDIA = [one for one in exchanges() if one.path in CAPABILITIES and one.method == "POST"]
GOOD = [one for one in MEDIA if one.status == 200]
PRICE = Price(minute=Decimal("0.006"))


def model_of(exchange: Exchange) -> str:
    model = exchange.request_json.get("model")
    if model is None:
        content = exchange.request[exchange.request.index(b"name=model\r\n\r\n") :]
        model = content[14 : content.index(b"\r\n--")].decode()
    return str(model)


def alias_of(exchange: Exchange) -> str:
    return f"prometheus-{CAPABILITIES[exchange.path]}-{model_of(exchange)}"


def asked(exchange: Exchange) -> bytes:
    """The recorded request as a client of the gateway sends it."""
    if exchange.request_json:
        return with_model(exchange.request, alias_of(exchange))
    return exchange.request.replace(
        b"name=model\r\n\r\n" + model_of(exchange).encode(), b"name=model\r\n\r\n" + alias_of(exchange).encode()
    )


def config(folder: Path, base_url: str) -> Config:
    """An alias for each recorded model."""
    aliases = {
        alias_of(one): Model(
            capability=CAPABILITIES[one.path],
            targets=[f"vendor1/{model_of(one)}"],
            price=PRICE if CAPABILITIES[one.path] == "audio" else None,
        )
        for one in MEDIA
    }
    return msgspec.structs.replace(simple_config(folder, base_url), models=aliases)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(config(tmp_path_factory.mktemp("gateway"), upstream.base_url)) as gateway,
    ):
        yield gateway, upstream


def replay(
    sides: tuple[RunningGateway, ScriptedUpstream], exchange: Exchange
) -> tuple[int, bytes, dict[str, object], bytes]:
    """Send it; gives the answer's status and body, its row, and what the upstream got."""
    gateway, upstream = sides
    headers = {"content-type": exchange.headers["content-type"]}
    if exchange.headers.get("transfer-encoding") == "chunked":
        upstream.script(sse_answer(exchange.response, cuts(len(exchange.response), 7), headers=headers))
    else:
        upstream.script(json_answer(exchange.response, exchange.status, headers))
    with gateway.client() as client:
        sent = {"authorization": f"Bearer {KEY}", "content-type": exchange.request_headers["content-type"]}
        client.request("POST", exchange.path, asked(exchange), sent)
        answer, body = client.read_answer()
    assert body.complete
    (row,) = [row for row in gateway.rows() if row.id == answer.header("x-request-id")]
    return answer.status, body.payload, msgspec.to_builtins(row), upstream.requests[-1].body


@pytest.mark.parametrize("exchange", GOOD, ids=lambda one: one.id)
def test_the_recorded_bytes_pass_both_ways(sides: tuple[RunningGateway, ScriptedUpstream], exchange: Exchange) -> None:
    status, payload, _, sent = replay(sides, exchange)
    assert status == 200
    if exchange.request_json:
        assert json.loads(sent) == exchange.request_json
    else:
        assert sent == exchange.request
    has_model = b'"model"' in exchange.response
    assert payload == (with_model(exchange.response, alias_of(exchange)) if has_model else exchange.response)


@pytest.mark.parametrize("exchange", GOOD, ids=lambda one: one.id)
def test_the_recorded_usage_is_what_the_row_says(
    sides: tuple[RunningGateway, ScriptedUpstream], exchange: Exchange
) -> None:
    _, _, row, _ = replay(sides, exchange)
    assert row["outcome"] == "complete"
    usage = recorded_usage(exchange)
    given = usage.get("input_tokens", usage.get("prompt_tokens", 0))
    if usage:
        assert row["usage_source"] == "reported"
        assert (row.get("input_tokens", 0), row.get("output_tokens", 0)) == (given, usage.get("output_tokens", 0))
    if CAPABILITIES[exchange.path] == "image":
        assert row["images"] == 1
    if CAPABILITIES[exchange.path] == "audio":
        if "seconds" in usage:
            assert row["audio_milliseconds"] == usage["seconds"] * 1000
        else:
            # The recordings that do not report their seconds are all of the same file.
            assert row["audio_milliseconds"] == 1704
            assert row["usage_source"] == ("reported" if usage else "estimated")
        assert row["cost"] == row["audio_milliseconds"] * 100


def recorded_usage(exchange: Exchange) -> dict[str, int]:
    """The last usage object of an answer, read the plain way."""
    if exchange.headers["content-type"].startswith("application/json"):
        values = [json.loads(exchange.response)]
    elif exchange.is_stream:
        values = exchange.events()
    else:
        values = []
    usage: dict[str, int] = next((value["usage"] for value in reversed(values) if value.get("usage")), {})
    return usage


@pytest.mark.parametrize("exchange", [one for one in MEDIA if one.status != 200], ids=lambda one: one.id)
def test_the_recorded_errors_are_passed_on_but_for_a_refused_credential(
    sides: tuple[RunningGateway, ScriptedUpstream], exchange: Exchange
) -> None:
    status, payload, row, _ = replay(sides, exchange)
    assert row["outcome"] == "upstream_error"
    if exchange.status == 401:
        assert status == 502
        assert b"Incorrect API key" not in payload
    else:
        assert status == exchange.status
        assert json.loads(payload)["error"]["code"] == json.loads(exchange.response)["error"]["code"]
