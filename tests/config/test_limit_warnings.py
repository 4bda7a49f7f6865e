"""Limits that never take effect have a warning at their key; useful ones have none."""

from pathlib import Path

import pytest

from proxy.config.load import examine_text
from proxy.config.problems import ConfigProblems

BASE = """
[upstreams.u]
base_url = "http://127.0.0.1:9/v1"
[models.chat]
capability = "chat"
targets = ["u/m"]
[models.embeds]
capability = "embeddings"
targets = ["u/m"]
"""


def warned(text: str) -> dict[str, str]:
    found = examine_text(BASE + text, Path("p.toml"), {}).warnings
    return {problem.key: problem.message for problem in found if "limits" in problem.key}


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[limits.default]", "limits.default", "limits nothing"),
        ('[limits.default]\nrequests = "10/s, 600/min"', "limits.default.requests", "600/minute is never reached"),
        ('[limits.default]\nrequests = "700/s, 600/min"', "limits.default.requests", "700/second is never reached"),
        (
            '[limits.default]\ntokens = "9/min"\ninput_tokens = "10/min"',
            "limits.default.input_tokens",
            "counts them too",
        ),
        ('[limits.default.models.chta]\nrequests = "1/s"', "limits.default.models.chta", "no alias is named"),
        ("[limits.default.models.chat]", "limits.default.models.chat", "limits nothing"),
        ('[models.chat.limits]\naudio_minutes = "1/s"', "models.chat.limits.audio_minutes", "no minutes of audio"),
        ('[models.embeds.limits]\noutput_tokens = "1/s"', "models.embeds.limits.output_tokens", "no output tokens"),
        (
            '[limits.default]\nrequests = "20/s"\n[limits.global]\nrequests = "10/s"',
            "limits.default.requests",
            "limits.global allows 10/second",
        ),
        (
            '[limits.default]\nrequests = "5/s"\n[limits.default.models.chat]\nrequests = "6/s"',
            "limits.default.models.chat.requests",
            "limits.default allows 5/second",
        ),
        (
            "[models.chat.limits]\nconcurrent = 9\n[limits.global]\nconcurrent = 8",
            "models.chat.limits.concurrent",
            "limits.global allows 8",
        ),
        (
            '[models.chat.limits]\nrequests = "9/s"\n[models.chat.limits.models.chat]\nrequests = "1/s"',
            "models.chat.limits.models",
            "for one alias",
        ),
    ],
)
def test_a_useless_limit_is_reported(text: str, key: str, words: str) -> None:
    assert words in warned(text).get(key, "")


def test_useful_limits_are_not() -> None:
    text = """
[limits.default]
requests = "20/s, 600/min, 10000/day"
tokens = "200000/min"
output_tokens = "50000/min"
concurrent = 20
[limits.default.models.chat]
requests = "300/min"
[limits.global]
requests = "5000/min"
concurrent = 200
[models.chat.limits]
tokens = "1000000/min"
"""
    assert warned(text) == {}


def test_a_rate_that_cannot_be_read_is_a_fault_at_its_key() -> None:
    text = '[limits.default]\nrequests = "many"\n[models.chat.limits.models.x]\ntokens = "5"'
    with pytest.raises(ConfigProblems) as fault:
        examine_text(BASE + text, Path("p.toml"), {})
    keys = [problem.key for problem in fault.value.problems]
    assert keys == ["limits.default.requests", "models.chat.limits.models.x.tokens"]
