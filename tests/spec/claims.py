"""What a claim is: one thing that a document says, the function that asks the demo for it, and what is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.spec.demo import Demo

Document = Literal[
    "hosted reference", "product page", "self-hosted page", "wide gateway's reference", "wide gateway's list"
]
Check = Callable[[Demo], None]


@dataclass(frozen=True)
class Claim:
    """One thing that a document says."""

    document: Document
    heading: str
    #: What it says, in our own words; unique under its heading.
    text: str
    check: Check
    #: Why it does not work yet, or "".
    missing: str = ""
    #: In what it works in another way than the document says, or "".
    differs: str = ""

    @property
    def name(self) -> str:
        """Its name in the output of the tests."""
        return f"{self.document}: {self.heading}: {self.text}"


class Claims:
    """The claims of one document, in its order."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.all: list[Claim] = []

    def claim(self, heading: str, text: str, *, missing: str = "", differs: str = "") -> Callable[[Check], Check]:
        """Decorate the function that asks for a claim; it fails by an assertion."""

        def add(check: Check) -> Check:
            self.add(heading, text, check, missing=missing, differs=differs)
            return check

        return add

    def add(self, heading: str, text: str, check: Check, *, missing: str = "", differs: str = "") -> None:
        """Add a claim whose function is made elsewhere."""
        self.all.append(Claim(self._document, heading, text, check, missing, differs))
