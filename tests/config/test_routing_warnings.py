"""Warnings and faults of `[models.ALIAS.routing]`, `costs` and `api_keys`: each with how to mend it."""

import pytest

from tests.config.test_resolve import faults_of, parsed
from tests.config.test_warnings import warned

UPSTREAMS = """
[upstreams.a]
base_url = "http://127.0.0.1:1/v1"
[upstreams.b]
base_url = "http://127.0.0.1:2/v1"
[upstreams.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:3/v1"
[upstreams.keys]
base_url = "http://127.0.0.1:4/v1"
api_keys = ["${KEY}", "another"]
"""


def model(name: str, *targets: str, **settings: str) -> str:
    lines = [f"[models.{name}]", 'capability = "chat"', f"targets = {list(targets)}"]
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items()), ""])


def of_routing(text: str) -> list[tuple[str, str]]:
    return [(one.key, one.message) for one in warned(UPSTREAMS + text) if "routing" in one.key]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (model("m", "a/x", routing='{ strategy = "fastest" }'), ["models.m.routing.strategy"]),
        (model("m", "a/x", routing='{ sticky = "session" }'), ["models.m.routing.sticky"]),
        (model("m", "keys/x", routing='{ strategy = "order" }'), ["models.m.routing.strategy"]),
        (
            model("m", "a/x", "b/x", routing='{ strategy = "fastest", weights = { "a/x" = 2 } }'),
            ["models.m.routing.weights"],
        ),
        (model("m", "a/x", "b/x", routing='{ strategy = "cheapest" }'), ["models.m.routing.strategy"]),
        (
            model("m", "a/x", "b/x", routing='{ strategy = "cheapest" }')
            + 'costs = { "a/x" = { input = "1" }, "b/x" = { input = "2" } }',
            [],
        ),
        (model("m", "a/x", "b/x", routing='{ strategy = "weighted", weights = { "a/x" = 0 } }'), []),
        (
            model("m", "a/x", routing='{ fallbacks = { rate_limit = ["n"] } }') + model("n", "claude/x"),
            ["models.m.routing.fallbacks.rate_limit[0]"],
        ),
        (
            model("m", "a/x", price='{ input = "1", output = "1" }', routing='{ fallbacks = { rate_limit = ["n"] } }')
            + model("n", "b/x"),
            ["models.m.routing.fallbacks.rate_limit[0]"],
        ),
        (
            model("m", "a/x", routing='{ fallbacks = { rate_limit = ["n"] } }')
            + model("n", "b/x").replace("chat", "embeddings"),
            ["models.m.routing.fallbacks.rate_limit[0]"],
        ),
        (model("m", "a/x", routing='{ fallbacks = { rate_limit = ["n"] } }') + model("n", "b/x"), []),
    ],
)
def test_what_cannot_have_its_effect_is_warned_of(text: str, found: list[str]) -> None:
    assert [key for key, _ in of_routing(text)] == found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('routing = { strategy = "weighted", weights = { "a/y" = 1 } }', 'weights."a/y": is no target of this alias'),
        (
            'routing = { strategy = "weighted", weights = { "a/x" = 0 } }',
            "weights: are 0 for all targets: none would get a request",
        ),
        ('costs = { "a/y" = { input = "1" } }', 'costs."a/y": is no target of this alias'),
        ('costs = { "a/x" = { input = "-1" } }', 'costs."a/x".input: must not be negative'),
        ('routing = { fallbacks = { rate_limit = ["n"] } }', 'fallbacks.rate_limit[0]: no alias is named "n"'),
        (
            'routing = { fallbacks = { rate_limit = ["m"] } }',
            "fallbacks.rate_limit[0]: leads back to where it began: m -> m",
        ),
    ],
)
def test_what_cannot_be_is_a_fault(text: str, fault: str) -> None:
    (found,) = faults_of('[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\n' + model("m", "a/x") + text)
    assert found.endswith(fault)


def test_fallbacks_that_lead_back_are_a_fault_whatever_the_causes() -> None:
    text = '[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\n'
    text += model("m", "a/x", routing='{ fallbacks = { context_window = ["n"] } }')
    text += model("n", "a/x", routing='{ fallbacks = { rate_limit = ["o"] } }')
    text += model("o", "a/x", routing='{ fallbacks = { content_policy = ["m"] } }')
    (found,) = faults_of(text)
    assert found.endswith("leads back to where it began: m -> n -> o -> m")


def test_two_ways_to_one_alias_are_no_loop() -> None:
    text = '[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\n'
    text += model("m", "a/x", routing='{ fallbacks = { context_window = ["n", "o"] } }')
    text += model("n", "a/x", routing='{ fallbacks = { rate_limit = ["o"] } }') + model("o", "a/x")
    assert parsed(text).models["m"].routing is not None


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("[]", "names no key"),
        ('["${USER}", "${USER}"]', "is the same key as one before it"),
        ('["${EMPTY}"]', None),
        ('["${CRLF}"]', "holds a line break or another control character"),
    ],
)
def test_keys_of_an_upstream_are_checked_and_never_quoted(keys: str, fault: str | None) -> None:
    found = faults_of(f'[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\napi_keys = {keys}\n')
    assert found
    if fault is not None:
        assert found[0].endswith(fault)


def test_one_key_and_several_are_a_fault() -> None:
    text = '[upstreams.a]\nbase_url = "http://127.0.0.1:1/v1"\napi_key = "${USER}"\napi_keys = ["${PROXY}"]\n'
    assert faults_of(text) == ["upstreams.a.api_keys: is given beside api_key"]


CHEAP, DEAR = '{ input = "1", output = "1" }', '{ input = "2", output = "2" }'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (model("m", "a/x", "b/x", routing="{ hedge = {}, queue = {} }"), {}),
        (model("m", "keys/x", routing='{ strategy = "least-busy", hedge = {} }'), {}),
        (model("m", "a/x", routing="{ hedge = {} }"), {"hedge": "add a target, or a key"}),
        (model("m", "a/x", "b/x", routing="{ hedge = {} }").replace("chat", "embeddings"), {"hedge": "take it out"}),
        (
            model("m", "a/x", "b/x", routing="{ hedge = {} }", costs=f'{{ "a/x" = {CHEAP}, "b/x" = {DEAR} }}'),
            {"hedge": "across_prices = true"},
        ),
        (model("m", "a/x", "b/x", routing="{ hedge = {} }", costs=f'{{ "a/x" = {CHEAP}, "b/x" = {CHEAP} }}'), {}),
        (
            model("m", "a/x", "b/x", routing="{ hedge = { floor = 300 } }"),
            {"hedge.floor": "a lower floor, such as 0.3"},
        ),
        (
            model("m", "a/x", routing="{ queue = { max_wait = 30 } }", total_timeout="30.0"),
            {"queue.max_wait": "a shorter max_wait, or a longer total_timeout"},
        ),
        (
            model("m", "a/x", routing="{ queue = { max_waiting = 10000 } }"),
            {"queue.max_waiting": "a lower max_waiting, or a higher server.max_in_flight"},
        ),
    ],
)
def test_hedges_and_queues_without_effect_are_warned_of(text: str, found: dict[str, str]) -> None:
    hints = {one.key.removeprefix("models.m.routing."): one.hint for one in warned(UPSTREAMS + text)}
    assert {key: hint for key, hint in hints.items() if key.startswith(("hedge", "queue"))} == found


def test_a_bound_beyond_the_connections_is_warned_of() -> None:
    head = '[upstreams.c]\nbase_url = "http://127.0.0.1:5/v1"\nmax_requests = 2000\n'
    found = [one.key for one in warned(head + UPSTREAMS + model("m", "c/x"))]
    assert "upstreams.c.max_requests" in found
