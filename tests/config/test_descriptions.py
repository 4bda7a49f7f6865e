"""What a setting may hold, in words."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, inspect

from proxy.config.descriptions import describe, describe_value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Annotated[int, Meta(ge=0, le=9)], "an integer from 0 to 9"),
        (Annotated[int, Meta(ge=1)], "an integer from 1"),
        (Annotated[float, Meta(gt=0, le=86_400)], "a number over 0, at most 86400"),
        (Annotated[float, Meta(gt=0)], "a number over 0"),
        (int, "an integer"),
        (str | None, "a string"),
        (bool, "true or false"),
        (Literal["b", "a"], 'one of "a", "b"'),
        (Decimal, 'a decimal number in quotes, such as "1.10"'),
        (list[str], "an array, each of it a string"),
        (dict[str, str], "a table of strings"),
        (msgspec.defstruct("Made", ["field"]), "a table"),
    ],
)
def test_kinds(kind: Any, text: str) -> None:
    assert describe(inspect.type_info(kind)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("s", "a string"), (True, "true or false"), (1, "an integer"), ([], "an array"), (date.min, "a date or time")],
)
def test_values_are_named_by_kind_only(value: object, text: str) -> None:
    assert describe_value(value) == text
