"""Validation of sections: each fault is reported at its key, and no message has a resolved value."""

from pathlib import Path

import pytest
import trustme

from proxy.config.load import parse
from proxy.config.problems import ConfigProblems
from proxy.config.tree import Config

UPSTREAM = '[upstreams.up]\nbase_url = "https://h/v1"\n'
MODEL = UPSTREAM + '[models.m]\ntargets = ["up/x"]\n'
ENVIRONMENT = {
    "CRLF": "se\r\ncret",
    "EMPTY": "",
    "ODD": "ftp://secret",
    "PROXY": "http://user:secret@proxy.test:3128",
    "SPACE": "secret ",
    "USER": "https://u:secret@h",
}


def parsed(text: str, folder: Path = Path("/nowhere")) -> Config:
    return parse(text, folder / "p.toml", ENVIRONMENT)


def faults_of(text: str, folder: Path = Path("/nowhere")) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        parsed(text, folder)
    assert "secret" not in str(caught.value)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('[server]\nhost = "a b"', ["server.host: is no host name and no address"]),
        (
            MODEL + 'capability = "chat"\nprice = { input = "1", tiers = { Flex = { input = "1" } } }',
            ["models.m.price.tiers.Flex: a tier's name is 1 to 32 lower-case letters, digits, _, . and -"],
        ),
        (
            MODEL + 'capability = "chat"\nprice = { input = "1", tiers = { default = { input = "1" } } }',
            ["models.m.price.tiers.default: is the tier whose prices are the alias's own"],
        ),
        (
            MODEL + 'capability = "chat"\nprice = { input = "1", tiers = { flex = { input = "-1", minutes = "1" } } }',
            [
                "models.m.price.tiers.flex.minutes: no such key",
                "models.m.price.tiers.flex.input: must not be negative",
            ],
        ),
        (
            MODEL + 'capability = "rerank"\nprice = { search_unit = "1", input = "1" }',
            ["models.m.price: mixes two ways of billing"],
        ),
        ('[server]\nhost = "h:80"', ["server.host: must be without a port and without brackets"]),
        ('[server]\nkey_prefix = "a b"', ["server.key_prefix: must be 1 to 32 letters, digits, _ or -"]),
        ('[server]\ndata_dir = ""', ["server.data_dir: is no usable path"]),
        ('[upstreams.a]\nbase_url = "${ODD}"', ["upstreams.a.base_url: must begin with http:// or https://"]),
        ('[upstreams.a]\nbase_url = "${USER}"', ["upstreams.a.base_url: holds a user name or a password"]),
        ('[upstreams.a]\nbase_url = "${NONE}"', ["upstreams.a.base_url: the environment variable NONE is not set"]),
        (UPSTREAM + 'api_key = "${NONE}"', ["upstreams.up.api_key: the environment variable NONE is not set"]),
        (UPSTREAM + 'api_key = "${EMPTY}"', ["upstreams.up.api_key: the environment variable EMPTY is empty"]),
        (
            UPSTREAM + 'api_key = "${CRLF}"',
            ["upstreams.up.api_key: holds a line break or another control character"],
        ),
        (UPSTREAM + 'api_key = "${SPACE}"', ["upstreams.up.api_key: begins or ends with a space"]),
        (
            UPSTREAM + 'api_key = "\\u0000secret"',
            ["upstreams.up.api_key: holds a line break or another control character"],
        ),
        (
            UPSTREAM + 'headers = { a = "${CRLF}" }',
            ["upstreams.up.headers.a: holds a line break or another control character"],
        ),
        (UPSTREAM + 'headers = { "a:b" = "x" }', ['upstreams.up.headers."a:b": is no valid header name']),
        (
            UPSTREAM + 'headers = { Transfer-Encoding = "x" }',
            ["upstreams.up.headers.Transfer-Encoding: is a header that the gateway writes itself"],
        ),
        (
            UPSTREAM + 'api_key = "k"\nheaders = { authorization = "x" }',
            ["upstreams.up.headers.authorization: the credential is given twice, here and in api_key"],
        ),
        (
            UPSTREAM + 'headers = { x-a = "1", X-A = "2" }',
            ["upstreams.up.headers.X-A: is given twice: header names do not mind their case"],
        ),
        (UPSTREAM + 'query = { v = "${NONE}" }', ["upstreams.up.query.v: the environment variable NONE is not set"]),
        (UPSTREAM + 'query = { v = "${CRLF}" }', ["upstreams.up.query.v: is no usable query parameter"]),
        (
            '[upstreams."a/b"]\nbase_url = "http://h"',
            ['upstreams."a/b": an upstream\'s name is 1 to 128 printable ASCII characters without spaces and slashes'],
        ),
        (MODEL + 'capability = "chat"\nprice = { inputt = "1" }', ["models.m.price.inputt: no such key"]),
        (MODEL + 'capability = "chat"\nprice = {}', ["models.m.price: prices nothing"]),
        (
            MODEL + 'capability = "chat"\nprice = { minute = "1" }',
            ['models.m.price: "minute" does not fit the capability "chat"'],
        ),
        (
            MODEL + 'capability = "audio"\nprice = { minute = "1", input = "1" }',
            ["models.m.price: mixes two ways of billing"],
        ),
        (
            MODEL + 'capability = "chat"\nprice = { input = 1.5 }',
            ['models.m.price.input: must be a decimal number in quotes, such as "1.10"'],
        ),
    ],
)
def test_a_fault_is_reported_at_its_key(text: str, faults: list[str]) -> None:
    assert faults_of(text) == faults


@pytest.mark.parametrize("target", ["up", "up/", "/x", "", "up/x y", "up/\\u0007"])
def test_a_target_is_upstream_and_model(target: str) -> None:
    text = UPSTREAM + f'[models.m]\ncapability = "chat"\ntargets = ["{target}"]\n'
    assert faults_of(text) == ["models.m.targets[0]: must be of the form upstream/model"]


def test_a_model_needs_a_target() -> None:
    assert faults_of('[models.m]\ncapability = "chat"\ntargets = []') == ["models.m.targets: names no target"]


def test_a_target_may_name_an_upstream_that_has_a_fault_of_its_own() -> None:
    text = '[upstreams.up]\n[models.m]\ncapability = "chat"\ntargets = ["up/x"]\n'
    assert faults_of(text) == ['upstreams.up: the key "base_url" is missing']


def test_targets_after_a_wrong_one_keep_their_places() -> None:
    text = UPSTREAM + '[models.m]\ncapability = "chat"\ntargets = [1, "up/x", "no/x"]\n'
    assert sorted(faults_of(text))[1] == 'models.m.targets[2]: no upstream is named "no"'


@pytest.mark.parametrize("name", ["a b", "a,b", "", "a\\u0009", "naïve", "a\\u0022"])
def test_an_alias_is_printable_and_without_spaces(name: str) -> None:
    text = UPSTREAM + f'[models."{name}"]\ncapability = "chat"\ntargets = ["up/x"]\n'
    assert "an alias is" in faults_of(text)[0]


def test_a_credential_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\r\nmore\n")
    assert parsed(UPSTREAM + 'api_key = "file:key"', tmp_path).upstreams["up"].api_key == "from-a-file"


def test_an_unreadable_ca_file_is_a_fault(tmp_path: Path) -> None:
    assert faults_of(UPSTREAM + 'ca_file = "none.pem"', tmp_path) == [
        "upstreams.up.ca_file: cannot be read: No such file or directory"
    ]


def test_a_ca_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    assert parsed(UPSTREAM + 'ca_file = "ca.pem"', tmp_path).upstreams["up"].ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('proxy = "https://proxy.test"', ["upstreams.up.proxy: must begin with http://"]),
        ('proxy = "socks5://u:secret@proxy.test"', ["upstreams.up.proxy: must begin with http://"]),
        ('proxy = "http://u:secret@/"', ["upstreams.up.proxy: is no valid address"]),
        ('proxy = "proxy.test:3128"', ["upstreams.up.proxy: is no valid address"]),
        ('proxy = "http://proxy.test/path"', ["upstreams.up.proxy: holds a path"]),
        ('proxy = "${NONE}"', ["upstreams.up.proxy: the environment variable NONE is not set"]),
        ('proxy = "${CRLF}"', ["upstreams.up.proxy: is no valid address"]),
        ('proxy = "${PROXY}"\nsocket = "a.sock"', ["upstreams.up.socket: is given beside a proxy"]),
        ('socket = ""', ["upstreams.up.socket: is no usable path"]),
        (f'socket = "{"x" * 104}"', ["upstreams.up.socket: is longer than 103 bytes"]),
        ('client_key = "none.pem"', ["upstreams.up.client_key: cannot be read: No such file or directory"]),
        ('client_cert = "none.pem"', ["upstreams.up.client_cert: cannot be read: No such file or directory"]),
        ("formats = []", ["upstreams.up.formats: names no format"]),
        ('formats = ["openai", "cohere"]', ["upstreams.up.formats[1]: "]),
    ],
)
def test_what_is_wrong_with_the_way_to_an_upstream_is_reported(text: str, faults: list[str], tmp_path: Path) -> None:
    found = faults_of(UPSTREAM + text, tmp_path)
    assert all(one.startswith(fault) for one, fault in zip(found, faults, strict=False))
    assert len(found) >= len(faults)


def test_a_proxy_is_read_by_reference() -> None:
    assert parsed(UPSTREAM + 'proxy = "${PROXY}"').upstreams["up"].proxy == ENVIRONMENT["PROXY"]
    assert parsed(UPSTREAM).upstreams["up"].proxy == ""


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.vendor.test/v1", {"https_proxy": "p:1"}, "http://p:1"),
        ("http://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("http://api.vendor.test/v1", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.test, .vendor.test"}, ""),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "vendor.test"}, ""),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "*.vendor.test"}, ""),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "endor.test"}, "http://p:1"),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
        ("https://10.1.2.3/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.test vendor.test"}, ""),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "vendor.test:443"}, ""),
        ("https://api.vendor.test/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "vendor.test:8443"}, "http://p:1"),
        ("http://[::1]:8000/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "[::1]:8000"}, ""),
        ("http://[::1]:8000/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "[::1]:8001"}, "http://p:1"),
        ("http://[fd00::1]/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "::1,fd00::/8"}, ""),
        ("https://api.vendor.test/v1", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.vendor.test/v1", {"all_proxy": "http://p:1", "HTTPS_PROXY": "http://p:2"}, "http://p:2"),
        ("https://api.vendor.test/v1", {}, ""),
    ],
)
def test_the_environments_proxy_is_taken_where_that_is_asked_for(
    url: str, environment: dict[str, str], proxy: str
) -> None:
    text = f'[upstreams.up]\nbase_url = "{url}"\n'
    path = Path("/nowhere/p.toml")
    assert parse(text + 'proxy = "env"', path, environment).upstreams["up"].proxy == proxy
    assert parse(text, path, environment).upstreams["up"].proxy == ""


def test_a_socket_and_a_certificate_are_found_beside_the_configuration(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("gateway.test")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    upstream = parsed(UPSTREAM + 'socket = "up.sock"\nclient_cert = "both.pem"', tmp_path).upstreams["up"]
    assert upstream.socket == str(tmp_path / "up.sock")
    assert (upstream.client_cert, upstream.client_key) == (str(tmp_path / "both.pem"), None)


def test_a_certificate_that_cannot_be_used_is_a_fault(tmp_path: Path) -> None:
    one, other = (trustme.CA().issue_cert("gateway.test") for _ in range(2))
    one.cert_chain_pems[0].write_to_path(tmp_path / "one.pem")
    one.private_key_pem.write_to_path(tmp_path / "one.key")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    (tmp_path / "text.pem").write_text("secret")
    for certificate, key in (("one.pem", "other.key"), ("text.pem", "one.key"), ("one.pem", "text.pem")):
        (fault,) = faults_of(UPSTREAM + f'client_cert = "{certificate}"\nclient_key = "{key}"', tmp_path)
        assert fault.startswith("upstreams.up.client_cert: cannot be used with its key")
    (fault,) = faults_of(UPSTREAM + 'client_key = "one.key"', tmp_path)
    assert fault == "upstreams.up.client_key: is the key of no certificate"
    plain = UPSTREAM.replace("https:", "http:") + 'client_cert = "one.pem"\nclient_key = "one.key"'
    assert faults_of(plain, tmp_path) == ["upstreams.up.client_cert: is not sent without TLS"]


def test_the_admin_token_is_read_by_reference_and_a_weak_one_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a" * 40 + "\n")
    assert parsed('[admin]\ntoken = "file:token"\n', tmp_path).admin.token == "a" * 40
    faults = faults_of('[admin]\ntoken = "${SPACE}"\nlisten = "9090"\nnetworks = ["10.0.0.1/8"]\n')
    assert [fault.partition(":")[0] for fault in faults] == ["admin.token", "admin.listen", "admin.networks"]
