"""The checks of `doctor`. Each says ok, warn or fail, and how to mend it; none changes anything.

They write no file. An upstream is sent a GET of its models, as `serve` sends it when it starts.
"""

import asyncio
import os
import platform
import re
import resource
import socket
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from proxy.cli.demo_key import FILE_NAME
from proxy.cli.verdicts import check_models
from proxy.config.tree import Model, Upstream, split_target
from proxy.errors import StoreFailed
from proxy.ledger import sqlite

_DISTRIBUTION = "prometheus-gateway"
# Seconds to search a database for damage.
_SEARCH_SECONDS = 20.0
_CONNECT_SECONDS = 2.0
_MAX_CONCURRENT = 16
# Two descriptors a stream, and some for the store.
_MIN_DESCRIPTORS = 8_192


class Check(msgspec.Struct, frozen=True):
    """The result of one check."""

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    #: How to mend it; empty when there is nothing to mend.
    hint: str = ""


def python() -> Check:
    """Is this Python new enough?"""
    version = platform.python_version()
    if not _at_least(version, "3.11"):
        return Check("python", "fail", f"{version} is too old", "install Python 3.11 or newer")
    return Check("python", "ok", version)


def packages() -> Iterator[Check]:
    """Is each package there that the gateway declares, and new enough?"""
    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Check("packages", "warn", "the gateway is not installed, only imported", "pip install it")
        return
    for requirement in required:
        # Those behind a marker (";") belong to extras.
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9.]+)", requirement)
        if match:
            yield package(match[1], match[2])


def package(name: str, minimum: str) -> Check:
    """Is one package there, and at least `minimum`?"""
    hint = f"pip install --upgrade '{name}>={minimum}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "fail", "is not installed", hint)
    if not _at_least(version, minimum):
        return Check(name, "fail", f"{version} is older than {minimum}", hint)
    return Check(name, "ok", version)


def sqlite_version() -> Check:
    """Can the SQLite that Python brings hold the ledger?"""
    version = sqlite3.sqlite_version
    oldest = ".".join(map(str, sqlite.MIN_SQLITE))
    if sqlite3.sqlite_version_info < sqlite.MIN_SQLITE:
        return Check("sqlite", "fail", f"{version} is older than {oldest}", "use a Python that brings a newer SQLite")
    if sqlite3.sqlite_version_info < (3, 51, 3):
        note = "good here; do not write to the ledger with other programs while the gateway runs"
        return Check("sqlite", "ok", f"{version}, {note}")
    return Check("sqlite", "ok", version)


def descriptors() -> Check:
    """May this process open enough files for many streams?"""
    # The gateway raises its soft limit to the hard one.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _MIN_DESCRIPTORS:
        what = f"{hard} open files allow about {hard // 2} streams a worker"
        return Check("file descriptors", "warn", what, "ulimit -n 65536, or LimitNOFILE= in the service")
    return Check("file descriptors", "ok", "no limit" if hard == resource.RLIM_INFINITY else str(hard))


def data_directory(directory: Path) -> Iterator[Check]:
    """Can the gateway write its data, and no other user read it?"""
    name = "data directory"
    if not directory.exists():
        parent = next((above for above in directory.absolute().parents if above.exists()), Path("/"))
        if not os.access(parent, os.W_OK | os.X_OK):
            yield Check(
                name, "fail", f"{directory} cannot be made", f"let this user write in {parent}, or use --data-dir"
            )
        else:
            yield Check(name, "ok", f"{directory} is not there yet; the first start makes it")
        return
    if not directory.is_dir():
        yield Check(name, "fail", f"{directory} is no directory", "name another with --data-dir")
        return
    if not os.access(directory, os.W_OK | os.X_OK | os.R_OK):
        yield Check(name, "fail", f"{directory} cannot be read and written", "give it to this user, or use --data-dir")
        return
    open_to_others = [
        path
        for path in (directory, *sorted(directory.glob("*.db")), directory / FILE_NAME)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    for path in open_to_others:
        mode = f"{stat.S_IMODE(path.stat().st_mode):04o}"
        yield Check(name, "warn", f"{path} is open to other users (mode {mode})", f"chmod go= {path}")
    if not open_to_others:
        yield Check(name, "ok", str(directory))


def store(directory: Path) -> Iterator[Check]:
    """Can the databases be read, and by this version?"""
    for name, prefix in (("ledger.db", ""), ("keys.db", "keys_")):
        path = directory / name
        if path.exists():
            yield asyncio.run(_database(path, prefix))
        elif prefix and (directory / "ledger.db").exists():
            what = f"{path} is missing, though there is a ledger: no key works"
            yield Check(name, "fail", what, "put it back, or make new keys: prometheus-gateway keys create NAME")
        else:
            yield Check(name, "ok", "is not there yet")


async def _database(path: Path, prefix: str) -> Check:
    known = len(sqlite.migrations(prefix))
    try:
        connection = await sqlite.open_reader(path)
        try:
            version = await sqlite.version_of(connection, path)
            damage = await sqlite.find_damage(connection, path, _SEARCH_SECONDS)
        finally:
            await connection.close()
    except StoreFailed as error:
        return Check(path.name, "fail", error.message, "start from a copy, or name another --data-dir")
    except TimeoutError:
        hint = f"search it yourself: sqlite3 {path.name} 'PRAGMA quick_check'"
        return Check(path.name, "ok", f"{path} can be read; it is too large to search all of it for damage", hint)
    if damage is not None:
        return Check(path.name, "fail", f"{path}: {sqlite.repair_advice(path, damage)}", "start from a copy")
    if prefix and not version:
        return Check(path.name, "fail", f"{path} is empty: no key works", "put a whole copy there")
    if version > known:
        return Check(path.name, "fail", f"{path} was written by a newer gateway", "install that version")
    return Check(path.name, "ok", f"{path} can be read")


async def upstreams(configured: Mapping[str, Upstream], models: Mapping[str, Model] | None = None) -> list[Check]:
    """Does each upstream answer, does it take its credential, and does it know the models of the aliases?"""
    places = asyncio.Semaphore(_MAX_CONCURRENT)

    async def bounded(name: str, upstream: Upstream) -> list[Check]:
        async with places:
            return await _upstream(name, upstream, _wanted(name, models or {}))

    found = await asyncio.gather(*(bounded(name, upstream) for name, upstream in configured.items()))
    return [check for checks in found for check in checks]


def _wanted(upstream: str, models: Mapping[str, Model]) -> dict[str, list[str]]:
    """The models that targets name on an upstream, with their aliases."""
    wanted: dict[str, list[str]] = {}
    for alias, model in models.items():
        for name, its_model in map(split_target, model.targets):
            if name == upstream:
                wanted.setdefault(its_model, []).append(alias)
    return wanted


async def _upstream(name: str, upstream: Upstream, wanted: Mapping[str, Sequence[str]]) -> list[Check]:
    title = f"upstream {name}"
    unreached = await _reach(title, upstream)
    if unreached is not None:
        return [unreached]
    found = []
    for place, key in enumerate(upstream.credentials, 1):
        # Each account may refuse its key, and lack models, apart from the others.
        one = msgspec.structs.replace(upstream, api_key=key, api_keys=[])
        number = f"#{place}" if upstream.api_keys else ""
        found += [Check(title + number, *verdict) for verdict in await check_models(name, one, wanted)]
    return found


async def _reach(title: str, upstream: Upstream) -> Check | None:
    """Does its name resolve, and does it take a connection within two seconds? None if so."""
    parts = urlsplit(upstream.base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if upstream.proxy:
        # Whether the upstream can be reached through it shows with the first request.
        proxy = urlsplit(upstream.proxy)
        host, port = proxy.hostname or "", proxy.port or 80
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            if upstream.socket is not None:
                host, port = upstream.socket, 0
                _, writer = await asyncio.open_unix_connection(upstream.socket)
            else:
                _, writer = await asyncio.open_connection(host, port)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        return Check(title, "fail", f"{host} is not known: {why}", "check base_url and the name server")
    except TimeoutError:
        what = f"{host}:{port} took no connection in {_CONNECT_SECONDS:g} s"
        return Check(title, "fail", what, "check base_url, the firewall and the route")
    except OSError as error:
        what = f"{host}:{port} refused: {error.strerror or error}"
        return Check(title, "fail", what, "check base_url, and that the upstream runs")
    writer.close()
    return None


def _at_least(version: str, minimum: str) -> bool:
    return _numbers(version) >= _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version: 1.10.0rc1 is (1, 10, 0)."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()
