"""The rules for values: what passes, and what does not."""

import pytest

from proxy.config import rules
from proxy.config.tree import Capability


@pytest.mark.parametrize(
    "url", ["http://h", "https://h/v1", "http://127.0.0.1:8000/v1", "http://[::1]:80/v1", "https://h/a/b/"]
)
def test_good_addresses_pass(url: str) -> None:
    assert list(rules.base_url(url)) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://h", "must begin with http:// or https://"),
        ("h/v1", "must begin with http:// or https://"),
        ("", "must begin with http:// or https://"),
        ("http://", "names no host"),
        ("http:///v1", "names no host"),
        ("http://u:p@h", "holds a user name or a password"),
        ("http://h?a=b", "holds a query"),
        ("http://h?", "holds a query"),
        ("http://h#", "holds a fragment"),
        ("http://h:99999", "is no valid address"),
        ("http://h:0", "is no valid address"),
        ("http://h:x", "is no valid address"),
        ("http://[::1", "is no valid address"),
        ("http://h/a b", "is no valid address"),
        ("http://h\r\nX: y", "is no valid address"),
        ("http://bücher.example", "is no valid address"),
    ],
)
def test_wrong_addresses_are_reported(url: str, message: str) -> None:
    assert [wrong for wrong, _ in rules.base_url(url)] == [message]


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:80",
        "chrome-extension://abc",
        "tauri://localhost",
    ],
)
def test_origins_pass(text: str) -> None:
    assert list(rules.origin(text)) == []


@pytest.mark.parametrize(
    "text",
    ["", "app.example.com", "https://app.example.com/", "https://*.example.com", "https://a b", "https://", "a,b"],
)
def test_what_no_browser_sends_as_an_origin_does_not(text: str) -> None:
    assert [wrong for wrong, _ in rules.origin(text)] == ["is no origin"]


@pytest.mark.parametrize("text", ["0", "1", "1.10", "0.000000001", "999999999"])
def test_exact_prices_pass(text: str) -> None:
    assert list(rules.price(text)) == []


@pytest.mark.parametrize("text", ["-1", "", "1e3", "NaN", "inf", "1.", ".5", "0.0000000001", "1,5", "1000000000", "١"])
def test_other_prices_do_not(text: str) -> None:
    assert len(list(rules.price(text))) == 1


@pytest.mark.parametrize(
    ("capability", "kinds", "count"),
    [
        ("chat", {"input", "output", "cached_input", "cache_write"}, 0),
        ("chat", {"minute"}, 1),
        ("chat", {"minute", "image"}, 2),
        ("chat", set(), 1),
        ("audio", {"minute"}, 0),
        ("audio", {"input", "output"}, 0),
        ("audio", {"minute", "input"}, 1),
        ("image", {"image"}, 0),
        ("image", {"image", "input"}, 1),
        ("embeddings", {"input"}, 0),
        ("embeddings", {"output"}, 1),
    ],
)
def test_prices_fit_the_capability(capability: Capability, kinds: set[str], count: int) -> None:
    assert len(list(rules.price_kinds(capability, kinds))) == count


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
def test_listening_addresses_pass(host: str) -> None:
    assert list(rules.listen_host(host)) == []


@pytest.mark.parametrize("host", ["", "a b", "http://h", "h:80", "[::1]"])
def test_other_listening_addresses_do_not(host: str) -> None:
    assert len(list(rules.listen_host(host))) == 1


@pytest.mark.parametrize("name", ["Host", "CONTENT-LENGTH", "transfer-encoding", "Connection", "accept-encoding"])
def test_headers_of_the_transport_are_refused(name: str) -> None:
    assert len(list(rules.header_name(name, with_credential=False))) == 1


def test_authorization_may_stand_where_no_api_key_is_given() -> None:
    assert list(rules.header_name("Authorization", with_credential=False)) == []


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\x00b", "a\x7fb", "ü"])
def test_header_values_are_plain(value: str) -> None:
    assert len(list(rules.header_value(value))) == 1


def test_the_model_may_stand_in_the_path_of_an_address() -> None:
    assert list(rules.base_url("https://r.openai.azure.com/openai/deployments/{model}")) == []


@pytest.mark.parametrize(
    "url", ["https://{model}.example.com/v1", "https://h/{deployment}", "https://h/{model", "http://h/}"]
)
def test_other_braces_are_reported(url: str) -> None:
    assert [wrong for wrong, _ in rules.base_url(url)] == ["holds braces"]


@pytest.mark.parametrize(("name", "value", "count"), [("api-version", "2024-10-21", 0), ("", "x", 1), ("a", "b\nc", 1)])
def test_query_parameters_are_plain(name: str, value: str, count: int) -> None:
    assert len(list(rules.query_parameter(name, value))) == count


@pytest.mark.parametrize(
    "text", ["127.0.0.1:9090", "[::1]:0", "localhost:1", "unix:/run/admin.sock", "unix:admin.sock"]
)
def test_addresses_with_a_port_pass(text: str) -> None:
    assert list(rules.listen_address(text)) == []


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::1:80", "h:99999", "h:x", ":80", "unix:", "unix:/" + "x" * 200, "[::1"]
)
def test_other_addresses_with_a_port_do_not(text: str) -> None:
    assert list(rules.listen_address(text))


@pytest.mark.parametrize(
    ("text", "count"), [("10.0.0.0/8", 0), ("::1", 0), ("10.0.0.1/8", 1), ("localhost", 1), ("", 1)]
)
def test_networks_are_addresses(text: str, count: int) -> None:
    assert len(list(rules.network(text))) == count


@pytest.mark.parametrize(
    ("token", "count"), [("x" * 32, 0), ("x" * 31, 1), ("x" * 31 + " ", 1), ("x" * 32 + "\n", 1), ("ä" * 40, 1)]
)
def test_an_admin_token_is_long_and_fits_into_a_header(token: str, count: int) -> None:
    assert len(list(rules.admin_token(token))) == count


@pytest.mark.parametrize("text", ["", "https://ai.example.com", "http://10.0.0.1:8080/", "http://[::1]:8080"])
def test_addresses_of_a_site_pass(text: str) -> None:
    assert list(rules.public_url(text)) == []


@pytest.mark.parametrize(
    "text", ["ai.example.com", "ftp://a", "https://user:pw@a", "https://a/v1", "https://a?b", "https://a b", "https://"]
)
def test_what_is_no_address_of_a_site_does_not(text: str) -> None:
    assert [wrong for wrong, _ in rules.public_url(text)] == ["is no address of a site"]
