"""What limits say: durations as Go writes them, header lines of the tightest limit, and words that clients parse."""

import re

import pytest

from proxy.limits.limiter import AUDIO, CONCURRENT, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, TOKENS, Held, Limit, Refusal
from proxy.limits.lines import duration, limit_lines, refusal_words, running_words

SECOND = 10**9
MINUTE = 60 * SECOND


def limit(unit: int, amount: int, period: int = MINUTE, burst: int = 0, words: str = "it") -> Limit:
    return Limit("key", unit, amount, period, burst or amount, words, "")


def fields(lines: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines.split("\r\n")[:-1])


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (250 * 10**6, "250ms"),
        (999_000_001, "1s"),
        (SECOND, "1s"),
        (1_200 * 10**6, "1.2s"),
        (8_640 * 10**6, "8.64s"),
        (MINUTE, "1m0s"),
        (6 * MINUTE, "6m0s"),
        (86_400 * 10**6, "1m26.4s"),
        (3_600 * SECOND + 5 * SECOND, "1h0m5s"),
        (86_400 * SECOND, "24h0m0s"),
    ],
)
def test_durations_are_written_as_go_does(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def held(*taken: tuple[Limit, int], now: int = 10**12) -> Held:
    """A request that has taken from limits, each with the time until all of it is back, or the number that is left."""
    found = Held()
    found.limits = tuple([one for one, _ in taken])
    found.ends = [end if one.unit == CONCURRENT else now + end for one, end in taken]
    found.now = now
    return found


def test_the_tightest_limit_is_shown() -> None:
    taken = held(
        (limit(REQUESTS, 600), MINUTE // 2), (limit(REQUESTS, 10, SECOND), SECOND // 2), (limit(CONCURRENT, 3, 0), 2)
    )
    assert fields(limit_lines(taken, 0, "openai")) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": "500ms",
    }


def test_a_refusal_shows_what_was_taken_before_and_what_refused() -> None:
    taken = held((limit(REQUESTS, 600), SECOND))
    tokens = limit(TOKENS, 1_000)
    taken.refusal = Refusal(tokens, SECOND, (tokens,), [taken.now + MINUTE])
    found = fields(limit_lines(taken, 0, "openai"))
    assert (found["x-ratelimit-remaining-requests"], found["x-ratelimit-remaining-tokens"]) == ("590", "0")
    assert found["x-ratelimit-reset-tokens"] == "1m0s"


def test_the_reset_is_a_unix_time_where_that_is_wanted() -> None:
    lines = limit_lines(held((limit(REQUESTS, 600), MINUTE)), 1_700_000_000.5, "openai")
    assert fields(lines)["x-ratelimit-reset-requests"] == "1700000061"


def test_anthropics_rows_have_anthropics_lines_beside() -> None:
    taken = held(
        (limit(REQUESTS, 60), SECOND),
        (limit(TOKENS, 1_000), 0),
        (limit(INPUT_TOKENS, 800), MINUTE),
        (limit(OUTPUT_TOKENS, 500), MINUTE // 2),
    )
    found = fields(limit_lines(taken, 0, "anthropic"))
    assert found["anthropic-ratelimit-requests-remaining"] == "59"
    assert found["x-ratelimit-remaining-tokens"] == "0"
    assert found["anthropic-ratelimit-tokens-limit"] == "800"
    assert found["anthropic-ratelimit-input-tokens-remaining"] == "0"
    assert found["anthropic-ratelimit-output-tokens-remaining"] == "250"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["anthropic-ratelimit-output-tokens-reset"])


def test_audio_has_no_header() -> None:
    assert limit_lines(held((limit(AUDIO, 60_000), SECOND)), 0, "openai") == ""


def test_a_refusal_says_the_limit_what_is_left_when_it_is_back_and_when_to_try_again() -> None:
    one = limit(TOKENS, 2_000, burst=500, words="tokens per minute of this key")
    words = refusal_words(one, 40, 90 * SECOND, 1_200 * 10**6, 300)
    assert words == (
        "Rate limit reached for tokens per minute of this key: limit 2000 (500 at once), 40 left and 300 requested; "
        "all of it is back in 1m30s. Please try again in 1.2s."
    )
    # As Codex reads it.
    assert re.search(r"(?i)try again in\s*(\d+(?:\.\d+)?)\s*(s|ms|seconds?)", words)


def test_audio_is_said_in_minutes() -> None:
    one = limit(AUDIO, 90 * 60_000, words="minutes of audio per hour of this key")
    assert "limit 90, 1 left and 2 requested" in refusal_words(one, 60_000, SECOND, SECOND, 60_001)


def test_too_many_at_once_is_said_by_number() -> None:
    assert "limit 1, which is running" in running_words(limit(CONCURRENT, 1, 0, words="this key"))
    assert "limit 20, which are running" in running_words(limit(CONCURRENT, 20, 0, words="this key"))
