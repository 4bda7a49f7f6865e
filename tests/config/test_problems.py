"""How problems are written and what is suggested."""

import pytest

from proxy.config.problems import ConfigProblems, Problem, did_you_mean


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("f", 3, "a.b", "is wrong", "mend it"), "f:3: a.b: is wrong (mend it)"),
        (Problem("f", None, "a", "is wrong"), "f: a: is wrong"),
        (Problem("f", 1, "", "is wrong"), "f:1: is wrong"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_problems_stand_in_the_order_of_the_file_and_those_without_a_line_last() -> None:
    error = ConfigProblems([Problem("f", None, "x", "."), Problem("f", 9, "y", "."), Problem("f", 2, "z", ".")])
    assert [problem.key for problem in error.problems] == ["z", "y", "x"]


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("prot", ["port", "host"], 'did you mean "port"?'),
        ("PORT", ["port"], 'did you mean "port"?'),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], ""),
        ("zzz", [str(number) for number in range(10, 30)], "known: 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, …"),
    ],
)
def test_suggestions(word: str, known: list[str], text: str) -> None:
    assert did_you_mean(word, known) == text
