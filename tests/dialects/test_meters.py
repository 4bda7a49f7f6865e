"""What the meters of all dialects share: finish reasons, choices, errors, and usage over several objects."""

import msgspec
import pytest

from proxy.dialects.meters import EMPTY, ChoicesMeter, choices_in, is_error, is_finish_reason, text_size, try_decode
from proxy.dialects.openai_chat import CHAT
from tests.dialects.answers import ALIAS, UPSTREAM, read_events


@pytest.mark.parametrize(
    ("raw", "given"),
    [
        (b'"stop"', True),
        (b'"STOP"', True),
        (b'"unknown_reason"', True),
        (b"1", True),
        (b"", False),
        (b"null", False),
        (b'""', False),
        (b'"  "', False),
        (b'"None"', False),
        (b'"FINISH_REASON_UNSPECIFIED"', False),
        (b"false", False),
        (b"0", False),
        (b"{}", False),
    ],
)
def test_a_word_for_none_is_no_finish_reason(raw: bytes, given: bool) -> None:
    assert is_finish_reason(msgspec.Raw(raw)) is given


@pytest.mark.parametrize(
    ("raw", "given"),
    [(b"", False), (b"null", False), (b"false", False), (b'""', False), (b"{}", True), (b'"oops"', True), (b"1", True)],
)
def test_an_error_without_a_value_is_none(raw: bytes, given: bool) -> None:
    assert is_error(msgspec.Raw(raw) if raw else EMPTY) is given


@pytest.mark.parametrize(
    ("raw", "size"), [(b'"word"', 4), (b'""', 0), (b"[1]", 1), (b'{"a":1}', 5), (b"12345", 0), (b"null", 0), (b"", 0)]
)
def test_only_what_has_ends_is_text(raw: bytes, size: int) -> None:
    assert text_size(msgspec.Raw(raw)) == size


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"\xef\xbb\xbf[NaN]", [0.0]),
        (b'{"a":"\\ud83d"}', {"a": "?"}),
        (b"no JSON", None),
        (b"[" * 5000, None),
        (b"", None),
    ],
)
def test_an_error_body_is_decoded_where_it_can_be_repaired(body: bytes, value: object) -> None:
    assert try_decode(body) == value


@pytest.mark.parametrize(
    ("raw", "choices"),
    [
        (b"1", 1),
        (b"3", 3),
        (b'"3"', 3),
        (b"null", 1),
        (b"2.0", 2),
        (b"2.5", 1),
        (b"-2", 1),
        (b'["a","b"]', 2),
        (b"[[1,2],[3],[4]]", 3),
        (b"[1,2,3]", 1),
        (b"[]", 1),
        (b'"a prompt"', 1),
        (b'{"candidateCount":4}', 4),
        (b'{"candidateCount":"4"}', 4),
        (b'{"temperature":1, "candidate_count" : 2}', 2),
        (b'{"temperature":1}', 1),
    ],
)
def test_a_request_s_field_says_how_many_choices_it_asks_for(raw: bytes, choices: int) -> None:
    assert choices_in(msgspec.Raw(raw)) == choices


@pytest.mark.parametrize(("requested", "expected"), [((), 1), ((3,), 3), ((2, 3), 6), ((0,), 1), ((10**9,), 128)])
def test_a_response_is_complete_when_as_many_choices_as_requested_have_finished(
    requested: tuple[int, ...], expected: int
) -> None:
    meter = ChoicesMeter(ALIAS, UPSTREAM, False)
    for choices in requested:
        meter.expect(choices)
    for index in range(expected):
        assert not meter.finished
        meter._turn_to(index)
        meter._finish_choice()
    assert meter.finished


def test_text_with_or_after_the_finish_reason_says_that_more_may_come() -> None:
    def event(content: str, reason: str | None) -> dict[str, object]:
        return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}]}

    assert not read_events(CHAT, event("word", None), event("", "stop")).goes_on
    assert read_events(CHAT, event("word", "stop")).goes_on
    assert read_events(CHAT, event("", "stop"), event("word", None)).goes_on


@pytest.mark.parametrize(
    ("usages", "tokens"),
    [
        ([{"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}], (9, 3)),
        ([{"prompt_tokens": 9, "completion_tokens": 3}, {"prompt_tokens": 9, "completion_tokens": 5}], (9, 5)),
        ([{"prompt_tokens": 9, "completion_tokens": 3}, {"prompt_tokens": 0, "completion_tokens": 0}], (9, 3)),
        ([{"prompt_tokens": 9}, {"completion_tokens": 5}], (9, 5)),
    ],
)
def test_a_later_usage_object_never_takes_a_count_away(usages: list[dict[str, int]], tokens: tuple[int, int]) -> None:
    usage = read_events(CHAT, *({"choices": [], "usage": one} for one in usages)).usage()
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == tokens
