"""How a response that is an error itself is reported: with the provider's own message, where it has any."""

import pytest

from proxy.dialects.readers import MAX_MESSAGE, reported_error

PLAIN = "The model's provider reported an error."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'data: {"error":{"message":"too \\"hot\\"","type":"x"}}\n\n', 'too "hot"'),
        (b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n', "Busy"),
        (b'data: {"type":"error","code":"server_error","message":"Busy"}\n\n', "Busy"),
        (b'{"response":{"status":"failed","error":{"code":"x","message":"Busy"}}}', "Busy"),
        (b'{\n  "error": {\n    "code": 429,\n    "message": "Busy"\n  }\n}', "Busy"),
        (b'{"error" : "Busy"}', "Busy"),
        (b'data: {"choices":[{"message":"no"}]}\n\ndata: {"error":{"message":"Busy"}}\n\n', "Busy"),
        (b'data: {"text":"\\"error\\": \\"no\\""}\n\ndata: {"error":{"message":"Busy"}}\n\n', "Busy"),
        (b'{"error":{"message":"%b"}}' % (b"a" * 5_000), "a" * MAX_MESSAGE),
        (b'{"error":{"message":"cut \\ud83d short"}}', "cut ? short"),
        (b'{"error":{"message":"no \xff"}}', "no ?"),
    ],
)
def test_the_provider_s_words_are_passed_on(data: bytes, said: str) -> None:
    assert reported_error(data).message == f"The model's provider reported an error: {said}"


@pytest.mark.parametrize(
    "data",
    [
        b'{"error":{"message":""}}',
        b'{"error":{"code":7}}',
        b'{"error":{"message":"cut',
        b"",
    ],
)
def test_an_error_without_readable_words_is_reported_all_the_same(data: bytes) -> None:
    assert reported_error(data).message == PLAIN
