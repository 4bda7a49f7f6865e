"""The admin matrix, generated from the table: every route with every credential, method and body. Denied by default.

A row that has no decision here fails: whoever adds one says what it takes and what it does with an unknown id.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from proxy.admin.request import MAX_BODY_BYTES, MAX_BULK_BYTES, Row
from proxy.admin.table import ROWS
from proxy.auth.store import Store
from proxy.auth.values import OrgFields, TeamFields
from tests.admin.conftest import TOKEN, admin_config
from tests.serving import KEY, RunningGateway

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class Decision(NamedTuple):
    """What is known of a route: the statuses with the admin token where all is well, and where its id is unknown."""

    right: tuple[int, ...]
    #: A body that its type accepts.
    body: Any = None
    unknown: tuple[int, ...] = (404,)
    #: The id that exists, where the path has one.
    ids: tuple[str, ...] = ()
    #: It may be called without a token where `admin.open_metrics` is set; never by default.
    may_be_open: bool = False


NEW_KEY = {"new_key": "sk-another-key-0123"}
FIXED = ("fixed",)
DECISIONS: dict[tuple[str, str], Decision] = {
    # The second time there is a live key of this name.
    ("POST", "/-/keys"): Decision((201, 409), {"name": "posted"}),
    ("GET", "/-/keys"): Decision((200,)),
    ("GET", "/-/keys/{key_id}"): Decision((200,), ids=FIXED),
    # What is no id makes a key of that name, unless it is none.
    ("PUT", "/-/keys/{key_id}"): Decision((200,), {"tags": ["a"]}, (201, 200, 400), FIXED),
    ("PATCH", "/-/keys/{key_id}"): Decision((200,), {"tags": ["b"]}, ids=FIXED),
    ("DELETE", "/-/keys/{key_id}"): Decision((200, 404), ids=("ending",)),
    ("POST", "/-/keys/{key_id}/rotate"): Decision((200,), {"grace_seconds": 60}, ids=FIXED),
    ("POST", "/-/keys/{key_id}/credits"): Decision((201,), {"amount": "1.50"}, ids=FIXED),
    ("GET", "/-/keys/{key_id}/credits"): Decision((200,), ids=FIXED),
    ("POST", "/-/teams"): Decision((201, 409), {"name": "posted"}),
    ("GET", "/-/teams"): Decision((200,)),
    ("GET", "/-/teams/{team_id}"): Decision((200,), ids=FIXED),
    ("PUT", "/-/teams/{team_id}"): Decision((200,), {"limits": {"requests": "9/min"}}, (201, 200, 400), FIXED),
    ("PATCH", "/-/teams/{team_id}"): Decision((200,), {"limits": None}, ids=FIXED),
    ("DELETE", "/-/teams/{team_id}"): Decision((200, 404), ids=("ending",)),
    ("POST", "/-/orgs"): Decision((201, 409), {"name": "posted"}),
    ("GET", "/-/orgs"): Decision((200,)),
    ("GET", "/-/orgs/{org_id}"): Decision((200,), ids=FIXED),
    ("PUT", "/-/orgs/{org_id}"): Decision((200,), {}, (201, 200, 400), FIXED),
    ("PATCH", "/-/orgs/{org_id}"): Decision((200,), {"budgets": []}, ids=FIXED),
    ("DELETE", "/-/orgs/{org_id}"): Decision((200, 404), ids=("ending",)),
    ("GET", "/-/orgs/configs"): Decision((200,)),
    ("POST", "/-/orgs/configs/bulk"): Decision((200,), {"fixed": {"cache": {}}}),
    ("GET", "/-/orgs/{org_id}/config"): Decision((200,), ids=FIXED),
    ("PUT", "/-/orgs/{org_id}/config"): Decision((200,), {"cache": {}}, (200, 400), FIXED),
    # Also where there is none: it is gone either way.
    ("DELETE", "/-/orgs/{org_id}/config"): Decision((200,), None, (200,), ("ending",)),
    ("GET", "/-/usage"): Decision((200,)),
    ("GET", "/-/audit"): Decision((200,)),
    ("GET", "/stats"): Decision((200,)),
    ("GET", "/-/health/providers"): Decision((200,)),
    ("GET", "/-/health/providers/{org_id}"): Decision((200,), ids=FIXED),
    ("GET", "/-/metrics"): Decision((200,), may_be_open=True),
    ("GET", "/metrics"): Decision((200,), may_be_open=True),
    ("GET", "/-/openapi.json"): Decision((200,)),
    ("GET", "/-/config"): Decision((200,)),
    # The gateway of this test has no configuration file.
    ("POST", "/-/reload"): Decision((409,)),
    ("POST", "/admin/reload-config"): Decision((409,)),
    ("GET", "/-/cluster/nodes"): Decision((200,)),
    ("GET", "/admin/cache/stats"): Decision((200,)),
    ("POST", "/admin/cache/clear"): Decision((200,), {}),
    ("POST", "/-/admin/providers/{id}/rotate"): Decision((200, 409), NEW_KEY, (409,), ("vendor1",)),
    ("GET", "/-/admin/providers/{id}/rotation"): Decision((200,), ids=("vendor1",)),
    ("POST", "/-/admin/providers/{id}/rotate/promote"): Decision((200, 409), None, (409,), ("vendor1",)),
    ("POST", "/-/admin/providers/{id}/rotate/rollback"): Decision((200, 409), None, (409,), ("vendor1",)),
}


class Matrix(NamedTuple):
    """A gateway, and the credentials to try."""

    gateway: RunningGateway
    client: httpx.Client
    revoked: str

    def send(self, method: str, path: str, token: str | None, **rest: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        return self.client.request(method, path, headers=headers, **rest)


async def made(folder: Path) -> str:
    """What the decisions name; returns the secret of a revoked key."""
    async with Store(folder) as store:
        for name in ("fixed", "ending"):
            await store.keys.create(name)
            await store.teams.create(TeamFields(name=name), actor="test")
            await store.orgs.create(OrgFields(name=name), actor="test")
        await store.orgs.put_config("fixed", {"cache": {}}, actor="test")
        _, secret = await store.keys.create("gone")
        await store.keys.revoke("gone")
        return secret


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    folder = tmp_path_factory.mktemp("matrix")

    secret = asyncio.run(made(folder))
    with RunningGateway(admin_config(folder)) as gateway, httpx.Client(base_url=gateway.url) as client:
        yield Matrix(gateway, client, secret)


def path_of(row: Row, decision: Decision | None = None) -> str:
    """The row's path with the id that exists, or with one that does not."""
    ids = iter(decision.ids if decision is not None else ())
    return re.sub(r"\{\w+\}", lambda _: next(ids, "unknown-id"), row.path)


def decision_of(row: Row) -> Decision:
    assert (row.method, row.path) in DECISIONS, f"decide about {row.method} {row.path} in DECISIONS"
    return DECISIONS[row.method, row.path]


def is_envelope(response: httpx.Response) -> bool:
    error = response.json()["error"]
    return bool(error["message"]) and set(error) == {"message", "type", "param", "code"}


every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")


def test_every_row_has_a_decision_and_every_decision_a_row() -> None:
    assert {(row.method, row.path) for row in ROWS} == set(DECISIONS)
    assert len({(row.method, row.path) for row in ROWS}) == len(ROWS)


def test_a_row_needs_the_token_unless_it_says_otherwise() -> None:
    assert Row("GET", "/-/x", ROWS[0].handler, "", None).access == "token"
    for row in ROWS:
        assert (row.access == "token") or decision_of(row).may_be_open, f"{row.path} is open: decide that here"


def test_bodies_are_bounded() -> None:
    for row in ROWS:
        assert row.max_body_bytes <= (MAX_BULK_BYTES if row.path.endswith("/bulk") else MAX_BODY_BYTES)


@every_row
def test_without_a_credential_it_is_refused(matrix: Matrix, row: Row) -> None:
    response = matrix.send(row.method, path_of(row, decision_of(row)), None)
    assert (response.status_code, is_envelope(response)) == (401, True)
    assert "bearer" in response.headers["www-authenticate"].lower()


@every_row
def test_a_client_key_is_refused_and_says_what_to_use(matrix: Matrix, row: Row) -> None:
    path = path_of(row, decision_of(row))
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}):
        response = matrix.client.request(row.method, path, headers=headers)
        assert (response.status_code, is_envelope(response)) == (403, True)
        assert "admin token" in response.json()["error"]["message"]


@every_row
def test_a_revoked_or_unknown_key_is_refused(matrix: Matrix, row: Row) -> None:
    for secret in (matrix.revoked, TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        assert matrix.send(row.method, path_of(row, decision_of(row)), secret).status_code in (401, 429)


@every_row
def test_another_method_is_refused_only_behind_the_token(matrix: Matrix, row: Row) -> None:
    path = path_of(row, decision_of(row))
    allowed = {one.method for one in ROWS if one.path == row.path}
    for method in set(METHODS) - allowed:
        assert matrix.send(method, path, None).status_code == 401
        response = matrix.send(method, path, TOKEN)
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == allowed


@every_row
def test_the_token_is_taken_under_both_names(matrix: Matrix, row: Row) -> None:
    decision = decision_of(row)
    content = None if row.body is None else msgspec.json.encode(decision.body)
    path = path_of(row, decision)
    for headers in ({"authorization": f"Bearer {TOKEN}"}, {"x-api-key": TOKEN}):
        response = matrix.client.request(row.method, path, headers=headers, content=content)
        assert response.status_code in decision.right, response.text
        assert response.headers["cache-control"] == "no-store"
        assert TOKEN not in response.text


@every_row
def test_an_unknown_id_is_not_found(matrix: Matrix, row: Row) -> None:
    decision = decision_of(row)
    if not decision.ids:
        return
    content = None if row.body is None else msgspec.json.encode(decision.body)
    for name in (f"unknown-{row.method}", "key_0123456789ab", f"..%2f..%2f{row.method}", "%00", "x" * 300):
        path = re.sub(r"\{\w+\}", lambda _, name=name: name, row.path)  # type: ignore[misc]
        response = matrix.send(row.method, path, TOKEN, content=content)
        # The form of an id, and none that is there: what would be made by a name is not made.
        unknown = (404, 409) if name.startswith("key_") and row.method != "DELETE" else decision.unknown
        assert response.status_code in unknown, response.text
        assert response.status_code < 400 or is_envelope(response)


@every_row
def test_a_bad_body_is_refused_with_its_reason(matrix: Matrix, row: Row) -> None:
    if row.body is None:
        return
    path = path_of(row, decision_of(row))
    for content in (b"{", b"[1]", b'"text"', b"\xff", b'{"no_such_field": 1}', b"[" * 100_000):
        response = matrix.send(row.method, path, TOKEN, content=content)
        assert (response.status_code, is_envelope(response)) == (400, True), (content[:20], response.text)
    compressed = matrix.client.request(
        row.method, path, headers={"authorization": f"Bearer {TOKEN}", "content-encoding": "gzip"}, content=b"{}"
    )
    assert compressed.status_code == 415


@every_row
def test_a_body_that_is_too_long_is_refused(matrix: Matrix, row: Row) -> None:
    if row.body is None:
        return
    content = b'{"a": "' + b"x" * row.max_body_bytes + b'"}'
    assert matrix.send(row.method, path_of(row, decision_of(row)), TOKEN, content=content).status_code == 413


@every_row
def test_an_unknown_query_parameter_is_refused(matrix: Matrix, row: Row) -> None:
    response = matrix.send(row.method, path_of(row, decision_of(row)) + "?no_such=1", TOKEN)
    assert (response.status_code, is_envelope(response)) == (400, True)


@pytest.mark.parametrize("path", ["/-/", "/-/nothing", "/admin/", "/admin/nothing", "/-/keys/a/b/c", "/-/%6beys"])
def test_a_path_that_no_row_has_is_not_found_only_behind_the_token(matrix: Matrix, path: str) -> None:
    for token, status in ((None, 401), (KEY, 403), (TOKEN, 404)):
        assert matrix.send("GET", path, token).status_code == status


@every_row
def test_pages_of_other_origins_get_no_headers_of_cors(matrix: Matrix, row: Row) -> None:
    headers = {"origin": "https://evil.test", "access-control-request-method": row.method}
    for method in (row.method, "OPTIONS"):
        response = matrix.client.request(method, path_of(row, decision_of(row)), headers=headers)
        assert response.status_code == 401
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_no_response_type_has_a_field_for_a_secret_in_use() -> None:
    """A secret is returned once, where it is made: by a type whose name says so."""
    for row in ROWS:
        if row.response is None or row.response.__name__.startswith(("Created", "OrgConfig")):
            continue
        names = {field.name for field in msgspec.structs.fields(row.response)}
        assert not names & {"secret", "password", "credential"}, row.path
