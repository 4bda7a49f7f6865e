"""Tables, money and times as they are printed."""

import pytest

from proxy.cli.output import print_json, print_table, usd, utc


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (33_000, "0.000033"),
        (1_500_000_000, "1.50"),
        (123_456_789_012_345_678_901, "123456789012.345678901"),
        (-1, "-0.000000001"),
        (None, "unpriced"),
    ],
)
def test_money_is_exact(nano: int | None, text: str) -> None:
    assert usd(nano) == text


@pytest.mark.parametrize(
    ("moment", "text"), [(0, "1970-01-01T00:00:00Z"), (999_999, "1970-01-01T00:00:00Z"), (None, "")]
)
def test_times_are_utc(moment: int | None, text: str) -> None:
    assert utc(moment) == text


def test_numbers_stand_to_the_right_and_text_to_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "n"), [("a", 5), ("long name", 1000)])
    assert capsys.readouterr().out == "NAME          N\na             5\nlong name  1000\n"


def test_an_empty_cell_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b", "c"), [(None, "", 0)])
    assert capsys.readouterr().out == "A  B  C\n-  -  0\n"


def test_a_cell_sends_no_control_characters_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a",), [("x\x1b[31m\ny",)])
    assert capsys.readouterr().out == "A\nx?[31m?y\n"


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "ü"})
    assert capsys.readouterr().out == '{\n  "a": "ü"\n}\n'


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    out, err = capsys.readouterr()
    return out.splitlines(), err


def test_a_cell_that_is_too_wide_is_wrapped_between_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(("name", "list"), [("a", "one, two, three, four"), ("b", "five")])
    assert printed(capsys)[0] == ["NAME  LIST", "a     one, two,", "      three, four", "b     five"]


def test_a_word_that_is_too_long_is_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    print_table(("n", "word"), [(1, "x" * 30)])
    assert printed(capsys)[0] == ["N  WORD", f"1  {'x' * 13}", f"   {'x' * 13}", f"   {'x' * 4}"]


def test_columns_without_a_value_go_first_and_silently(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "14")
    print_table(("alpha", "bravo", "delta"), [("x", 1, 0)], ("bravo", "delta"))
    assert printed(capsys) == (["ALPHA  BRAVO", "x          1"], "")


def test_a_column_that_is_left_out_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "14")
    print_table(("alpha", "bravo", "delta"), [("x", 1, 2)], ("bravo", "delta"))
    lines, said = printed(capsys)
    assert lines == ["ALPHA  DELTA", "x          2"]
    assert said.startswith("Left out for want of room: bravo.")


def test_an_empty_table_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [])
    assert printed(capsys)[0] == ["A  B"]
