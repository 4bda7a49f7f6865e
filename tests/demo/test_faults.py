"""The errors that can be ordered from the demo provider."""

import pytest

from proxy.demo.faults import error_body, provider_error


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", "invalid_api_key"),
        (404, "invalid_request_error", "model_not_found"),
        (429, "requests", "rate_limit_exceeded"),
        (500, "server_error", None),
        (503, "service_unavailable_error", "server_is_overloaded"),
        (599, "server_error", None),
    ],
)
def test_a_status_has_openais_type_and_code(status: int, kind: str, code: str | None) -> None:
    error = error_body(provider_error(status, "m"))["error"]
    assert (error["type"], error["code"], error["param"]) == (kind, code, None)


@pytest.mark.parametrize("status", range(400, 600))
def test_every_message_names_the_model(status: int) -> None:
    assert "some-model" in provider_error(status, "some-model").message


@pytest.mark.parametrize(("status", "headers"), [(429, {"retry-after": "1"}), (503, {"retry-after": "1"}), (500, {})])
def test_only_what_may_be_tried_again_says_when(status: int, headers: dict[str, str]) -> None:
    assert provider_error(status, "m").headers == headers
