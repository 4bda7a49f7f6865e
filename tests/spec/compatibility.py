"""`docs/compatibility.md`, made from the claims: `python -m tests.spec.compatibility`."""

from tests.spec.claims import Claim
from tests.spec.hosted_reference import HOSTED
from tests.spec.product_page import PRODUCT
from tests.spec.self_hosted_page import SELF_HOSTED
from tests.spec.wide_list import LIST
from tests.spec.wide_reference import WIDE

DOCUMENTS = (HOSTED, PRODUCT, SELF_HOSTED, WIDE, LIST)
_HEAD = """# Compatibility

What the public documents say that this gateway is compatible with, and whether it holds. Each row is a test in
`tests/spec/`, asked of the demo that `make run` starts; what is missing is a test too, which has to be turned once it
works. This page is made from them by `make docs`.

| document | works | partly | missing |
|---|---|---|---|
"""


def all_claims() -> list[Claim]:
    """The claims of all documents."""
    return [claim for document in DOCUMENTS for claim in document.all]


def document() -> str:
    """The page, as Markdown."""
    text = _HEAD
    for one in DOCUMENTS:
        missing = sum(bool(claim.missing) for claim in one.all)
        partly = sum(bool(claim.differs) for claim in one.all)
        text += f"| {one.all[0].document} | {len(one.all) - missing - partly} | {partly} | {missing} |\n"
    for one in DOCUMENTS:
        text += f"\n## {one.all[0].document.capitalize()}\n"
        heading = ""
        for claim in one.all:
            if claim.heading != heading:
                heading = claim.heading
                text += f"\n### {heading}\n\n| claim | holds |\n|---|---|\n"
            text += f"| {_cell(claim.text)} | {_cell(_holds(claim))} |\n"
    return text


def _holds(claim: Claim) -> str:
    if claim.missing:
        return f"missing: {claim.missing}"
    return f"partly: {claim.differs}" if claim.differs else "works"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(document(), end="")
