"""What schemathesis makes of the document as it is served, sent to the demo: valid requests, and invalid ones.

`make api-fuzz` sends many more of them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.pages.documentation.openapi.conformance import Conformance
from tests.pages.documentation.openapi.requests import Objects, operations
from tests.pages.documentation.openapi.validation import document
from tests.serving import KEY, RunningGateway
from tests.spec.demo import Demo

OPERATIONS: Final = {one.name: one for one in operations(document())}
BEARER: Final = {"authorization": f"Bearer {KEY}"}
CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Fuzzing:
    """Sends requests that are made up, and holds each response against the document."""

    def __init__(self, gateway: RunningGateway, session: requests.Session, client: httpx.Client) -> None:
        self._url = gateway.url
        self._session = session
        self._client = client
        schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
        self._described = {name: schema[one.path][one.method] for name, one in OPERATIONS.items()}
        self._conformance = Conformance(document())

    def run(self, name: str, mode: GenerationMode, count: int, *, repeatable: bool = True) -> None:
        """Send so many requests to an operation, mostly about objects that are there."""
        operation = OPERATIONS[name]
        objects = Objects(self._client, OPERATIONS.values())

        @settings(
            max_examples=count,
            phases=[Phase.generate],
            derandomize=repeatable,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=self._described[name].as_strategy(mode),
            known=st.sampled_from((True, True, False) if operation.places else (False,)),
        )
        def send(case: Any, known: bool) -> None:
            if known:
                case.path_parameters.update({place: objects.find(operation, place) for place in operation.places})
            response = case.call(base_url=self._url, headers=BEARER, session=self._session, timeout=60)
            case.validate_response(response, checks=CHECKS)
            headers = [(name, value) for name, values in response.headers.items() for value in values]
            again = httpx.Response(response.status_code, headers=headers, content=response.content)
            assert self._conformance.faults(operation, again) == []

        send()


@pytest.fixture(scope="module")
def fuzzing(demo: RunningGateway) -> Iterator[Fuzzing]:
    with requests.Session() as session, httpx.Client(base_url=demo.url, headers=BEARER, timeout=30) as client:
        yield Fuzzing(demo, session, client)


def test_what_is_served_is_what_these_tests_go_by(demo: RunningGateway) -> None:
    with httpx.Client(base_url=demo.url) as client:
        assert client.get("/openapi.json").json()["paths"] == document()["paths"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_valid_requests_get_documented_responses(fuzzing: Fuzzing, name: str) -> None:
    fuzzing.run(name, GenerationMode.POSITIVE, 3)


#: Of the others no request can be invalid.
WITH_INPUT: Final = [name for name, one in OPERATIONS.items() if one.bodies or one.described.get("parameters")]


@pytest.mark.parametrize("name", WITH_INPUT)
def test_invalid_requests_get_documented_responses(fuzzing: Fuzzing, name: str) -> None:
    fuzzing.run(name, GenerationMode.NEGATIVE, 2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("name", WITH_INPUT)
def test_many_requests_get_documented_responses(fuzzing: Fuzzing, name: str, mode: GenerationMode) -> None:
    fuzzing.run(name, mode, 200, repeatable=False)


@pytest.mark.slow
def test_requests_at_the_bounds_of_the_schemas_get_documented_responses(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{demo.url}/openapi.json", "--seed", "7"]
        command += ["-H", f"Authorization: Bearer {demo.key}", "--checks", ",".join(one.__name__ for one in CHECKS)]
        command += [
            "--phases",
            "examples,coverage",
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
            "--no-color",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1_200, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
