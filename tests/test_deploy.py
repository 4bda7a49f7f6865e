"""The files in `deploy/` fit the gateway that they deploy: its options, its settings, its times."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proxy.cli import config, serve
from proxy.config.tree import Admin, Server
from proxy.process.supervisor import EXIT_SECONDS
from proxy.server.listener import BACKLOG
from tests.exchange.samples import DONE, HELLO, JSON_ANSWER, ROLE, STOP, USAGE, ended, question
from tests.fakes import ScriptedUpstream, json_answer
from tests.policies.exposed import page
from tests.serving import RunningGateway, simple_config

DEPLOY = Path(__file__).parent.parent / "deploy"
SERVICE = DEPLOY / "prometheus-gateway.service"
SOCKET = DEPLOY / "prometheus-gateway.socket"
NGINX = DEPLOY / "nginx.conf"


def directives(unit: Path) -> dict[str, str]:
    """The directives of a unit, lines that go on joined."""
    text = unit.read_text().replace("\\\n", " ")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def nginx(name: str) -> str:
    """The value of a directive of the site."""
    found = re.search(rf"^\s*{name} (.*);$", NGINX.read_text(), re.MULTILINE)
    assert found is not None, name
    return found[1]


def options(command: str) -> Iterator[str]:
    return (word for word in shlex.split(command) if word.startswith("--"))


def test_the_service_starts_the_gateway_with_options_that_it_has() -> None:
    command = directives(SERVICE)["ExecStart"]
    known = {option for parameter in serve.command.params for option in parameter.opts}
    assert command.split()[1] == "serve"
    assert set(options(command)) <= known
    # It may write there and nowhere else.
    assert f"--data-dir /var/lib/{directives(SERVICE)['StateDirectory']}" in command


def test_the_reload_for_older_managers_is_a_command_that_there_is() -> None:
    (line,) = re.findall(r"# ExecReload=\S+ config (\S+) (.*)", SERVICE.read_text())
    command = config.command.commands[line[0]]
    assert set(options(line[1])) <= {option for parameter in command.params for option in parameter.opts}


def test_the_manager_waits_longer_than_the_gateway_takes_to_end() -> None:
    longest = max(Server().shutdown_timeout, Server().drain_notice) + EXIT_SECONDS
    assert float(directives(SERVICE)["TimeoutStopSec"]) > longest


def test_the_main_process_alone_is_told_to_end() -> None:
    assert directives(SERVICE)["KillMode"] == "mixed"
    assert directives(SERVICE)["Type"] == "notify-reload"


def test_the_socket_is_where_the_gateway_would_listen_and_nginx_looks_for_it() -> None:
    address = f"{Server().host}:{Server().port}"
    assert directives(SOCKET)["ListenStream"] == nginx("server") == address
    assert int(directives(SOCKET)["Backlog"]) == BACKLOG


def test_nginx_gives_up_a_connection_before_the_gateway_does_and_repeats_no_request() -> None:
    assert float(nginx("keepalive_timeout").removesuffix("s")) < Server().keep_alive_timeout
    assert nginx("proxy_next_upstream") == "off"
    assert nginx("proxy_buffering") == nginx("proxy_request_buffering") == "off"
    assert nginx("proxy_http_version") == "1.1"


@pytest.mark.parametrize("file", [SERVICE, SOCKET, NGINX], ids=lambda file: file.name)
def test_settings_that_are_named_are_there(file: Path) -> None:
    named = re.findall(r"server\.([a-z_]+)", re.sub(r"server\.example|server \S+", "", file.read_text()))
    assert set(named) <= set(Server.__struct_fields__)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", [SERVICE, SOCKET], ids=lambda unit: unit.name)
def test_systemd_knows_every_directive(tmp_path: Path, unit: Path) -> None:
    for one in (SERVICE, SOCKET):
        # What this machine lacks: the installation, the user, and in older versions the type.
        text = re.sub(r"ExecStart=(.|\\\n)*?[^\\]\n", "ExecStart=/bin/true\n", one.read_text())
        (tmp_path / one.name).write_text(text.replace("notify-reload", "notify"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Unknown" not in said
    assert "Failed to parse" not in said
    assert "Invalid" not in said


ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
# Not an outcome among others, such as `timeout|gateway_shutdown`.
_METRIC = re.compile(r"(?<!\|)\b(?:prometheus_)?gateway_[a-z0-9_]+\b")


@pytest.fixture(scope="module")
def metrics_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of a gateway that has served."""
    folder = tmp_path_factory.mktemp("metrics")
    with ScriptedUpstream() as upstream:
        config = simple_config(folder, upstream.base_url)
        upstream.script(json_answer(JSON_ANSWER))
        upstream.script(ended(ROLE, HELLO, STOP, USAGE, DONE))
        with RunningGateway(msgspec.structs.replace(config, admin=Admin(open_metrics=True))) as gateway:
            with gateway.client() as client:
                for stream in (False, True):
                    gateway.chat(client, question(stream=stream))
                    client.read_answer()
            return page(gateway.port)


def metrics_in(text: str) -> set[str]:
    """The families that a text names, without the endings of a histogram's samples."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in _METRIC.findall(text)}


@pytest.mark.parametrize("file", [ALERTS, *DASHBOARDS], ids=lambda file: file.name)
def test_every_metric_that_a_dashboard_or_a_rule_names_is_in_the_page(file: Path, metrics_page: str) -> None:
    named = metrics_in(file.read_text())
    assert len(named) > 5
    assert named - set(re.findall(r"^# TYPE (\S+)", metrics_page, re.MULTILINE)) == set()


def test_every_label_in_a_dashboard_s_legends_is_one_of_its_metric(metrics_page: str) -> None:
    (file,) = DASHBOARDS
    samples = metrics_page.splitlines()
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel.get("targets", ()):
            (name, *_) = metrics_in(target["expr"])
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"])) - {"le"}
            lines = [line for line in samples if line.startswith(name)]
            for label in labels:
                assert not lines or any(f'{label}="' in line for line in lines), (panel["title"], label)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_accepts_the_page_and_the_rules(metrics_page: str) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics_page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    ruled = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert ruled.returncode == 0, ruled.stderr
