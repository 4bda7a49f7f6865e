"""Sticky sessions: what names a session, and which target it gets."""

import json
from collections import Counter

import msgspec
import pytest

from proxy.routing.affinity import LEAST_LOAD, MAX_MOVED, MOVED_SECONDS, Affinity
from proxy.upstream.target import Target
from tests.routing.samples import targets

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def affinity(all_: tuple[Target, ...], *weights: int, sticky: str = "prefix") -> Affinity:
    shares = weights or (1,) * len(all_)
    states = [one.state for one in all_]
    named = {one.state: one.label for one in all_}
    return Affinity(dict(zip(states, shares, strict=True)), named, sticky)  # type: ignore[arg-type]


def session(body: object, *, key: str = "key_1", named: str = "", sticky: str = "prefix") -> int:
    fields = _fields.decode(json.dumps(body))
    return affinity(targets("a"), sticky=sticky).of(key, "core", named, fields)


def message(role: str, text: str, *, role_first: bool = True) -> dict[str, object]:
    return {"role": role, "content": text} if role_first else {"content": text, "role": role}


SYSTEM, USER = message("system", "Be brief."), message("user", 'Say "role": {"role":"user"} } ] ,')


@pytest.mark.parametrize("role_first", [True, False])
@pytest.mark.parametrize("length", [1, 700, 5_000])
def test_all_turns_of_a_conversation_are_one_session(role_first: bool, length: int) -> None:
    texts = ("Be brief. " * length, "Hi " * length)
    first = [message(role, text, role_first=role_first) for role, text in zip(("system", "user"), texts, strict=True)]
    turn = [message("assistant", "Yes?", role_first=role_first), message("user", "More", role_first=role_first)]
    found = {session({"messages": first + turn * count}) for count in range(4)}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("field", "first", "turn"),
    [
        ("messages", [SYSTEM, USER], [message("assistant", "x")]),
        ("messages", [message("user", "Hi")], [message("assistant", "x"), message("user", "y")]),
        ("messages", [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], [message("assistant", "x")]),
        ("input", [{"type": "message", **message("user", "Hi")}], [message("assistant", "x")]),
        ("contents", [{"role": "user", "parts": [{"text": "Hi"}]}], [{"role": "model", "parts": [{"text": "x"}]}]),
    ],
)
def test_in_every_format(field: str, first: list[object], turn: list[object]) -> None:
    assert session({field: first}) == session({field: [*first, *turn]})


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [SYSTEM, message("user", "Another")]},
        {"messages": [message("system", "Be long."), USER]},
        {"messages": [SYSTEM, USER], "tools": [{"name": "search"}]},
        {"messages": [SYSTEM, USER], "system": "Be kind."},
    ],
)
def test_another_beginning_is_another_session(other: object) -> None:
    assert session(other) != session({"messages": [SYSTEM, USER]})


def test_long_beginnings_differ_by_their_ends() -> None:
    tools = [{"name": f"tool{number}", "text": "x" * 200} for number in range(50)]
    assert session({"tools": tools}) != session({"tools": [*tools[:-1], {"name": "other", "text": "x" * 200}]})


def test_two_keys_share_no_session() -> None:
    assert session({}, named="s") != session({}, named="s", key="key_2")


def test_what_the_head_names_goes_before_what_the_body_does_and_that_before_the_beginning() -> None:
    body = {"prompt_cache_key": "p", "messages": [USER]}
    assert session(body, named="s") == session({"messages": [SYSTEM]}, named="s")
    assert session(body) == session({"prompt_cache_key": "p"})
    assert session({"metadata": {"user_id": "u", "x": 1}}) == session({"metadata": {"user_id": "u", "x": 2}})


def test_by_session_alone_a_request_that_names_none_has_none() -> None:
    assert session({"messages": [USER]}, sticky="session") == 0
    assert session({"prompt_cache_key": "p"}, sticky="session") != 0


def choices(all_: tuple[Target, ...], sticky: Affinity, count: int = 4_000) -> list[str]:
    return [sticky.choose(all_, number * 7919 + 1, 0.0).label for number in range(count)]


def test_sessions_are_spread_evenly() -> None:
    all_ = targets("a", "b", "c", "d")
    counts = Counter(choices(all_, affinity(all_)))
    assert all(850 < count < 1_150 for count in counts.values()), counts


def test_by_weight_where_there_are_weights() -> None:
    all_ = targets("a", "b")
    counts = Counter(choices(all_, affinity(all_, 3, 1)))
    assert 2_850 < counts["a/model"] < 3_150


def test_a_target_more_takes_its_share_and_moves_nothing_else() -> None:
    four = targets("a", "b", "c", "d")
    before = choices(four[:3], affinity(four[:3]))
    after = choices(four, affinity(four))
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {"d/model"}
    assert 850 < len(moved) < 1_150


def test_a_session_that_failed_over_stays_where_it_went_until_it_is_forgotten() -> None:
    all_ = targets("a", "b")
    sticky = affinity(all_)
    home = sticky.choose(all_, 99, 0.0)
    other = all_[1] if home is all_[0] else all_[0]
    sticky.move(99, other, 0.0)
    assert sticky.choose(all_, 99, MOVED_SECONDS - 1) is other
    assert sticky.choose(all_, 99, 2 * MOVED_SECONDS - 2) is other, "each request of it prolongs that"
    assert sticky.choose(all_, 99, 4 * MOVED_SECONDS) is home


def test_of_sessions_that_moved_only_so_many_are_remembered() -> None:
    all_ = targets("a", "b")
    sticky = affinity(all_)
    for number in range(MAX_MOVED + 10):
        sticky.move(number, all_[0], 0.0)
    assert len(sticky._moved) == MAX_MOVED


def test_a_target_with_more_than_its_load_passes_sessions_on() -> None:
    all_ = targets("a", "b")
    sticky = affinity(all_)
    home = sticky.choose(all_, 99, 0.0)
    home.state.in_flight = LEAST_LOAD - 1
    assert sticky.choose(all_, 99, 0.0) is home
    home.state.in_flight = LEAST_LOAD
    assert sticky.choose(all_, 99, 0.0) is not home


def test_above_that_a_quarter_more_than_the_mean_is_the_bound() -> None:
    all_ = targets("a", "b")
    sticky = affinity(all_)
    home = sticky.choose(all_, 99, 0.0)
    other = all_[1] if home is all_[0] else all_[0]
    home.state.in_flight, other.state.in_flight = 120, 80
    assert sticky.choose(all_, 99, 0.0) is home
    home.state.in_flight = 140
    assert sticky.choose(all_, 99, 0.0) is other
