"""The OpenAPI document as it is served."""

from collections.abc import Iterator

import pytest

from tests.pages.serving import reader
from tests.serving import ALIAS, RunningGateway, simple_config

PATH = "/openapi.json"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(simple_config(tmp_path_factory.mktemp("data"), "http://127.0.0.1:9")) as running:
        yield running


def test_it_names_this_gateway_and_its_aliases(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        response = client.get(PATH)
    document = response.json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": gateway.url}]
    assert "/v1/chat/completions" in document["paths"]
    assert ALIAS in response.text


def test_a_reader_that_has_it_gets_no_second_copy(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        first = client.get(PATH)
        again = client.get(PATH, headers={"if-none-match": first.headers["etag"]})
    assert (first.headers["content-encoding"], again.status_code, again.content) == ("gzip", 304, b"")


def test_another_configuration_has_another_document(gateway: RunningGateway) -> None:
    config = simple_config(gateway.gateway.ledger.data_dir, "http://127.0.0.1:9")
    with reader(gateway) as client:
        before = client.get(PATH).headers["etag"]
        models = {"another-alias": config.models[ALIAS]}
        gateway.reload(type(config)(server=config.server, upstreams=config.upstreams, models=models))
        after = client.get(PATH, headers={"if-none-match": before})
    assert after.status_code == 200
    assert "another-alias" in after.text
