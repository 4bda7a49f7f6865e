"""`config reload` and SIGHUP, on a gateway that runs as a process of its own."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Run
from tests.cli.test_serve import Running, rows, running
from tests.exchange.samples import JSON_ANSWER, wait_until
from tests.fakes import RawClient, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.process.test_kill import make_key

CONFIG = """
[server]
port = 0
data_dir = "{data_dir}"

[upstreams.vendor]
base_url = "{base_url}"
api_key = "file:secret"
warm_connections = 0

[models.{alias}]
capability = "chat"
targets = ["vendor/inner"]
"""


class Place:
    """A folder with a configuration, a credential and a key."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.file = folder / "prometheus.toml"
        self._base_url = base_url
        self.write("first")
        self.rotate("sk-one")
        self.key = make_key(folder)

    def write(self, alias: str) -> None:
        data_dir = self.folder / "data"
        self.file.write_text(CONFIG.format(data_dir=data_dir, base_url=self._base_url, alias=alias))

    def rotate(self, credential: str) -> None:
        (self.folder / "secret").write_text(credential + "\n")

    def ask(self, serve: Running, alias: str) -> int:
        body = json.dumps({"model": alias, "messages": [{"role": "user", "content": "hello"}]}).encode()
        with RawClient("127.0.0.1", serve.port) as client:
            headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            client.request("POST", "/v1/chat/completions", body, headers)
            return client.read_answer()[0].status


def answer(_: RecordedRequest) -> list[Step]:
    return json_answer(JSON_ANSWER)


def test_the_command_waits_for_the_outcome_and_tells_it(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as serve:
            assert (place.ask(serve, "first"), place.ask(serve, "second")) == (200, 404)
            place.write("second")
            place.rotate("sk-two")
            done = run("config", "reload")
            assert (done.exit_code, done.stdout) == (
                0,
                f"{place.file}: applied; added models.second; removed models.first; changed upstreams.vendor\n",
            )
            assert (place.ask(serve, "first"), place.ask(serve, "second")) == (404, 200)
            assert [one.header("authorization") for one in upstream.requests] == ["Bearer sk-one", "Bearer sk-two"]
            code, _, said = serve.stop()
    assert code == 0
    # The log tells it too.
    assert "applied; added models.second" in said


def faults(result: Result) -> list[str]:
    return [problem["key"] for problem in json.loads(result.stdout)["problems"]]


def test_a_faulty_file_is_told_and_not_taken(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as serve:
            place.file.write_text(place.file.read_text().replace("base_url", "base_uri") + "\n[serve]\n")
            done = run("config", "reload", "--data-dir", "data")
            assert (done.exit_code, done.stdout) == (1, "")
            assert "not applied" in done.stderr
            for fault in ("base_uri", "serve"):
                assert fault in done.stderr
            as_json = run("config", "reload", "--data-dir", "data", "--json")
            assert as_json.exit_code == 1
            assert json.loads(as_json.stdout)["ok"] is False
            assert len(faults(as_json)) >= 2
            assert place.ask(serve, "first") == 200
            _, _, said = serve.stop()
    assert said.count("not applied") == 2


def test_what_needs_a_restart_is_named(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder, "--port", "0"):
            place.file.write_text(place.file.read_text().replace("[server]", "[server]\nhost = '0.0.0.0'"))
            done = run("config", "reload", "--json")
            # The port was given on the command line, which goes on to win over the file.
            assert json.loads(done.stdout)["changes"]["needs_restart"] == ["server.host"]


def test_a_signal_reloads_too(folder: Path) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as serve:
            place.write("second")
            serve.process.send_signal(signal.SIGHUP)
            wait_until(lambda: place.ask(serve, "second") == 200, "the reload")


def test_the_socket_is_found_however_long_its_path_is(folder: Path, run: Run) -> None:
    long = folder / ("d" * 100) / ("e" * 100)
    long.mkdir(parents=True)
    with ScriptedUpstream(answer) as upstream:
        place = Place(long, upstream.base_url)
        with running(long):
            place.write("second")
            assert run("config", "reload", "--data-dir", str(long / "data")).exit_code == 0


def test_where_none_runs_the_command_says_so(folder: Path, run: Run) -> None:
    done = run("config", "reload")
    assert done.exit_code == 1
    assert "no gateway runs in data" in done.stderr


def test_a_killed_gateway_s_socket_is_no_hindrance(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as serve:
            serve.process.kill()
            serve.process.wait()
        assert "no gateway runs" in run("config", "reload").stderr
        with running(folder) as serve:
            place.write("second")
            assert run("config", "reload").exit_code == 0
            assert serve.stop()[0] == 0
    assert not (folder / "data" / "control.sock").exists()


def test_a_demo_has_nothing_to_reload(folder: Path, run: Run) -> None:
    with running(folder, "--port", "0") as serve:
        done = run("config", "reload")
        assert done.exit_code == 1
        assert "without a configuration file" in done.stderr
        assert "prometheus-gateway init" in done.stderr
        assert "\n:" not in done.stderr
        # Its terminal is gone: it ends.
        assert serve.stop(signal.SIGHUP)[0] == 0


def test_a_file_that_was_emptied_is_not_taken_by_a_signal_nor_by_the_command(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as serve:
            place.file.write_text("")
            serve.process.send_signal(signal.SIGHUP)
            refused = run("config", "reload")
            assert refused.exit_code == 1
            assert "is empty" in refused.stderr
            assert place.ask(serve, "first") == 200
            place.write("second")
            assert run("config", "reload").exit_code == 0
            assert (place.ask(serve, "first"), place.ask(serve, "second")) == (404, 200)
            # The signal may have been heard only after the file was whole again.
            assert "is empty" in serve.stop()[2]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_gateway_in_the_folder_leaves_the_first_one_its_orders(folder: Path, run: Run, workers: str) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder, "--workers", workers) as first:
            with running(folder, "--workers", workers) as second:
                place.write("second")
                assert run("config", "reload").exit_code == 0
                wait_until(lambda: place.ask(first, "second") == 200, "the first one's reload")
                assert place.ask(second, "first") == 200
                assert "another gateway runs" in second.stop()[2]
            place.write("third")
            assert run("config", "reload").exit_code == 0
            wait_until(lambda: place.ask(first, "third") == 200, "its next")


def test_when_the_first_of_two_ends_the_second_is_asked(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as first, running(folder) as second:
            assert first.stop()[0] == 0
            place.write("second")
            wait_until(lambda: run("config", "reload").exit_code == 0, "the second one's turn", seconds=20)
            assert place.ask(second, "second") == 200


def test_a_socket_that_was_removed_is_made_again(folder: Path, run: Run) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder):
            (folder / "data" / "control.sock").unlink()
            place.write("second")
            wait_until(lambda: run("config", "reload").exit_code == 0, "another socket", seconds=20)


def test_two_gateways_in_one_folder_bill_every_request_once(folder: Path) -> None:
    with ScriptedUpstream(answer) as upstream:
        place = Place(folder, upstream.base_url)
        with running(folder) as first, running(folder) as second:
            assert [place.ask(one, "first") for one in (first, second) * 10] == [200] * 20
            # The one that wrote the ledger is gone: the other takes over.
            first.process.kill()
            first.process.wait()
            assert [place.ask(second, "first") for _ in range(10)] == [200] * 10
            assert second.stop()[0] == 0
    found = rows(folder / "data")
    assert [row.outcome for row in found] == ["complete"] * 30
    assert len({row.id for row in found}) == 30
