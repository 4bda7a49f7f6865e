"""Types and keys: each wrong one is reported with what is allowed, and valid ones are kept."""

from typing import Any

import pytest

from proxy.config.toml_positions import Path, dotted
from proxy.config.tree import Config
from proxy.config.typecheck import prune


def faults_of(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    faults: list[tuple[str, str, str]] = []

    def report(path: Path, message: str, hint: str) -> None:
        faults.append((dotted(path), message, hint))

    prune(Config, document, report)
    return faults


@pytest.mark.parametrize(
    ("document", "key", "message", "hint"),
    [
        (
            {"server": {"head_timeout": float("inf")}},
            "server.head_timeout",
            "must be a number over 0, at most 86400",
            "",
        ),
        ({"serve": {}}, "serve", "no such key", 'did you mean "server"?'),
        (
            {"zzz": {}},
            "zzz",
            "no such key",
            "known: admin, budgets, limits, metrics, models, otel, pages, server, upstreams, webhooks",
        ),
        ({"limits": {"globl": {}}}, "limits.globl", "no such table", 'did you mean "global"?'),
        ({"server": 1}, "server", "must be a table, not an integer", ""),
        ({"models": []}, "models", "must be a table, not an array", ""),
        ({"server": {"port": -1}}, "server.port", "must be an integer from 0 to 65535", ""),
        ({"server": {"port": 65_536}}, "server.port", "must be an integer from 0 to 65535", ""),
        ({"server": {"port": True}}, "server.port", "must be an integer from 0 to 65535, not true or false", ""),
        ({"server": {"port": 1.0}}, "server.port", "must be an integer from 0 to 65535, not a number", ""),
        ({"server": {"workers": 0}}, "server.workers", "must be an integer from 1 to 256", ""),
        ({"server": {"head_timeout": 0}}, "server.head_timeout", "must be a number over 0, at most 86400", ""),
        ({"server": {"head_timeout": -1.5}}, "server.head_timeout", "must be a number over 0, at most 86400", ""),
        ({"server": {"head_timeout": 1e9}}, "server.head_timeout", "must be a number over 0, at most 86400", ""),
        ({"server": {"head_timeout": 10**400}}, "server.head_timeout", "must be a number over 0, at most 86400", ""),
        (
            {"server": {"head_timeout": float("nan")}},
            "server.head_timeout",
            "must be a number over 0, at most 86400",
            "",
        ),
        (
            {"server": {"head_timeout": "10"}},
            "server.head_timeout",
            "must be a number over 0, at most 86400, not a string",
            "leave out the quotes",
        ),
        (
            {"server": {"expose_upstream": "true"}},
            "server.expose_upstream",
            "must be true or false, not a string",
            "leave out the quotes",
        ),
        ({"server": {"host": 1}}, "server.host", "must be a string, not an integer", ""),
        (
            {"server": {"durability": "powr"}},
            "server.durability",
            'must be one of "power", "process"',
            'did you mean "power"?',
        ),
        ({"upstreams": {"a": "b"}}, "upstreams.a", "must be a table, not a string", ""),
        (
            {"upstreams": {"a": {"base_url": "x", "headers": {"h": 1}}}},
            "upstreams.a.headers.h",
            "must be a string, not an integer",
            "",
        ),
        (
            {"models": {"m": {"capability": "chat", "targets": "a/b"}}},
            "models.m.targets",
            "must be an array, not a string",
            "put [ ] around it",
        ),
        (
            {"models": {"m": {"capability": "chat", "targets": ["a/b", 2]}}},
            "models.m.targets[1]",
            "must be a string, not an integer",
            "",
        ),
        (
            {"models": {"m": {"capability": "chat"}}},
            "models.m",
            'the key "targets" is missing',
            "targets is an array, each of it a string",
        ),
        (
            {"models": {"m": {"capability": "chat", "targets": [], "price": {"input": 1.1}}}},
            "models.m.price.input",
            'must be a decimal number in quotes, such as "1.10"',
            "put quotes around it, so that it stays exact",
        ),
    ],
)
def test_a_wrong_value_is_reported(document: dict[str, Any], key: str, message: str, hint: str) -> None:
    assert faults_of(document) == [(key, message, hint)]


def test_the_good_rest_is_kept() -> None:
    document = {"server": {"port": 1, "workers": "x"}, "upstreams": {"a": 1, "b": {"base_url": "u"}}}
    assert prune(Config, document, lambda *_: None) == {"server": {"port": 1}, "upstreams": {"b": {"base_url": "u"}}}


def test_a_wrong_credential_is_not_quoted() -> None:
    assert "12345" not in str(faults_of({"upstreams": {"a": {"base_url": "x", "api_key": 12345}}}))


@pytest.mark.parametrize("server", [{"port": 0}, {"port": 65_535}, {"head_timeout": 86_400.0}, {"head_timeout": 0.001}])
def test_the_ends_of_a_range_belong_to_it(server: dict[str, Any]) -> None:
    assert faults_of({"server": server}) == []


def test_whole_numbers_serve_as_seconds() -> None:
    assert faults_of({"server": {"head_timeout": 5}}) == []
