"""Schemathesis asks the running demo every operation of `/openapi.json`: each answer is what the document says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.demo import Demo

#: No 5xx; no status, type or header that is not in the document; no answer that its schema does not allow.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance"),
)


def ask(demo: Demo, *options: str) -> None:
    """One run over all operations, with the same requests each time."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{demo.url}/openapi.json", "--seed", "7"]
    command += ["-H", f"Authorization: Bearer {demo.key}", "--checks", ",".join(CHECKS), "--request-timeout", "30"]
    command += ["--suppress-health-check", "all", "--warnings", "off", "--no-color", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_200, cwd=demo.data_dir)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]


def test_each_operation_answers_as_the_document_says(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        ask(demo, "--phases", "examples,fuzzing", "--max-examples", "1")


@pytest.mark.slow
def test_odd_requests_of_each_operation_are_answered_as_the_document_says(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        ask(demo, "--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--max-time", "900")
