"""What of usage was not given, what is billed apart, and several usage objects of one answer."""

import json
from typing import Any

import pytest

from proxy.wire.schemas import Parts, Usage
from proxy.wire.usage import covers, read_usage, reading, tier_of, usage_of
from tests.usage import counts_of

# what no count was given for


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, (True, True)),
        ({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}, (True, True)),
        ({"prompt_tokens": 9, "total_tokens": 9}, (True, True)),
        ({"prompt_tokens": 9, "total_tokens": 12}, (True, True)),
        ({"completion_tokens": 3, "total_tokens": 12}, (True, True)),
        ({"input_tokens": 14}, (True, False)),
        ({"output_tokens": 8}, (False, True)),
        ({"input_tokens": None, "output_tokens": 8}, (False, True)),
        ({"input_tokens": 0, "output_tokens": 8}, (False, True)),
        ({"input_tokens": -5, "output_tokens": 8}, (False, True)),
        ({"input_tokens": "5", "output_tokens": 8}, (False, True)),
        ({"input_tokens": True, "output_tokens": 8}, (False, True)),
        ({"input_tokens": 10**12 + 1, "output_tokens": 8}, (False, True)),
        ({"input_tokens": 1e300, "output_tokens": 8}, (False, True)),
        ({"input_tokens": 9, "output_tokens": 10**12 + 1}, (True, False)),
        ({"output_tokens": 8, "cache_read_input_tokens": 5000}, (False, True)),
        ({"total_tokens": 17}, (False, False)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (True, True)),
        ({"type": "duration", "seconds": 2}, (True, True)),
        ({"cost": 0.5}, (False, False)),
        ({"promptTokenCount": 9, "thoughtsTokenCount": 20}, (True, True)),
    ],
)
def test_a_count_that_was_not_given_is_not_known(usage: dict[str, Any], known: tuple[bool, bool]) -> None:
    found = read_usage(json.dumps(usage).encode())
    assert found is not None
    assert (found.input_known, found.output_known) == known


# what is billed apart


def gemini_kinds(**tokens: int) -> list[dict[str, Any]]:
    return [{"modality": kind, "tokenCount": number} for kind, number in tokens.items()]


@pytest.mark.parametrize(
    ("usage", "parts"),
    [
        ({"prompt_tokens_details": {"audio_tokens": 4, "image_tokens": 3}}, Parts(0, 4, 0, 3)),
        ({"completion_tokens_details": {"audio_tokens": 5, "image_tokens": 2}}, Parts(0, 0, 5, 0, 2)),
        (
            {
                "input_token_details": {
                    "audio_tokens": 4,
                    "cached_tokens": 3,
                    "cached_tokens_details": {"audio_tokens": 3},
                }
            },
            Parts(0, 1),
        ),
        (
            {
                "promptTokensDetails": gemini_kinds(TEXT=1, AUDIO=4, IMAGE=3),
                "candidatesTokensDetails": gemini_kinds(AUDIO=5, IMAGE=2),
                "cacheTokensDetails": gemini_kinds(IMAGE=1),
            },
            Parts(0, 4, 5, 2, 2),
        ),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4}},
            Parts(4),
        ),
        (
            {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
            Parts(4),
        ),
        ({"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 9}}, Parts(searches=3)),
        ({"server_tool_use": {"code_execution_requests": 2}}, Parts(tool_calls=2)),
        ({"num_search_queries": 4}, Parts(searches=4)),
        ({"billed_units": {"search_units": 2}}, Parts(searches=2)),
        (
            {"iterations": [{"type": "advisor_message", "model": "m", "input_tokens": 2518, "output_tokens": 22}]},
            Parts(advisor_input_tokens=2518, advisor_output_tokens=22),
        ),
        ({"service_tier": "priority"}, Parts(service_tier="priority")),
        ({"serviceTier": "Flex"}, Parts(service_tier="flex")),
        ({"speed": "fast"}, Parts(service_tier="fast")),
        ({"inference_geo": "US"}, Parts(service_tier="us")),
        (
            {"service_tier": "priority", "speed": "fast", "inference_geo": "us"},
            Parts(service_tier="priority-fast-us"),
        ),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, Parts(service_tier="provisioned_throughput")),
        ({"cost": 0.00014}, Parts(provider_cost=140_000)),
        ({"cost": "0.00014"}, Parts(provider_cost=140_000)),
        ({"cost": 0}, Parts(provider_cost=0)),
        ({"cost": {"total_cost": 0.006, "input_tokens_cost": 0.001}}, Parts(provider_cost=6_000_000)),
        ({"estimated_cost": 1.5e-7}, Parts(provider_cost=150)),
        ({"cost_in_usd_ticks": 12345}, Parts(provider_cost=1234)),
    ],
)
def test_what_is_billed_apart_is_seen(usage: dict[str, Any], parts: Parts) -> None:
    found = read_usage(json.dumps({"input_tokens": 100, "output_tokens": 50, "total_tokens": 150} | usage).encode())
    assert found is not None
    assert found.parts == parts


@pytest.mark.parametrize(
    "usage",
    [
        {"service_tier": "standard"},
        {"service_tier": "standard", "speed": "standard", "inference_geo": "global"},
        {"inference_geo": "not_available"},
        {"speed": 1.0},
        {"trafficType": "TRAFFIC_TYPE_UNSPECIFIED"},
        {"service_tier": "default"},
        {"trafficType": "ON_DEMAND"},
        {"service_tier": 7},
        {"service_tier": "a\nb"},
        {"cost": -1},
        {"cost": "much"},
        {"cost": "NaN"},
        {"cost": "1e999999"},
        {"cost": True},
        {"cost": 1e300},
        {"cost": [1]},
        {"server_tool_use": {"web_search_requests": -3}},
        {"iterations": "odd"},
        {"iterations": [{"type": "message", "input_tokens": 100, "output_tokens": 50}]},
        {"promptTokensDetails": [7, {"modality": 5}, {"modality": "AUDIO", "tokenCount": "4"}]},
    ],
)
def test_what_says_nothing_of_it_is_nothing(usage: dict[str, Any]) -> None:
    assert read_usage(json.dumps({"input_tokens": 100, "output_tokens": 50} | usage).encode()) == Usage(100, 0, 0, 50)


def test_a_tier_is_bounded() -> None:
    assert len(tier_of("x" * 10_000)) == 32


# several usage objects of one answer


@pytest.mark.parametrize(
    ("objects", "meaning"),
    [
        (
            [
                {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
                {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            ],
            Usage(10, 0, 0, 5),
        ),
        ([{"prompt_tokens": 10, "completion_tokens": 5}, {}], Usage(10, 0, 0, 5)),
        ([{"prompt_tokens": 10, "completion_tokens": 5}, {"prompt_tokens": None}], Usage(10, 0, 0, 5)),
        (
            [{"prompt_tokens": 10, "completion_tokens": 5}, {"input_tokens": -1, "output_tokens": 1e99}],
            Usage(10, 0, 0, 5),
        ),
        ([{"prompt_tokens": 10, "completion_tokens": 5}, {"output_tokens": 7}], Usage(10, 0, 0, 7)),
        (
            [{"prompt_tokens": 15, "completion_tokens": 1}, {"prompt_tokens": 13, "completion_tokens": 3}],
            Usage(13, 0, 0, 3),
        ),
        (
            [
                {"prompt_tokens": 1000, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 900}},
                {"prompt_tokens": 1000, "completion_tokens": 9, "prompt_tokens_details": None},
            ],
            Usage(1000, 900, 0, 9),
        ),
        (
            [
                {"input_tokens": 1000, "cache_read_input_tokens": 5000, "output_tokens": 1},
                {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 50},
            ],
            Usage(6000, 5000, 0, 50),
        ),
        (
            [
                {"input_tokens": 1000, "cache_read_input_tokens": 5000, "output_tokens": 1},
                {"input_tokens": 1000, "output_tokens": 50},
            ],
            Usage(6000, 5000, 0, 50),
        ),
        (
            [
                {
                    "promptTokenCount": 20,
                    "candidatesTokenCount": 198,
                    "thoughtsTokenCount": 405,
                    "totalTokenCount": 623,
                },
                {"promptTokenCount": 20, "totalTokenCount": 20},
            ],
            Usage(20, 0, 0, 603, 405),
        ),
        # A total is the sum of the counts beside it, and not of later ones.
        (
            [{"promptTokenCount": 15, "totalTokenCount": 15}, {"promptTokenCount": 13, "candidatesTokenCount": 1}],
            Usage(13, 0, 0, 1),
        ),
        (
            [
                {"prompt_tokens": 900, "completion_tokens": 0, "total_tokens": 900},
                {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 90}},
            ],
            Usage(100, 90, 0, 5),
        ),
    ],
)
def test_no_later_zero_replaces_a_count(objects: list[dict[str, Any]], meaning: Usage) -> None:
    first, second = (reading(json.dumps(one).encode()) for one in objects)
    assert counts_of(usage_of(first.under(second))) == meaning


@pytest.mark.parametrize(
    ("earlier", "later", "covered"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 1}, {"prompt_tokens": 8, "completion_tokens": 3}, True),
        ({"prompt_tokens": 9, "completion_tokens": 0}, {"prompt_tokens": 8}, True),
        ({"prompt_tokens": 9}, {"prompt_tokens": 0}, False),
        ({"prompt_tokens": 9}, {"prompt_tokens": -1}, False),
        ({"prompt_tokens": 9}, {"prompt_tokens": 10**13}, False),
        ({"prompt_tokens": 9}, {"prompt_tokens": "9"}, False),
        ({"prompt_tokens": 9}, {"input_tokens": 9}, False),
        ({"details": {"cached_tokens": 4}}, {"details": {"cached_tokens": 0}}, False),
        ({"details": {"cached_tokens": 4}}, {"details": None}, False),
        ({"details": {"cached_tokens": 4}}, {"details": {"cached_tokens": 5}}, True),
        ({"iterations": [{"type": "compaction"}]}, {"iterations": []}, False),
        ({"service_tier": "flex"}, {"service_tier": None}, False),
    ],
)
def test_an_earlier_object_is_forgotten_only_where_a_later_one_counts_the_same(
    earlier: dict[str, Any], later: dict[str, Any], covered: bool
) -> None:
    assert covers(json.dumps(later).encode(), json.dumps(earlier).encode()) is covered
