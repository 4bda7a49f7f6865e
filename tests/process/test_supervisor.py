"""What the supervisor does with processes that do not come up, hang, or do not answer; in processes of their own."""

import subprocess
import sys
from pathlib import Path

#: A supervisor over two workers whose work is written in each test, with short waits.
SCRIPT = """
import asyncio, os, socket, sys, time
from proxy.config.tree import Server
from proxy.process import supervisor
from proxy.process.supervisor import ChildProcess, Supervisor, WorkersFailed
supervisor.MIN_RESTART_DELAY_SECONDS = supervisor.MAX_RESTART_DELAY_SECONDS = supervisor.TICK_SECONDS = 0.01
supervisor.START_SECONDS = supervisor.EXIT_SECONDS = 0.5

class Delegate:
    server = Server(worker_timeout=0.5, shutdown_timeout=0.1)
    def ready(self): print("ready", flush=True); act()
    def hang_up(self): pass
    def exited(self, worker): write(f"exited {{worker}}") if show_exits else None
    def draining(self): print("draining", flush=True)
    def waiting(self, running, *, again): pass
    def tick(self): pass

def say(channel, word): channel.sendall(word + b"\\n")
def write(line): os.write(1, line.encode() + b"\\n")
def act(): pass
show_exits = False

{work}

workers = [ChildProcess(f"worker {{n}}", lambda channel, n=n: work(channel, n), None) for n in (1, 2)]
boss = Supervisor(workers, None, [], Delegate())
try:
    boss.run()
except WorkersFailed as error:
    print("failed:", error)
"""


def outcome(folder: Path, work: str) -> list[str]:
    """What a supervisor prints, of whom it is expected to end by itself."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(work=work))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()


def test_workers_that_never_come_up_are_given_up(tmp_path: Path) -> None:
    *_, last = outcome(tmp_path, "def work(channel, number): return 7")
    assert last.startswith("failed: worker")
    assert last.endswith("times in a row as soon as it was started: with exit code 7")


def test_what_a_worker_says_on_its_first_start_is_why_all_end(tmp_path: Path) -> None:
    work = "def work(channel, number):\n    say(channel, b'failed the disk is full')\n    return 1"
    assert outcome(tmp_path, work)[-1] == "failed: the disk is full"


def test_an_error_in_a_worker_ends_its_process_and_no_other(tmp_path: Path) -> None:
    *_, last = outcome(tmp_path, "def work(channel, number): raise RuntimeError")
    assert last.endswith("with exit code 70")


def test_a_worker_that_is_silent_from_its_start_is_killed(tmp_path: Path) -> None:
    work = "supervisor.MAX_EARLY_EXITS = 1\ndef work(channel, number): time.sleep(60)"
    assert outcome(tmp_path, work)[-1].endswith("by signal SIGKILL")


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    work = """
def act(): boss.stop()
def work(channel, number):
    say(channel, b"ready")
    while True:
        say(channel, b"heartbeat ")
        time.sleep(0.05)
"""
    assert outcome(tmp_path, work) == ["ready", "draining"]


def test_all_are_asked_and_those_that_do_not_answer_are_replaced(tmp_path: Path) -> None:
    work = """
def act():
    boss.broadcast("reload", b"it", lambda answers: (print(sorted(answers.items())), boss.stop()), 0.3)
def work(channel, number):
    say(channel, b"ready")
    asked = channel.recv(100)
    if number == 1 or asked != b"reload it\\n":
        return 0
    say(channel, b"result yes")
    return 0
"""
    assert outcome(tmp_path, work)[1] == "[('worker 2', b'yes')]"


def test_the_end_of_a_worker_is_passed_on_before_another_takes_its_place(tmp_path: Path) -> None:
    work = """
show_exits = True
def work(channel, number):
    write(f"began {number - 1}")
    return 7
"""
    lines = outcome(tmp_path, work)
    for place in "01":
        turns = [line.split()[0] for line in lines if line.endswith(f" {place}")]
        assert turns == ["began", "exited"] * (len(turns) // 2)
        assert len(turns) > 2
