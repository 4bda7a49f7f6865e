"""Changes that all workers make together: one after the other, and each to its end."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from proxy.config.tree import Config
from proxy.process.group_reload import APPLIED, REFRESH, REQUEST_REFRESH, RESPONSE, GroupReload
from proxy.process.reload import ConfigSource, ReloadResult

TEXT = '[upstreams.u]\nbase_url = "http://127.0.0.1:9/v1"\n[models.{}]\ncapability = "chat"\ntargets = ["u/m"]\n'


class Workers:
    """The supervisor, as far as it broadcasts: the results are given by the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self._done: Callable[[dict[str, bytes]], None] | None = None

    def broadcast(self, word: str, payload: bytes, done: Callable[[dict[str, bytes]], None], seconds: float) -> None:
        assert self._done is None, "two broadcasts at once"
        self.sent.append((word, payload))
        self._done = done

    def respond(self, *results: bytes) -> None:
        done, self._done = self._done, None
        assert done is not None
        done({f"worker {number}": result for number, result in enumerate(results, 1)})


class Requester:
    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []

    def send(self, word: str, payload: bytes = b"") -> bool:
        self.received.append((word, payload))
        return True


def started(folder: Path) -> tuple[Workers, GroupReload, Path]:
    file = folder / "prometheus.toml"
    file.write_text(TEXT.format("first"))
    source = ConfigSource(file, {})
    config = source.read().config
    source.applied(config)
    workers = Workers()
    return workers, GroupReload(workers, config, source), file


def aliases(payload: bytes) -> set[str]:
    return set(msgspec.json.decode(payload, type=Config).models)


def test_a_configuration_is_in_force_when_all_have_applied_it(tmp_path: Path) -> None:
    workers, reloads, file = started(tmp_path)
    results: list[ReloadResult] = []
    file.write_text(TEXT.format("second"))
    reloads.reload(results.append)
    assert [(word, aliases(payload)) for word, payload in workers.sent] == [("reload", {"second"})]
    assert results == []
    workers.respond(APPLIED, APPLIED)
    assert results[0].ok
    assert set(reloads.config.models) == {"second"}


def test_where_one_cannot_apply_it_all_go_back(tmp_path: Path) -> None:
    workers, reloads, file = started(tmp_path)
    results: list[ReloadResult] = []
    file.write_text(TEXT.format("second"))
    reloads.reload(results.append)
    workers.respond(APPLIED, b"no memory")
    assert aliases(workers.sent[-1][1]) == {"first"}
    workers.respond(APPLIED, APPLIED)
    assert not results[0].ok
    assert "worker 2: no memory" in str(results[0])
    assert set(reloads.config.models) == {"first"}


def test_what_is_requested_meanwhile_follows_and_reads_the_file_again(tmp_path: Path) -> None:
    workers, reloads, file = started(tmp_path)
    results: list[ReloadResult] = []
    failed: list[list[str]] = []
    file.write_text(TEXT.format("second"))
    reloads.reload(results.append)
    reloads.refresh(failed.append)
    file.write_text(TEXT.format("third"))
    reloads.reload(results.append)
    reloads.reload(results.append)
    workers.respond(APPLIED)
    workers.respond(APPLIED)
    workers.respond(APPLIED)
    assert [word for word, _ in workers.sent] == ["reload", "reload", REFRESH]
    assert aliases(workers.sent[1][1]) == {"third"}
    assert (len(results), failed) == (3, [[]])


def test_a_worker_gets_the_result_of_what_it_has_requested(tmp_path: Path) -> None:
    workers, reloads, _ = started(tmp_path)
    worker = Requester()
    reloads.requested(worker, REQUEST_REFRESH, b"7")
    workers.respond(APPLIED, b"keys.json is damaged")
    assert worker.received == [(RESPONSE, b'7 ["worker 2: keys.json is damaged"]')]


def test_an_unknown_request_changes_nothing(tmp_path: Path) -> None:
    workers, reloads, _ = started(tmp_path)
    reloads.requested(Requester(), "request-nothing", b"1")
    assert workers.sent == []
