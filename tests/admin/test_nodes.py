"""The list of workers: who is in it, and who is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from proxy.admin.nodes import Nodes


def test_workers_see_each_other_and_those_that_have_ended_are_gone(tmp_path: Path) -> None:
    one, two = Nodes(tmp_path), Nodes(tmp_path)
    one.register("http://127.0.0.1:1")
    two.register("http://127.0.0.1:1")
    assert {node.id for node in one.running()} == {one.id, two.id}
    assert {node.id for node in two.running()} == {one.id, two.id}
    one.close()
    assert [node.id for node in two.running()] == [two.id]
    two.close()
    assert Nodes(tmp_path).running() == []
    assert list((tmp_path / "nodes").iterdir()) == []


def test_a_worker_that_drains_says_so(tmp_path: Path) -> None:
    one = Nodes(tmp_path)
    one.register("unix:/run/gateway.sock")
    one.drain()
    (node,) = Nodes(tmp_path).running()
    assert (node.status, node.addr, node.pid) == ("draining", "unix:/run/gateway.sock", os.getpid())
    one.close()


def test_a_killed_worker_is_gone_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from proxy.admin.nodes import Nodes\n"
        "Nodes(Path(sys.argv[1])).register('x')\nprint('up', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert [node.pid for node in Nodes(tmp_path).running()] == [process.pid]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Nodes(tmp_path).running() == []
        assert list((tmp_path / "nodes").iterdir()) == []


def test_a_damaged_entry_hides_no_other(tmp_path: Path) -> None:
    one = Nodes(tmp_path)
    one.register("x")
    (tmp_path / "nodes" / "other.json").write_text("{")
    assert [node.id for node in Nodes(tmp_path).running()] == [one.id]
    one.close()
