"""Usage objects in all spellings: the same counts whoever writes them, and None where nothing can be billed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.schemas import MAX_COUNT, Usage
from proxy.wire.usage import _read_any, count, read_usage
from tests.usage import counts_of

#: (whose, usage object, what it says)
SPELLINGS: tuple[tuple[str, dict[str, Any], Usage], ...] = (
    ("chat, bare", {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, Usage(9, 0, 0, 3)),
    (
        "OpenAI chat",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0, "text_tokens": 100, "image_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 40,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        Usage(100, 64, 0, 50, 40),
    ),
    (
        "OpenAI chat, cache written",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 30},
        },
        Usage(100, 64, 30, 50),
    ),
    (
        "Azure, with a checkpoint",
        {"completion_tokens": 5, "latency_checkpoint": {"engine_ttft_ms": 41}, "prompt_tokens": 8, "total_tokens": 13},
        Usage(8, 0, 0, 5),
    ),
    (
        "details that are null",
        {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "total_tokens": 9,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        Usage(7, 0, 0, 2),
    ),
    (
        "details with nulls",
        {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": None},
        },
        Usage(7, 0, 0, 2),
    ),
    (
        "Responses",
        {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 4},
            "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 123,
        },
        Usage(36, 30, 4, 87, 64),
    ),
    (
        "transcription by tokens, details in the singular",
        {
            "type": "tokens",
            "total_tokens": 44,
            "input_tokens": 30,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 30, "cached_tokens": 5},
            "output_tokens": 14,
        },
        Usage(30, 5, 0, 14),
    ),
    ("transcription by duration", {"type": "duration", "seconds": 2}, Usage(audio_milliseconds=2000)),
    ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(8)),
    (
        "DeepSeek",
        {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 30,
            "prompt_cache_hit_tokens": 16,
            "prompt_cache_miss_tokens": 4,
            "completion_tokens_details": {"reasoning_tokens": 6},
        },
        Usage(20, 16, 0, 10, 6),
    ),
    (
        "DeepSeek, both spellings",
        {
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 16},
            "prompt_cache_hit_tokens": 16,
        },
        Usage(20, 16, 0, 10),
    ),
    (
        "Azure DeepSeek, reasoning flat",
        {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14, "reasoning_tokens": 7},
        Usage(5, 0, 0, 9, 7),
    ),
    (
        "Together and Moonshot, cache flat",
        {"prompt_tokens": 15, "completion_tokens": 9, "total_tokens": 24, "cached_tokens": 10},
        Usage(15, 10, 0, 9),
    ),
    (
        "vLLM",
        {
            "prompt_tokens": 15,
            "total_tokens": 24,
            "completion_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 8, "created_cache_tokens": 7, "multimodal_tokens": None},
        },
        Usage(15, 8, 7, 9),
    ),
    (
        "xAI, reasoning in the total alone",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {"text_tokens": 32, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 94, "audio_tokens": 0},
            "num_sources_used": 0,
            "cost_in_usd_ticks": 12,
        },
        Usage(32, 6, 0, 103, 94),
    ),
    (
        "OpenRouter, with a cost",
        {
            "prompt_tokens": 10,
            "completion_tokens": 4,
            "total_tokens": 14,
            "cost": 0.000123,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
        },
        Usage(10, 0, 0, 4),
    ),
    (
        "Groq, with times",
        {"queue_time": 0.02, "prompt_tokens": 10, "prompt_time": 0.001, "completion_tokens": 4, "total_tokens": 14},
        Usage(10, 0, 0, 4),
    ),
    (
        "Anthropic, whose input leaves the cache out",
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 200,
            "cache_read_input_tokens": 3000,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 20},
            "service_tier": "standard",
        },
        Usage(3210, 3000, 200, 50, 20),
    ),
    (
        "Anthropic, without a cache",
        {"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 5},
        Usage(10, 0, 0, 5),
    ),
    (
        "Anthropic, cache null",
        {"input_tokens": 10, "cache_creation_input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 5},
        Usage(10, 0, 0, 5),
    ),
    ("Anthropic token count", {"input_tokens": 14}, Usage(14)),
    (
        "a chat server that passes Anthropic's counts along",
        {
            "prompt_tokens": 3210,
            "completion_tokens": 50,
            "total_tokens": 3260,
            "cache_creation_input_tokens": 200,
            "cache_read_input_tokens": 3000,
        },
        Usage(3210, 3000, 200, 50),
    ),
    (
        "Mistral audio",
        {"prompt_audio_seconds": 203, "prompt_tokens": 4, "total_tokens": 3264, "completion_tokens": 635},
        Usage(2629, 0, 0, 635, audio_milliseconds=203_000),
    ),
    ("rerank, a total alone", {"total_tokens": 17}, Usage(17)),
    ("the output only in the total", {"prompt_tokens": 10, "total_tokens": 14}, Usage(10, 0, 0, 4)),
    ("nothing used", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Usage()),
    (
        "chat counts with details of Responses",
        {
            "prompt_tokens": 10,
            "completion_tokens": 6,
            "total_tokens": 16,
            "input_tokens_details": {"cached_tokens": 8},
            "output_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(10, 8, 0, 6, 5),
    ),
    (
        "both pairs",
        {"prompt_tokens": 3, "input_tokens": 3, "completion_tokens": 4, "output_tokens": 4},
        Usage(3, 0, 0, 4),
    ),
    ("counts as floats", {"prompt_tokens": 3.0, "completion_tokens": 4.0}, Usage(3, 0, 0, 4)),
    (
        "more read from the cache than was given",
        {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "prompt_tokens_details": {"cached_tokens": 9}},
        Usage(12, 9, 0, 1),
    ),
    ("a total below its parts", {"prompt_tokens": 10, "total_tokens": 4}, Usage(10)),
    ("one side alone", {"completion_tokens": 4}, Usage(0, 0, 0, 4)),
    (
        "counts that are no counts",
        {"prompt_tokens": "9", "completion_tokens": 3, "total_tokens": True},
        Usage(0, 0, 0, 3),
    ),
    ("negative counts", {"prompt_tokens": -9, "completion_tokens": 3, "total_tokens": -6}, Usage(0, 0, 0, 3)),
    (
        "details that are no objects",
        {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "prompt_tokens_details": [7]},
        Usage(3, 0, 0, 1),
    ),
    ("counts beyond reason", {"prompt_tokens": 10**12 + 1, "completion_tokens": 3}, Usage(0, 0, 0, 3)),
    (
        "more in the total than in its parts",
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        Usage(20, 0, 0, 603),
    ),
    (
        "details in the singular, chat",
        {
            "prompt_tokens": 801,
            "completion_tokens": 20,
            "total_tokens": 821,
            "prompt_token_details": {"cached_tokens": 768},
            "completion_token_details": {"reasoning_tokens": 18},
        },
        Usage(801, 768, 0, 20, 18),
    ),
    (
        "cache flat, by another name",
        {"prompt_tokens": 801, "completion_tokens": 2, "total_tokens": 803, "num_cached_tokens": 768},
        Usage(801, 768, 0, 2),
    ),
    (
        "cache writes in the details, by Anthropic's name",
        {
            "prompt_tokens": 1905,
            "completion_tokens": 10,
            "total_tokens": 1915,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 1889},
        },
        Usage(1905, 0, 1889, 10),
    ),
    (
        "zeros in one spelling, counts in the other",
        {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 150,
            "input_tokens": 100,
            "output_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 0},
            "input_tokens_details": {"cached_tokens": 60},
        },
        Usage(100, 60, 0, 50),
    ),
    (
        "flat zeros beside details that count",
        {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "total_tokens": 1010,
            "prompt_tokens_details": {"cached_tokens": 900},
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        },
        Usage(1000, 900, 0, 10),
    ),
    (
        "details with zeros beside flat counts",
        {
            "input_tokens": 1000,
            "output_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
            "cached_tokens": 900,
            "reasoning_tokens": 4,
        },
        Usage(1000, 900, 0, 10, 4),
    ),
    (
        "cached tokens beside the prompt",
        {
            "prompt_tokens": 13,
            "completion_tokens": 5,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 22000},
        },
        Usage(22013, 22000, 0, 5),
    ),
    (
        "cached tokens beside the prompt, and in the total",
        {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1910, "cached_tokens": 900},
        Usage(1900, 900, 0, 10),
    ),
    (
        "Azure's Grok",
        {
            "prompt_tokens": 31,
            "completion_tokens": 9,
            "total_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 161, "text_tokens": 31},
        },
        Usage(192, 161, 0, 9),
    ),
    (
        "cached and written beside the input, though each could be a part of it",
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 70},
        },
        Usage(230, 60, 70, 50),
    ),
    (
        "thoughts in the total alone",
        {"completion_tokens": 12, "prompt_tokens": 35, "total_tokens": 109},
        Usage(35, 0, 0, 74),
    ),
    (
        "Mistral audio in a chat",
        {
            "prompt_audio_seconds": 3,
            "prompt_tokens": 9,
            "completion_tokens": 248,
            "total_tokens": 632,
            "prompt_tokens_details": {"audio_tokens": 375},
        },
        Usage(384, 0, 0, 248, audio_milliseconds=3000),
    ),
    ("the input only in the total", {"completion_tokens": 4, "total_tokens": 14}, Usage(10, 0, 0, 4)),
    ("a total that is null", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": None}, Usage(9, 0, 0, 4)),
    (
        "a total beside zeros",
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 150},
        Usage(150),
    ),
    (
        "Anthropic, cache writes by their length alone",
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
        },
        Usage(1010, 0, 1000, 5),
    ),
    (
        "Anthropic, all of it from the cache",
        {"input_tokens": 0, "cache_read_input_tokens": 5000, "output_tokens": 5},
        Usage(5000, 5000, 0, 5),
    ),
    (
        "Anthropic, compacted",
        {
            "input_tokens": 23000,
            "output_tokens": 1000,
            "iterations": [
                {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500},
                {"type": "message", "input_tokens": 23000, "output_tokens": 1000},
            ],
        },
        Usage(203000, 0, 0, 4500),
    ),
    (
        "Anthropic, compacted from the cache and into it",
        {
            "input_tokens": 181,
            "output_tokens": 8,
            "cache_read_input_tokens": 0,
            "iterations": [
                {
                    "type": "compaction",
                    "input_tokens": 100,
                    "output_tokens": 83,
                    "cache_read_input_tokens": 55096,
                    "cache_creation_input_tokens": 7,
                },
                {"type": "compaction", "input_tokens": -4, "output_tokens": "9", "cache_read_input_tokens": 10**13},
                {"type": "fallback", "input_tokens": 50, "output_tokens": 5},
                "odd",
            ],
        },
        Usage(181 + 100 + 55096 + 7, 55096, 7, 91),
    ),
    (
        "Gemini",
        {
            "promptTokenCount": 20,
            "candidatesTokenCount": 198,
            "thoughtsTokenCount": 405,
            "toolUsePromptTokenCount": 7,
            "totalTokenCount": 630,
        },
        Usage(27, 0, 0, 603, 405),
    ),
    (
        "Gemini, thoughts in the total alone",
        {"promptTokenCount": 20, "candidatesTokenCount": 198, "totalTokenCount": 623},
        Usage(20, 0, 0, 603),
    ),
    (
        "Gemini, cached beside the prompt",
        {
            "promptTokenCount": 20,
            "candidatesTokenCount": 8,
            "cachedContentTokenCount": 500,
            "totalTokenCount": 528,
        },
        Usage(520, 500, 0, 8),
    ),
    (
        "Cohere, which bills other counts than it counts",
        {
            "billed_units": {"input_tokens": 5, "output_tokens": 7},
            "tokens": {"input_tokens": 70, "output_tokens": 9},
        },
        Usage(5, 0, 0, 7),
    ),
)

NOTHING = (
    b"", b"null", b"{}", b"[]", b"7", b'"usage"', b"garbage", b'{"prompt_tokens":', b"\xff", b'{"cost":"0"}',
    b'{"prompt_tokens":null,"completion_tokens":null,"total_tokens":null}', b'{"trafficType":"ON_DEMAND"}',
    b'{"seconds":0}', b'{"seconds":"2"}', b'{"prompt_tokens_details":{"cached_tokens":3}}', b"[" * 10_000,
)  # fmt: skip


@pytest.mark.parametrize(("usage", "meaning"), [row[1:] for row in SPELLINGS], ids=[row[0] for row in SPELLINGS])
def test_each_spelling_means_the_same(usage: dict[str, Any], meaning: Usage) -> None:
    assert counts_of(read_usage(json.dumps(usage).encode())) == meaning


@pytest.mark.parametrize(("usage", "meaning"), [row[1:] for row in SPELLINGS], ids=[row[0] for row in SPELLINGS])
def test_the_order_and_the_spacing_of_the_keys_do_not_matter(usage: dict[str, Any], meaning: Usage) -> None:
    assert counts_of(read_usage(json.dumps(dict(reversed(usage.items())), indent=2).encode())) == meaning


@pytest.mark.parametrize("raw", NOTHING)
def test_what_says_nothing_is_none(raw: bytes) -> None:
    assert read_usage(raw) is None


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(2, 2000), (1.7, 1700), (0.0001, 1), (1.2341, 1235), (59.999, 59_999), (10**9, 10**12)],
)
def test_seconds_are_rounded_up_to_milliseconds(seconds: float, milliseconds: int) -> None:
    usage = read_usage(json.dumps({"type": "duration", "seconds": seconds}).encode())
    assert usage == Usage(audio_milliseconds=milliseconds)


@pytest.mark.parametrize("seconds", [-1, 10**9 + 1, True, None, "2", [2]])
def test_seconds_that_are_none_count_nothing(seconds: Any) -> None:
    assert counts_of(read_usage(json.dumps({"prompt_tokens": 1, "seconds": seconds}).encode())) == Usage(1)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (7, 7),
        (0, 0),
        (7.9, 7),
        (10**12, 10**12),
        (10**12 + 1, None),
        (-1, None),
        (True, None),
        ("7", None),
        (None, None),
        (float("inf"), None),
    ],
)
def test_a_count_is_a_number_within_reason(value: Any, found: int | None) -> None:
    assert count(value) == found


INPUT_DETAILS = ("prompt_token_details", "prompt_tokens_details", "input_tokens_details", "input_token_details")
OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
INPUT_PARTS = ("cached_tokens", "cache_write_tokens", "created_cache_tokens", "cache_creation_tokens", "audio_tokens")
OUTPUT_PARTS = ("reasoning_tokens", "thinking_tokens", "audio_tokens")
OTHERS = (
    "num_cached_tokens",
    "cache_write_tokens",
    "an_unheard_of_key",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "reasoning_tokens",
    "seconds",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_audio_seconds",
    "cost",
)

numbers = st.integers(0, 9) | st.sampled_from([None, 0, 7, -1, 2.0, True, "3", 10**12, 10**12 + 1, 2**63, 10**30, [7]])


def some(names: tuple[str, ...], values: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=most)


usages = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    some(("prompt_tokens", "completion_tokens", "total_tokens"), numbers, 3),
    some(OTHERS, numbers, 3),
    some(INPUT_DETAILS, numbers | some(INPUT_PARTS, numbers, 3), 2),
    some(OUTPUT_DETAILS, numbers | some(OUTPUT_PARTS, numbers, 2), 2),
)


@given(usages, st.integers(0, 9), st.integers(0, 9), st.sampled_from([0, 0, 0, 1, 5, -1]))
def test_the_short_way_reads_what_the_careful_way_reads(usage: dict[str, Any], given: int, made: int, odd: int) -> None:
    usage |= {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made + odd}
    raw = json.dumps(usage).encode()
    assert read_usage(raw) == _read_any(raw)


@given(usages)
def test_no_part_is_larger_than_its_whole_nor_negative(usage: dict[str, Any]) -> None:
    found = read_usage(json.dumps(usage).encode())
    if found is None:
        return
    assert 0 <= found.cached_input_tokens <= found.input_tokens
    assert 0 <= found.cache_write_tokens <= found.input_tokens
    assert min(found.output_tokens, found.reasoning_tokens, found.audio_milliseconds) >= 0
    assert max(found.input_tokens, found.output_tokens, found.reasoning_tokens, found.audio_milliseconds) <= MAX_COUNT


@given(st.binary(max_size=40))
def test_garbage_is_none(raw: bytes) -> None:
    assert read_usage(b"\x00" + raw) is None
