"""Names that another server could read as one that the gateway guards."""

import pytest

from proxy.errors import InvalidRequest
from proxy.wire.field_names import may_name_object, object_name_in
from proxy.wire.request_body import parse_body, parse_body_without_model


@pytest.mark.parametrize(
    ("name", "guarded"),
    [
        ("Model", "model"),
        ("MODEL", "model"),
        ("mOdel", "model"),
        ("\\u004dodel", "model"),
        ("Stream", "stream"),
        ("\u017ftream", "stream"),
        ("\\u017Ftream", "stream"),
        ("stream_option\u017f", "stream_options"),
        ("Store", "store"),
        ("\u017ftore", "store"),
        ("Previous_Response_Id", "previous_response_id"),
        ("file_id\u017f", "file_ids"),
        ("Conversation", "conversation"),
        ("Prompt", "prompt"),
        ("Models", "models"),
        ("model\u017f", "models"),
        ("Fallbac\u212as", "fallbacks"),
        ("Bac\u212aground", "background"),
        ("Service_Tier", "service_tier"),
        ("N", "n"),
        ("Fallbac\\u212As", "fallbacks"),
    ],
)
def test_a_name_that_go_reads_as_a_guarded_one_is_refused(name: str, guarded: str) -> None:
    for data in (f'{{"model":"a","{name}":"b"}}', f'{{"{name}":null,"model":"a"}}'):
        with pytest.raises(InvalidRequest, match="can be read as") as error:
            parse_body(data.encode())
        assert (error.value.status, error.value.code, error.value.param) == (400, "ambiguous_field", guarded)


@pytest.mark.parametrize("name", ["Include_Usage", "include_u\u017fage"])
def test_whether_usage_is_asked_for_is_read_in_one_way(name: str) -> None:
    for options in (f'{{"include_usage":true,"{name}":false}}', f'{{"{name}":true}}'):
        with pytest.raises(InvalidRequest, match="can be read as 'include_usage'") as error:
            parse_body(f'{{"model":"a","stream":true,"stream_options":{options}}}'.encode())
        assert (error.value.code, error.value.param) == ("ambiguous_field", "include_usage")


@pytest.mark.parametrize("name", ["Temperature", "modelo", "mode1", "models_", "Foo", "stra\u00dfe", "\u212a", ""])
def test_a_name_that_is_read_as_no_guarded_one_passes(name: str) -> None:
    assert name in parse_body(f'{{"model":"a","{name}":1}}'.encode()).fields


def test_the_names_inside_geminis_requests_are_looked_at_too() -> None:
    for body in ('{"requests":[{"Model":"models/b"}]}', '{"generateContentRequest":{"MODEL":"models/b"}}'):
        with pytest.raises(InvalidRequest, match="can be read as 'model'"):
            parse_body_without_model(body.encode(), "a", False)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("file_id", "file_id"),
        ("File_Id", "file_id"),
        ("images[0][file_id]", "file_id"),
        ("images[][file_id]", "file_id"),
        ("input_reference[file_id]", "file_id"),
        ("input_reference.file_id", "file_id"),
        ("image[file_id][]", "file_id"),
        ("file_ids[]", "file_ids"),
        ("file_ids[0]", "file_ids"),
        ("characters[0][id]", "characters"),
        ("prompt[id]", "prompt"),
        ("vector_store_id", "vector_store_id"),
        ("prompt", ""),
        ("image[]", ""),
        ("file", ""),
        ("id", ""),
        ("file_idea", ""),
        ("timestamp_granularities[]", ""),
        ("", ""),
    ],
)
def test_the_field_of_a_form_names_an_object_by_any_of_its_words(field: str, name: str) -> None:
    assert object_name_in(field) == name


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("x", b'{"file_id":"a"}', True),
        ("x", b' [{"File_ID" : "a"}]', True),
        ("x", b'{"file\\u005fid":"a"}', True),
        ("x", b'{"type":"auto"}', False),
        ("x", b'say "file_id"', False),
        ("prompt", b'{"file_id":"a"}', False),
    ],
)
def test_json_in_a_field_of_a_form_may_name_an_object(field: str, value: bytes, expected: bool) -> None:
    assert may_name_object(field, value) is expected
