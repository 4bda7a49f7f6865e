"""The checks of `doctor`, one by one, on real files and loopback sockets."""

import asyncio
import resource
import socket
from pathlib import Path

import pytest

from proxy.cli import checks
from proxy.config.tree import Upstream
from proxy.ledger import sqlite


def reach(url: str) -> checks.Check:
    (check,) = asyncio.run(checks.upstreams({"up": Upstream(base_url=url)}))
    return check


def test_an_upstream_that_does_not_listen_fails_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed: int = server.getsockname()[1]
    check = reach(f"http://127.0.0.1:{closed}")
    assert (check.name, check.state) == ("upstream up", "fail")
    assert "that the upstream runs" in check.hint


def test_an_unknown_host_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio, "open_connection", unknown)
    assert reach("https://h").message == "h is not known: Name or service not known"


def test_a_host_that_does_not_answer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", silent)
    monkeypatch.setattr(checks, "_CONNECT_SECONDS", 0.01)
    assert "took no connection" in reach("https://h").message


def test_this_python_and_these_packages_are_good_enough() -> None:
    found = [checks.python(), *checks.packages(), checks.sqlite_version()]
    assert {check.state for check in found} == {"ok"}
    assert {"starlette", "uvicorn", "msgspec", "click"} <= {check.name for check in found}


def test_the_sentence_about_sqlite_is_for_people() -> None:
    message = checks.sqlite_version().message
    assert "bite" not in message
    assert "3.51" not in message or message.startswith("3.51")


def test_only_plain_dependencies_are_looked_at() -> None:
    assert "ruff" not in {check.name for check in checks.packages()}


@pytest.mark.parametrize(("minimum", "state"), [("0.1", "ok"), ("8.1.8", "ok"), ("999.0", "fail")])
def test_a_package_is_compared_by_numbers(minimum: str, state: str) -> None:
    assert checks.package("click", minimum).state == state


def test_a_package_that_is_missing_fails_and_says_how_to_mend_it() -> None:
    check = checks.package("no-such-package-here", "1.0")
    assert (check.state, check.hint) == ("fail", "pip install --upgrade 'no-such-package-here>=1.0'")


@pytest.mark.parametrize(("limit", "state"), [(1024, "warn"), (8_192, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_few_file_descriptors_are_a_warning(limit: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert checks.descriptors().state == state


def test_a_directory_that_is_not_there_yet_is_ok(tmp_path: Path) -> None:
    (check,) = checks.data_directory(tmp_path / "a" / "b")
    assert check.state == "ok"
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_directorys_place_fails(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert [check.state for check in checks.data_directory(tmp_path / "data")] == ["fail"]


def test_a_directory_of_ones_own_is_ok(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert [check.state for check in checks.data_directory(tmp_path)] == ["ok"]


def test_what_others_may_read_is_a_warning_each(tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_text("")
    (tmp_path / "keys.db").chmod(0o640)
    tmp_path.chmod(0o750)
    assert [(check.state, check.hint) for check in checks.data_directory(tmp_path)] == [
        ("warn", f"chmod go= {tmp_path}"),
        ("warn", f"chmod go= {tmp_path / 'keys.db'}"),
    ]


def test_the_demo_s_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "demo-key").write_text("x")
    (tmp_path / "demo-key").chmod(0o644)
    tmp_path.chmod(0o700)
    assert [check.hint for check in checks.data_directory(tmp_path)] == [f"chmod go= {tmp_path / 'demo-key'}"]


def test_a_damaged_database_fails_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    ledger, keys = checks.store(tmp_path)
    assert (ledger.state, keys.state) == ("fail", "fail")
    assert "is missing" in keys.message
    assert (tmp_path / "ledger.db").read_bytes() == b"no database at all" * 100


def test_damage_behind_the_first_page_fails_with_a_way_to_repair_it(tmp_path: Path) -> None:
    sqlite.create_rollback(tmp_path / "keys.db", sqlite.migrations("keys_"))
    whole = (tmp_path / "keys.db").read_bytes()
    (tmp_path / "keys.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    _, keys = checks.store(tmp_path)
    assert (keys.state, ".recover" in keys.message) == ("fail", True)


def test_a_database_that_is_too_large_to_be_searched_says_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_large(*_: object) -> None:
        raise TimeoutError

    sqlite.create_rollback(tmp_path / "keys.db", sqlite.migrations("keys_"))
    monkeypatch.setattr(sqlite, "find_damage", too_large)
    _, keys = checks.store(tmp_path)
    assert (keys.state, "quick_check" in keys.hint) == ("ok", True)


@pytest.mark.parametrize("state", ["missing", "link to nothing", "empty", "directory"])
def test_keys_that_are_gone_beside_a_ledger_are_a_failure(state: str, tmp_path: Path) -> None:
    sqlite.open_writer(tmp_path / "ledger.db", "process").close()
    file = tmp_path / "keys.db"
    if state == "link to nothing":
        file.symlink_to("nowhere")
    elif state == "empty":
        file.touch(0o600)
    elif state == "directory":
        file.mkdir()
    _, keys = checks.store(tmp_path)
    assert (keys.name, keys.state) == ("keys.db", "fail")
    assert list(checks.data_directory(tmp_path))
