"""The admin API as a whole: where it is served, to which networks, and what it does with what it cannot read."""

import socket
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from proxy.admin.api import AdminApi
from proxy.admin.request import AdminRequest, Input, Result, Row
from proxy.admin.services import AdminServices
from proxy.admin.table import ROWS
from proxy.config.tree import Admin
from proxy.server.listener import bind_text
from tests.admin.conftest import TOKEN, admin_config, administered
from tests.serving import KEY, RunningGateway, simple_config


class Listing(Input, frozen=True):
    limit: int = 10
    tag: tuple[str, ...] = ()


async def echo(services: AdminServices, request: AdminRequest) -> Result:
    return Result({"ids": request.ids, "limit": request.query.limit, "tags": request.query.tag}, 201, {"x-own": "1"})


async def fail(services: AdminServices, request: AdminRequest) -> Result:
    raise RuntimeError("secret detail")


def with_rows(gateway: RunningGateway, *rows: Row) -> None:
    """Serve other rows in place of the table's."""

    def replace(inner: Any) -> None:
        inner.app._mounts = [AdminApi(inner.admin.services, rows)]

    gateway.call(replace)


def test_switched_off_there_is_nothing_behind_its_paths(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path, enabled=False)) as (_, client):
        response = client.get("/-/config")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")
    assert not (tmp_path / "admin.token").exists()


def test_a_reload_switches_it_off_and_changes_its_token(tmp_path: Path) -> None:
    config = admin_config(tmp_path)
    with administered(config) as (gateway, client):
        assert client.get("/-/config").status_code == 200
        other = "another-token-of-thirty-two-characters"
        changes = gateway.reload(msgspec.structs.replace(config, admin=Admin(token=other)))
        assert changes.changed == ("admin.token",)
        assert client.get("/-/config").status_code == 401
        assert client.get("/-/config", headers={"authorization": f"Bearer {other}"}).status_code == 200
        gateway.reload(msgspec.structs.replace(config, admin=Admin(enabled=False)))
        assert client.get("/-/config").status_code == 404


def test_a_token_is_made_at_the_first_start(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        token = (tmp_path / "admin.token").read_text().strip()
        response = httpx.get(f"{gateway.url}/-/config", headers={"x-api-key": token})
        assert response.status_code == 200
        # It is no client key.
        models = httpx.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {token}"})
        assert models.status_code == 401


@pytest.mark.parametrize(
    ("networks", "status"), [(["127.0.0.0/8"], 200), (["10.0.0.0/8", "::1"], 403), (["10.0.0.0/8", "127.0.0.1"], 200)]
)
def test_networks_are_checked_before_the_token(tmp_path: Path, networks: list[str], status: int) -> None:
    with administered(admin_config(tmp_path, networks=networks)) as (_, client):
        assert client.get("/-/config").status_code == status
        assert client.get("/-/config", headers={"authorization": "x"}).status_code == (401 if status == 200 else 403)


def test_ids_and_queries_come_to_the_handler(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (gateway, client):
        with_rows(gateway, Row("GET", "/-/things/{id}/parts/{part}", echo, "", None, query=Listing))
        response = client.get("/-/things/a%2Fb/parts/%C3%A4?tag=x&tag=y&limit=3")
        assert (response.status_code, response.headers["x-own"]) == (201, "1")
        assert response.json() == {"ids": {"id": "a/b", "part": "ä"}, "limit": 3, "tags": ["x", "y"]}
        twice = client.get("/-/things/a/parts/b?limit=3&limit=4")
        assert (twice.status_code, twice.json()["error"]["param"]) == (400, "limit")
        wrong = client.get("/-/things/a/parts/b?limit=many")
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "limit")


def test_a_fault_of_a_handler_is_a_500_that_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with administered(admin_config(tmp_path)) as (gateway, client):
        with_rows(gateway, Row("GET", "/-/broken", fail, "", None))
        response = client.get("/-/broken")
        assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
        assert "secret detail" not in response.text
    assert "secret detail" in caplog.text


def test_an_open_row_is_open_only_where_the_setting_says_so(tmp_path: Path) -> None:
    row = Row("GET", "/metrics", echo, "", None, query=Listing, access="open_metrics")
    config = admin_config(tmp_path)
    with administered(config) as (gateway, _):
        with_rows(gateway, row)
        assert httpx.get(f"{gateway.url}/metrics").status_code == 401
        gateway.reload(msgspec.structs.replace(config, admin=Admin(token=TOKEN, open_metrics=True)))
        assert httpx.get(f"{gateway.url}/metrics").status_code == 201
        assert httpx.post(f"{gateway.url}/metrics").status_code == 405
        # The rest of the admin API is not.
        assert httpx.get(f"{gateway.url}/-/config").status_code == 401


def test_open_metrics_open_no_other_route(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path, open_metrics=True)) as (gateway, _):
        for row in ROWS:
            path = row.path.replace("{", "").replace("}", "")
            status = httpx.request(row.method, gateway.url + path).status_code
            assert status == (200 if row.access == "open_metrics" else 401), path


def test_open_metrics_are_served_where_the_rest_is_switched_off(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path, enabled=False, open_metrics=True)) as (gateway, client):
        assert httpx.get(f"{gateway.url}/metrics").status_code == 200
        assert client.get("/-/config").status_code == 404


def test_every_request_has_an_access_line_and_the_gateways_headers(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (gateway, client):
        response = client.get("/-/config")
        assert response.headers["x-request-id"]
        client.get("/-/nothing")
    lines = gateway.log.getvalue()
    assert '"/-/config"' in lines
    assert '"/-/nothing"' in lines
    assert TOKEN not in lines


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_an_address_of_its_own_serves_it_and_nothing_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "admin.sock"
    listen = "127.0.0.1:0" if kind == "port" else f"unix:{path}"
    config = admin_config(tmp_path, listen=listen, networks=["127.0.0.1"])
    with bind_text(listen) as sock, RunningGateway(config, admin_socket=sock) as gateway:
        if kind == "port":
            url, transport = f"http://127.0.0.1:{sock.getsockname()[1]}", httpx.HTTPTransport()
        else:
            url, transport = "http://admin", httpx.HTTPTransport(uds=str(path))
            assert path.stat().st_mode & 0o777 == 0o600
        headers = {"authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, transport=transport, headers=headers) as client:
            assert client.get("/-/config").status_code == 200
            assert client.get("/-/config", headers={"authorization": ""}).status_code == 401
            for other in ("/v1/models", "/healthz", "/v1/chat/completions"):
                assert client.get(other, headers={"authorization": f"Bearer {KEY}"}).status_code == 404
        main = httpx.get(f"{gateway.url}/-/config", headers=headers)
        assert (main.status_code, main.json()["error"]["code"]) == (404, "unknown_url")


def test_a_socket_of_a_dead_process_is_replaced_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/admin.sock"
    bind_text(listen).close()
    with bind_text(listen), pytest.raises(Exception, match="another process does"):
        bind_text(listen)
    with socket.socket(socket.AF_UNIX) as again, pytest.raises(ConnectionRefusedError):
        again.connect(f"{tmp_path}/admin.sock")
