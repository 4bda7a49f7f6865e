"""What a bill may hold: whatever an upstream says it used, the record can be read again, and nothing unknown is 0."""

import asyncio
import json
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.keys import Key
from proxy.config.tree import Model, Price, Server, TierPrice, Upstream
from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.meters import ResponseMeter
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.openai_responses import RESPONSES
from proxy.errors import UpstreamProtocolError
from proxy.exchange.context import EndpointSpec, RequestContext, Unit
from proxy.exchange.settlement import refused_record, relayed_record, resource_record
from proxy.ledger.estimator import Estimator
from proxy.ledger.record import Outcome, Record, UsageRecord
from proxy.routing.models import Alias, compile_alias
from proxy.upstream.pool import Pool
from proxy.wire.request_body import parse_body
from proxy.wire.schemas import Body, Usage

PRICE = Price(input=Decimal(600), output=Decimal(600))
DIALECTS = (CHAT, RESPONSES, MESSAGES, GENERATE, MEDIA)
UNITS: tuple[Unit, ...] = ("tokens", "audio", "images", "nothing")


def alias_of(price: Price | None, capability: Any = "chat") -> Alias:
    """An alias with this price. Making its pool needs a loop, which is gone when that is done."""

    async def make() -> Alias:
        model = Model(capability=capability, targets=["vendor/model"], price=price)
        pools = {"vendor": Pool("vendor", Upstream(base_url="http://127.0.0.1:9"))}
        return compile_alias("core", model, pools, Server())

    return asyncio.run(make())


def call_of(alias: Alias, dialect: Dialect = CHAT, unit: Unit = "tokens", text_in: int = 400) -> RequestContext:
    call = RequestContext(
        EndpointSpec("/v1/chat/completions", dialect, capabilities=frozenset({"chat"}), unit=unit),
        id="req_" + "0" * 32,
        trace_id="trace",
        key=Key(id="key_1", name="one", models=None, created=0, expires=None),
        path=b"/chat/completions",
        body=parse_body(b'{"model":"core"}'),
        forwarded=b"",
        started=time.time_ns() // 1000,
        arrived=time.monotonic(),
    )
    call.alias = alias
    call.text_in = text_in
    return call


def bill(
    call: RequestContext, meter: ResponseMeter | None, estimator: Estimator | None = None, **changes: Any
) -> UsageRecord:
    """The bill of a call whose answer was read by this meter."""
    alias = call.alias
    assert alias is not None
    settings: dict[str, Any] = {
        "outcome": "complete",
        "error_code": None,
        "status": 200,
        "attempts": 1,
        "sent": call.arrived,
        "first_byte": call.arrived,
        "first_write": call.arrived,
        "bytes_out": 100,
    }
    return relayed_record(call, alias, alias.targets[0], meter, estimator or Estimator(), **(settings | changes))


def read_again(record: Record) -> Record:
    """The record as its reader has it; it raises what that raises."""
    return msgspec.json.decode(msgspec.json.encode(record), type=Record)


def answered(dialect: Dialect, *values: Any, stream: bool = False) -> ResponseMeter:
    """The meter that has read these as events, or as one answer."""
    meter = (dialect.event_meter if stream else dialect.json_meter)("core", "model", False)
    for value in values:
        meter.read(json.dumps(value).encode())
    return meter


def said(text: str, usage: Any) -> ResponseMeter:
    """A chat's answer with this text and this usage."""
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    return answered(CHAT, {"choices": [choice], "usage": usage})


# whatever an upstream says

numbers: st.SearchStrategy[Any] = st.one_of(
    st.integers(-5, 10**13),
    st.sampled_from([0, 10**12, 10**12 + 1, 2**48, 2**48 + 1, 2**63, 10**30, -1, 1.5, 1e300, True, "9", None, [7], {}]),
)
COUNTS = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "reasoning_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "seconds",
    "prompt_audio_seconds",
    "cost",
    "cost_in_usd_ticks",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
    "cachedContentTokenCount",
    "num_search_queries",
    "service_tier",
]
DETAILS = [
    "prompt_tokens_details",
    "input_token_details",
    "completion_tokens_details",
    "cache_creation",
    "server_tool_use",
]
PARTS = [
    "cached_tokens",
    "audio_tokens",
    "image_tokens",
    "reasoning_tokens",
    "cache_creation_tokens",
    "ephemeral_1h_input_tokens",
    "ephemeral_5m_input_tokens",
    "web_search_requests",
    "code_execution_requests",
]
iterations = st.lists(
    st.dictionaries(st.sampled_from(["type", *COUNTS]), st.just("compaction") | st.just("advisor_message") | numbers),
    max_size=3,
)
usages = st.one_of(
    st.builds(
        lambda *parts: {name: value for part in parts for name, value in part.items()},
        st.dictionaries(st.sampled_from(COUNTS), numbers, max_size=6),
        st.dictionaries(
            st.sampled_from(DETAILS), st.dictionaries(st.sampled_from(PARTS), numbers) | numbers, max_size=3
        ),
        st.fixed_dictionaries({}, optional={"iterations": iterations}),
    ),
    numbers,
)
texts = st.text(max_size=5) | numbers


@st.composite
def answers(draw: st.DrawFn) -> tuple[Dialect, bool, list[Any]]:
    """Some events of a dialect, or an answer."""
    values = []
    for _ in range(draw(st.integers(1, 3))):
        usage, text = draw(usages), draw(texts)
        values.append(
            draw(
                st.sampled_from(
                    [
                        {"choices": [{"index": 0, "message": {"content": text}, "text": text}], "usage": usage},
                        {"choices": [{"index": 0, "delta": {"content": text, "tool_calls": text}, "usage": usage}]},
                        {"x_groq": {"usage": usage}, "service_tier": text},
                        {"meta": usage},
                        {"type": "message_start", "message": {"usage": usage}},
                        {"type": "message_delta", "usage": usage, "delta": {"text": text, "thinking": text}},
                        {"content": text, "usage": usage},
                        {"type": "transcript.text.delta", "delta": text},
                        {"type": "response.completed", "response": {"usage": usage, "output": text}},
                        {"output": text, "usage": usage},
                        {"candidates": [{"content": text}], "usageMetadata": usage},
                        {"duration": text, "data": [text], "usage": usage},
                    ]
                )
            )
        )
    return draw(st.sampled_from(DIALECTS)), draw(st.booleans()), values


ALIASES = [
    alias_of(price)
    for price in (
        None,
        PRICE,
        Price(minute=Decimal(999_999)),
        Price(image=Decimal(999_999)),
        Price(input=Decimal(1), output=Decimal(1), audio_input=Decimal(9), tiers={"flex": TierPrice(input=Decimal(1))}),
    )
]


@given(
    answers(),
    st.sampled_from(ALIASES),
    st.sampled_from(UNITS),
    st.integers(0, 2**50),
    st.sampled_from(["complete", "client_closed", "upstream_cut", "timeout"]),
    st.floats(-10.0, 1e13),
    st.integers(0, 2**60),
)
def test_no_answer_makes_a_record_that_its_reader_refuses(
    answer: tuple[Dialect, bool, list[Any]],
    alias: Alias,
    unit: Unit,
    text_in: int,
    outcome: Outcome,
    moment: float,
    bytes_out: int,
) -> None:
    dialect, stream, values = answer
    call = call_of(alias, dialect, unit, text_in)
    try:
        meter = answered(dialect, *values, stream=stream)
    except UpstreamProtocolError:
        return
    times: dict[str, Any] = {
        "sent": call.arrived + moment,
        "first_byte": call.arrived,
        "first_write": call.arrived + moment,
    }
    final = bill(call, meter, outcome=outcome, bytes_out=bytes_out, **times)
    assert read_again(final) == final
    assert final.cached_input_tokens <= final.input_tokens
    assert final.text_out >= 0


@given(st.text(max_size=400), st.integers(0, 2**60))
def test_no_refused_request_makes_one_either(model: str, total: int) -> None:
    call = call_of(alias_of(None))
    call.body = Body({}, model, False, False)
    call.arrived -= total / 1_000_000
    final = refused_record(call, "", "refused", 404, "model_not_found")
    assert read_again(final) == final
    assert final.requested_model.isprintable()
    assert len(final.requested_model) <= 10 * 200


def test_a_record_of_an_earlier_version_is_read() -> None:
    old = {"event": "final", "id": "r", "started": 1, "key": "k", "alias": "a", "endpoint": "/v1", "upstream": "u"}
    old |= {"upstream_model": "m", "stream": True, "status": 200, "outcome": "complete", "input_tokens": 5}
    record = msgspec.json.decode(json.dumps(old).encode(), type=Record)
    assert isinstance(record, UsageRecord)
    assert (record.input_tokens, record.searches, record.provider_cost, record.requested_model) == (5, 0, None, "")


def test_a_bill_beyond_a_million_dollars_is_cut_to_it() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2_000_000_000, "total_tokens": 2_000_000_010}
    assert bill(call_of(alias_of(PRICE)), said("x", usage)).cost == 10**15


# what no count was given for


@pytest.mark.parametrize(
    ("text", "usage", "source", "tokens"),
    [
        ("word" * 10, {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, "reported", (9, 3)),
        ("word" * 10, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "estimated", (100, 10)),
        ("", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "reported", (0, 0)),
        ("word" * 10, {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}, "reported", (9, 0)),
        ("word" * 10, {"prompt_tokens": 9}, "estimated", (9, 10)),
        ("", {"prompt_tokens": 9}, "reported", (9, 0)),
        ("word" * 10, {"completion_tokens": 3}, "estimated", (100, 3)),
        ("word" * 10, {"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2}, "estimated", (100, 3)),
        ("word" * 10, {"prompt_tokens": 2**48 + 1, "completion_tokens": 3}, "estimated", (100, 3)),
        ("word" * 10, {"prompt_tokens": 9, "completion_tokens": 10**12 + 1}, "estimated", (9, 10)),
        ("word" * 10, {"prompt_tokens": "9", "completion_tokens": True}, "estimated", (100, 10)),
        ("word" * 10, {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}, "estimated", (100, 3)),
        ("word" * 10, {"completion_tokens": 3, "cached_tokens": 700}, "estimated", (700, 3)),
        ("word" * 10, {"total_tokens": 50}, "estimated", (40, 10)),
        ("word" * 10, {"total_tokens": 5}, "estimated", (0, 5)),
        ("word" * 10, {"cost": 0.5}, "estimated", (100, 10)),
        ("word" * 10, {}, "estimated", (100, 10)),
        ("word" * 10, "odd", "estimated", (100, 10)),
    ],
)
def test_what_was_not_counted_is_estimated_and_says_so(
    text: str, usage: Any, source: str, tokens: tuple[int, int]
) -> None:
    final = bill(call_of(alias_of(PRICE)), said(text, usage))
    assert (final.usage_source, (final.input_tokens, final.output_tokens)) == (source, tokens)


def test_a_stream_that_counts_no_input_is_estimated() -> None:
    words = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word" * 10}}
    meter = answered(MESSAGES, words, {"type": "message_delta", "usage": {"output_tokens": 8}}, stream=True)
    final = bill(call_of(alias_of(PRICE), MESSAGES), meter)
    assert (final.usage_source, final.input_tokens, final.output_tokens) == ("estimated", 100, 8)


@pytest.mark.parametrize("usage", [{}, {"output_tokens": 0}, {"output_tokens": None}, None])
def test_the_output_that_stands_at_a_messages_start_is_none(usage: Any) -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    words = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word" * 10}}
    meter = answered(MESSAGES, start, words, {"type": "message_delta", "delta": {}, "usage": usage}, stream=True)
    final = bill(call_of(alias_of(PRICE), MESSAGES), meter)
    assert (final.usage_source, final.input_tokens, final.output_tokens) == ("estimated", 9, 10)


def test_embeddings_have_no_output_that_could_be_missing() -> None:
    meter = answered(CHAT, {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 8}})
    final = bill(call_of(alias_of(Price(input=Decimal(1)), "embeddings")), meter)
    assert (final.usage_source, final.input_tokens, final.output_tokens, final.cost) == ("reported", 8, 0, 8_000)


def test_an_answer_of_the_responses_api_with_zeros_and_a_text_is_estimated() -> None:
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    meter = answered(RESPONSES, {"output": [{"type": "message", "content": [{"text": "word" * 10}]}], "usage": usage})
    final = bill(call_of(alias_of(PRICE), RESPONSES), meter)
    assert final.usage_source == "estimated"
    assert final.input_tokens == 100
    assert final.output_tokens > 10


def test_an_answer_in_the_background_is_not_known() -> None:
    call = call_of(alias_of(PRICE), RESPONSES)
    call.background = True
    final = bill(call, answered(RESPONSES, {"status": "queued", "output": [], "usage": None}))
    assert (final.usage_source, final.cost) == ("none", None)


# what is learned


def test_hidden_reasoning_is_not_learned_as_text() -> None:
    estimator, alias = Estimator(), alias_of(PRICE)
    usage = {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49}
    usage["completion_tokens_details"] = {"reasoning_tokens": 30}  # type: ignore[assignment]
    for _ in range(200):
        call = call_of(alias, text_in=0)
        call.plain = True
        bill(call, said("word" * 10, usage), estimator)
    assert estimator.estimate("key_1", "core", 0, 400)[1] == pytest.approx(100, abs=2)


@pytest.mark.parametrize(("plain", "learned"), [(True, 400), (False, 100)])
def test_a_body_with_more_than_text_in_it_teaches_nothing(plain: bool, learned: int) -> None:
    estimator, alias = Estimator(), alias_of(PRICE)
    for _ in range(1_000):
        call = call_of(alias)
        call.plain = plain
        final = bill(call, said("", {"prompt_tokens": 400, "completion_tokens": 0, "total_tokens": 400}), estimator)
        # Nor does its row at the next start.
        assert bool(final.text_in) == plain
    assert estimator.estimate("key_1", "core", 400, 0)[0] == pytest.approx(learned, abs=5)


# what has no price


@pytest.mark.parametrize(
    ("price", "usage", "cost", "lacking"),
    [
        ({}, {"prompt_tokens_details": {"audio_tokens": 40}}, None, "audio_input"),
        ({"audio_input": 10}, {"prompt_tokens_details": {"audio_tokens": 40}}, 60 * 1000 + 40 * 10_000 + 50 * 4000, ""),
        ({}, {"prompt_tokens_details": {"image_tokens": 40}}, 100 * 1000 + 50 * 4000, ""),
        ({"image_input": 3}, {"prompt_tokens_details": {"image_tokens": 40}}, 60 * 1000 + 40 * 3000 + 50 * 4000, ""),
        ({}, {"completion_tokens_details": {"audio_tokens": 50, "image_tokens": 0}}, None, "audio_output"),
        ({"audio_output": 20}, {"completion_tokens_details": {"audio_tokens": 50}}, 100 * 1000 + 50 * 20_000, ""),
        ({}, {"completion_tokens_details": {"image_tokens": 50}}, None, "image_output"),
        (
            {"cache_write": 2},
            {"prompt_tokens_details": {"cached_tokens": 20}, "cache_creation": {"ephemeral_1h_input_tokens": 40}},
            None,
            "cache_write_1h",
        ),
        (
            {"cache_write": 2, "cache_write_1h": 8, "cached_input": 0},
            {
                "prompt_tokens_details": {"cached_tokens": 20},
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 40},
            },
            30 * 1000 + 10 * 2000 + 40 * 8000 + 50 * 4000,
            "",
        ),
        ({}, {"server_tool_use": {"web_search_requests": 2}}, None, "web_search"),
        ({"web_search": 10}, {"server_tool_use": {"web_search_requests": 2}}, 20_000_000 + 300_000, ""),
        ({}, {"server_tool_use": {"code_execution_requests": 1}}, None, "tool_call"),
        ({}, {"iterations": [{"type": "advisor_message", "output_tokens": 5}]}, None, "advisor_output"),
        ({"advisor_output": 25}, {"iterations": [{"type": "advisor_message", "output_tokens": 5}]}, 425_000, ""),
        ({}, {"service_tier": "priority"}, None, "tiers.priority"),
        ({"tiers": {"priority": {"input": 2, "output": 8}}}, {"service_tier": "priority"}, 600_000, ""),
        ({"tiers": {"priority": {"input": 2}}}, {"service_tier": "priority"}, None, "output"),
        ({"tiers": {"priority": {"input": 2, "output": 8}}}, {"service_tier": "default"}, 300_000, ""),
        ({}, {"cost": 0.5}, 300_000, ""),
        (
            {},
            {"service_tier": "standard", "server_tool_use": {"web_search_requests": 1, "bash_requests": 1}},
            None,
            "web_search, tool_call",
        ),
    ],
)
def test_what_is_billed_apart_has_its_own_price_or_none(
    price: dict[str, Any], usage: dict[str, Any], cost: int | None, lacking: str
) -> None:
    def decimals(value: Any) -> Any:
        return {key: decimals(one) for key, one in value.items()} if isinstance(value, dict) else str(value)

    alias = alias_of(msgspec.convert({"input": "1", "output": "4", **decimals(price)}, Price))
    final = bill(call_of(alias), said("", {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150} | usage))
    assert (final.cost, final.unpriced_parts) == (cost, lacking)
    assert (final.input_tokens, final.output_tokens) == (100, 50)
    assert read_again(final) == final


def test_the_providers_own_cost_stands_beside_ours() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cost": 0.00014}
    final = bill(call_of(alias_of(PRICE)), said("x", usage))
    assert (final.cost, final.provider_cost) == (150 * 600_000, 140_000)


@pytest.mark.parametrize(("usage", "tier"), [(None, "priority"), ({"prompt_tokens": 9, "completion_tokens": 3}, "")])
def test_an_answer_that_was_not_counted_is_of_the_tier_that_was_asked_for(usage: Any, tier: str) -> None:
    call = call_of(alias_of(PRICE))
    call.body.fields["service_tier"] = msgspec.Raw(b'"priority"')
    final = bill(call, said("x", usage))
    assert (final.service_tier, final.cost is None) == (tier, bool(tier))


@pytest.mark.parametrize(
    ("dialect", "values", "stream"),
    [
        (CHAT, [{"choices": [], "service_tier": "flex", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}], False),
        (
            CHAT,
            [{"choices": [], "service_tier": "flex"}, {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}],
            True,
        ),
        (RESPONSES, [{"service_tier": "flex", "usage": {"input_tokens": 1, "output_tokens": 1}}], False),
        (
            RESPONSES,
            [
                {"type": "response.created", "response": {"service_tier": "auto", "usage": None}},
                {
                    "type": "response.completed",
                    "response": {"service_tier": "flex", "usage": {"input_tokens": 1, "output_tokens": 1}},
                },
            ],
            True,
        ),
        (MESSAGES, [{"usage": {"input_tokens": 1, "output_tokens": 1, "service_tier": "flex"}}], False),
        (
            MESSAGES,
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 1, "service_tier": "flex"}}},
                {"type": "message_delta", "usage": {"output_tokens": 1}},
            ],
            True,
        ),
        (
            GENERATE,
            [{"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "serviceTier": "flex"}}],
            False,
        ),
    ],
)
def test_the_service_tier_is_found_wherever_it_stands(dialect: Dialect, values: list[Any], stream: bool) -> None:
    final = bill(call_of(alias_of(PRICE), dialect), answered(dialect, *values, stream=stream))
    assert (final.service_tier, final.cost, final.input_tokens) == ("flex", None, 1)


@pytest.mark.parametrize(
    ("dialect", "value", "stream"),
    [
        (RESPONSES, {"output": [{"type": "web_search_call"}, {"type": "message"}, {"type": "web_search_call"}]}, False),
        (
            RESPONSES,
            {"type": "response.completed", "response": {"output": [{"type": "web_search_call"}] * 2}},
            True,
        ),
        (GENERATE, {"candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}]}, True),
    ],
)
def test_searches_that_the_usage_does_not_count_are_counted(dialect: Dialect, value: Any, stream: bool) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "promptTokenCount": 1, "candidatesTokenCount": 1}
    value = value | {"usage": usage, "usageMetadata": usage}
    if "response" in value:
        value["response"] = value["response"] | {"usage": usage}
    final = bill(call_of(alias_of(PRICE), dialect), answered(dialect, value, stream=stream))
    assert (final.searches, final.unpriced_parts) == (2, "web_search")


def test_a_rerankers_search_units_are_billed() -> None:
    meter = answered(CHAT, {"results": [], "meta": {"billed_units": {"search_units": 3}}})
    final = bill(call_of(alias_of(Price(search_unit=Decimal(2)), "rerank")), meter)
    assert (final.searches, final.cost, final.usage_source) == (3, 6_000_000, "reported")


def test_sound_that_was_not_counted_has_no_cost() -> None:
    meter = answered(MEDIA)
    final = bill(call_of(alias_of(Price(input=Decimal(1), output=Decimal(12)), "speech"), MEDIA), meter)
    assert (final.usage_source, final.cost, final.unpriced_parts) == ("estimated", None, "audio_output")
    free = bill(call_of(alias_of(Price(input=Decimal(1)), "speech"), MEDIA), meter)
    assert free.cost == 100_000


def test_images_whose_tokens_were_not_counted_have_no_cost() -> None:
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    alias = alias_of(PRICE, "image")
    assert bill(call_of(alias, MEDIA, "images"), answered(MEDIA, {"data": [{}], "usage": usage})).cost is None
    assert bill(call_of(alias, MEDIA, "images"), answered(MEDIA)).cost is None


@pytest.mark.parametrize(
    ("usage", "changes", "source", "cost"),
    [
        # What shows again what is billed already, or makes nothing.
        (None, {}, "none", 0),
        # What makes something that is counted nowhere, unless the upstream was not called, or refused.
        (None, {"is_paid": True}, "none", None),
        (None, {"is_paid": True, "outcome": "client_closed", "status": 499}, "none", None),
        (None, {"is_paid": True, "outcome": "upstream_cut"}, "none", None),
        (None, {"is_paid": True, "outcome": "upstream_error", "status": 400}, "none", 0),
        (None, {"is_paid": True, "outcome": "upstream_error", "first_write": 0.0}, "none", 0),
        (None, {"is_paid": True, "attempts": 0}, "none", 0),
        # What was counted.
        (Usage(input_tokens=10, output_tokens=5), {"is_paid": True}, "reported", 15 * 600_000),
        (Usage(input_tokens=10, output_known=False), {"is_paid": True}, "reported", None),
    ],
)
def test_a_request_for_a_resource_costs_what_it_makes(
    usage: Usage | None, changes: dict[str, Any], source: str, cost: int | None
) -> None:
    alias = alias_of(PRICE)
    call = call_of(alias)
    settings: dict[str, Any] = {
        "is_paid": False,
        "outcome": "complete",
        "status": 200,
        "attempts": 1,
        "first_write": call.arrived,
    }
    final = resource_record(
        call,
        alias="core",
        price=alias.price,
        upstream="vendor",
        upstream_model="model",
        usage=usage,
        error_code=None,
        waited=0.0,
        bytes_out=10,
        **(settings | changes),
    )
    assert (final.usage_source, final.cost) == (source, cost)
    called = settings | changes
    assert final.upstream == ("vendor" if called["attempts"] else "")
