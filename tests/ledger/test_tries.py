"""Failed attempts in a row's column."""

from proxy.ledger import tries
from proxy.ledger.tries import Try

ONE = Try("openai/gpt-5", "rate_limited", 17)


def test_what_is_encoded_comes_back() -> None:
    assert tries.decode(tries.encode((ONE, ONE))) == (ONE, ONE)
    assert tries.encode(()) == ""


def test_a_row_holds_a_bounded_number() -> None:
    assert len(tries.decode(tries.encode((ONE,) * 1_000))) == tries.MAX_TRIES


def test_damage_is_no_attempt() -> None:
    assert tries.decode("[[1]]") == tries.decode("") == ()
