"""The notation of schemas."""

from proxy.pages.documentation.openapi.notation import COUNT, TEXT, either, many, maybe, struct, within


def test_a_name_with_a_question_mark_is_not_required() -> None:
    schema = struct({"model": TEXT, "stream?": COUNT})
    assert schema["required"] == ["model"]
    assert set(schema["properties"]) == {"model", "stream"}


def test_what_may_be_null_says_so() -> None:
    assert maybe(TEXT) == either(TEXT, {"type": "null"})


def test_bounds_are_those_that_are_given() -> None:
    assert many(TEXT, 1) == {"type": "array", "items": TEXT, "minItems": 1}
    assert within(COUNT, 2, 3) == {"type": "integer", "minimum": 2, "maximum": 3}
