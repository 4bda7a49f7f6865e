"""Every claim of the documents, asked of the demo; what is missing must fail, so that it is turned once it works."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.spec.claims import Claim
from tests.spec.compatibility import all_claims, document
from tests.spec.demo import Demo

PAGE = Path(__file__).parent.parent.parent / "docs" / "compatibility.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with Demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


def _cases() -> list[object]:
    return [
        pytest.param(
            claim,
            id=claim.name,
            marks=pytest.mark.xfail(strict=True, reason=claim.missing) if claim.missing else (),
        )
        for claim in all_claims()
    ]


@pytest.mark.parametrize("claim", _cases())
def test_what_a_document_says_holds_in_the_demo(demo: Demo, claim: Claim) -> None:
    claim.check(demo)


def test_no_claim_stands_there_twice() -> None:
    twice = [name for name, count in Counter(claim.name for claim in all_claims()).items() if count > 1]
    assert twice == []


def test_the_page_is_what_the_claims_say() -> None:
    assert PAGE.read_text("utf-8") == document(), "run `make docs`"
