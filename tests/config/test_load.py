"""Loading a configuration file: a valid one becomes a tree, and each fault is reported with its line."""

from decimal import Decimal
from pathlib import Path

import pytest

from proxy.config.load import load, parse
from proxy.config.problems import ConfigProblems, Problem
from proxy.config.tree import Config
from proxy.errors import ConfigFault

GOOD = """\
[server]
port = 0
data_dir = "elsewhere"

[upstreams.openai]
base_url = "https://api.example.com/v1/"
api_key = "${KEY}"
headers = { X-Team = "${TEAM}-a" }

[models.prometheus-core]
capability = "chat"
targets = ["openai/org/model", "openai/other"]
price = { input = "1.10", output = "4.40" }
"""


def problems(text: str, environment: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigProblems) as caught:
        parse(text, Path("p.toml"), environment or {})
    return caught.value.problems


def test_a_good_file_becomes_the_tree(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(GOOD)
    config = load(file, {"KEY": "secret", "TEAM": "blue"})
    assert config.server.port == 0
    assert config.server.data_dir == "elsewhere"
    assert config.upstreams["openai"].api_key == "secret"
    assert config.upstreams["openai"].headers == {"X-Team": "blue-a"}
    price = config.models["prometheus-core"].price
    assert price is not None
    assert price.input == Decimal("1.10")


def test_a_base_url_ends_without_a_slash() -> None:
    config = parse(GOOD, Path("p.toml"), {"KEY": "k", "TEAM": "t"})
    assert config.upstreams["openai"].base_url == "https://api.example.com/v1"


def test_an_empty_file_is_all_defaults() -> None:
    assert parse("", Path("p.toml"), {}) == Config()


def test_without_an_environment_references_stay() -> None:
    assert parse(GOOD, Path("p.toml"), None).upstreams["openai"].api_key == "${KEY}"


def test_all_faults_are_reported_in_the_order_of_the_file() -> None:
    text = '[server]\nprot = 1\nport = "80"\n[upstreams.a]\n[models.m]\ncapability = "chta"\ntargets = ["b/c"]\n'
    assert [str(problem) for problem in problems(text)] == [
        'p.toml:2: server.prot: no such key (did you mean "port"?)',
        "p.toml:3: server.port: must be an integer from 0 to 65535, not a string (leave out the quotes)",
        'p.toml:4: upstreams.a: the key "base_url" is missing (such as '
        'base_url = "https://api.example.com/v1", or name the provider: kind = "openai", …)',
        'p.toml:6: models.m.capability: must be one of "audio", "chat", "embeddings", "image", "moderation", "ocr", '
        '"realtime", "rerank", "search", "speech", "vision" (did you mean "chat"?)',
        'p.toml:7: models.m.targets[0]: no upstream is named "b" (known: a)',
    ]


def test_the_error_is_a_config_fault_that_prints_every_problem() -> None:
    with pytest.raises(ConfigFault) as caught:
        parse("a = 1\nb = 2\n", Path("p.toml"), {})
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = \n", 1, "TOML syntax: Invalid value at column 5"),
        ("[server]\nport = 1\nport = 2\n", 3, "TOML syntax: Cannot overwrite a value at column 9"),
        ("[server]\na = [1,\n", 3, "TOML syntax: Invalid value at the end of the file"),
    ],
)
def test_a_syntax_error_has_line_and_column(text: str, line: int, message: str) -> None:
    (problem,) = problems(text)
    assert (problem.line, problem.message) == (line, message)


def test_endless_nesting_is_a_fault() -> None:
    (problem,) = problems("a = " + "[" * 20_000 + "]" * 20_000)
    assert problem.message == "is nested too deeply"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 1\r\n")
    assert load(file, {}).server.port == 1


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a = 1\nb = '\xff'\n", 2, "is no UTF-8 text"),
        (b"#" * (4 * 1024 * 1024 + 1), None, "is larger than 4 MiB"),
    ],
)
def test_a_file_that_is_no_toml_text(tmp_path: Path, content: bytes, line: int | None, message: str) -> None:
    file = tmp_path / "p.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigProblems) as caught:
        load(file, {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.message) == (line, message)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems, match=r"No such file.*prometheus-gateway init"):
        load(tmp_path / "none.toml", {})
