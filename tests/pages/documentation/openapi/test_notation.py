"""The notation of schemas."""

from proxy.pages.documentation.openapi.notation import COUNT, TEXT, either, event, many, maybe, ref, struct, within


def test_a_name_with_a_question_mark_is_not_required() -> None:
    schema = struct({"model": TEXT, "stream?": COUNT})
    assert schema["required"] == ["model"]
    assert set(schema["properties"]) == {"model", "stream"}


def test_what_may_be_null_says_so() -> None:
    assert maybe(TEXT) == either(TEXT, {"type": "null"})


def test_bounds_are_those_that_are_given() -> None:
    assert many(TEXT, 1) == {"type": "array", "items": TEXT, "minItems": 1}
    assert within(COUNT, 2, 3) == {"type": "integer", "minimum": 2, "maximum": 3}


def test_an_events_data_is_json_by_a_schema() -> None:
    (data,) = (event("Message")["properties"][name] for name in event("Message")["required"])
    assert data == {"type": "string", "contentMediaType": "application/json", "contentSchema": ref("Message")}


def test_the_last_event_may_be_a_word() -> None:
    data = event("Chunk", "Error", end="[DONE]")["properties"]["data"]
    assert data["anyOf"][0]["contentSchema"] == either(ref("Chunk"), ref("Error"))
    assert data["anyOf"][1]["enum"] == ["[DONE]"]
