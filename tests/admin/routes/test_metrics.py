"""The metrics page: for the admin token alone unless it is open, and never counted itself."""

from pathlib import Path

import msgspec
import pytest

from proxy.config.tree import Admin
from tests.policies.exposed import page, samples, total
from tests.serving import KEY, RunningGateway, simple_config

TOKEN = "prom_admin_token_that_is_long_enough_for_everybody"


def status_of(gateway: RunningGateway, path: str, headers: dict[str, str], method: str = "GET") -> int:
    with gateway.client() as client:
        client.request(method, path, headers=headers)
        return client.read_answer()[0].status


@pytest.mark.parametrize("path", ["/metrics", "/-/metrics"])
def test_only_the_admin_token_may_scrape(tmp_path: Path, path: str) -> None:
    (tmp_path / "admin.token").write_text(TOKEN + "\n")
    (tmp_path / "admin.token").chmod(0o600)
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        assert status_of(gateway, path, {}) == 401
        assert status_of(gateway, path, {"authorization": f"Bearer {KEY}"}) in (401, 403)
        assert status_of(gateway, path, {"x-api-key": TOKEN + "x"}) == 401
        assert status_of(gateway, path, {"authorization": f"Bearer {TOKEN}"}) == 200
        assert status_of(gateway, path, {"x-api-key": TOKEN}) == 200


@pytest.mark.parametrize("path", ["/metrics", "/-/metrics"])
def test_an_open_page_needs_no_token(tmp_path: Path, path: str) -> None:
    config = msgspec.structs.replace(simple_config(tmp_path, "http://127.0.0.1:9"), admin=Admin(open_metrics=True))
    with RunningGateway(config) as gateway:
        assert "prometheus_gateway_build_info{" in page(gateway.port, path=path)
        assert status_of(gateway, path, {}, "POST") == 405


def test_a_reload_opens_and_closes_it(tmp_path: Path) -> None:
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    with RunningGateway(config) as gateway:
        gateway.reload(msgspec.structs.replace(config, admin=Admin(open_metrics=True)))
        assert status_of(gateway, "/metrics", {}) == 200
        gateway.reload(config)
        assert status_of(gateway, "/metrics", {}) == 401


def test_a_scrape_is_not_counted(tmp_path: Path) -> None:
    config = msgspec.structs.replace(simple_config(tmp_path, "http://127.0.0.1:9"), admin=Admin(open_metrics=True))
    with RunningGateway(config) as gateway:
        for _ in range(3):
            samples(gateway.port)
        assert total(samples(gateway.port), "gateway_requests_total") == 0
