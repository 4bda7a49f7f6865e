"""The gateway's own endpoints in the document."""

from proxy.endpoints.health import HEALTH_PATH, LIVE_PATHS, READY_PATHS, STREAM_PATH
from proxy.endpoints.router import MODEL_PATHS
from proxy.pages.documentation.openapi.own import own_parameters, own_rows


def test_each_path_that_the_router_has_is_there() -> None:
    models = {path + end for path in MODEL_PATHS for end in ("", "/{model}")}
    assert {row.path for row in own_rows()} == {*models, *LIVE_PATHS, *READY_PATHS, HEALTH_PATH, STREAM_PATH}


def test_health_needs_no_key_and_models_do() -> None:
    assert {row.tag for row in own_rows() if not row.has_key} == {"Health"}


def test_pages_are_parameters() -> None:
    models = next(row for row in own_rows() if row.path == "/v1/models")
    assert [one["name"] for one in own_parameters(models)] == ["limit", "after_id", "before_id"]
