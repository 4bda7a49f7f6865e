"""Likely mistakes in a base URL: each has a correction, and addresses without one are left alone."""

import pytest

from proxy.config.addresses import base_url_warnings, with_version, without_endpoint
from proxy.config.tree import Kind, Upstream


def upstream(base_url: str, kind: Kind = "compatible", **query: str) -> Upstream:
    return Upstream(kind=kind, base_url=base_url, query={name.replace("_", "-"): text for name, text in query.items()})


@pytest.mark.parametrize(
    ("url", "stripped"),
    [
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/v1/Chat/Completions/", "https://host/v1"),
        ("https://host/v1/completions", "https://host/v1"),
        ("https://host/v1beta/models/gemini-2.5-pro:generateContent", "https://host/v1beta"),
        ("https://host/v1", None),
        ("https://host/v1/messages-of-ours", None),
    ],
)
def test_the_path_of_an_endpoint_is_taken_off(url: str, stripped: str | None) -> None:
    assert without_endpoint(url) == stripped


@pytest.mark.parametrize(
    ("kind", "url", "longer"),
    [
        ("openai", "https://host", "https://host/v1"),
        ("openai", "https://host/v1", None),
        ("compatible", "https://host", "https://host/v1"),
        ("compatible", "https://host/api", None),
        ("azure", "https://host", "https://host/openai/v1"),
        ("azure", "https://host/openai", "https://host/openai/v1"),
        ("azure", "https://host/openai/deployments/{model}", None),
    ],
)
def test_a_missing_version_is_added(kind: Kind, url: str, longer: str | None) -> None:
    assert with_version(upstream(url, kind)) == longer


@pytest.mark.parametrize(
    ("address", "messages"),
    [
        (upstream("https://host/v1"), []),
        (
            upstream("https://host/v1/responses"),
            ["ends in /responses, the path of an endpoint, which is added for each request"],
        ),
        (upstream("https://host/v1/v1"), ["has its version twice"]),
        (
            upstream("https://host/openai/deployments/{model}", "azure"),
            ["is one deployment's, and lacks the version"],
        ),
        (upstream("https://host/openai/deployments/{model}", "azure", api_version="2024-10-21"), []),
    ],
)
def test_each_mistake_is_one_warning(address: Upstream, messages: list[str]) -> None:
    assert [message for message, _ in base_url_warnings(address)] == messages
