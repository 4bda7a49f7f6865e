"""Faults of a configuration file: one struct for each, and the error that has them all.

A message names keys and what is allowed, never the value of a credential, header or address.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import msgspec

from proxy.config.toml_positions import Path
from proxy.errors import ConfigFault

#: The path of a setting, what is suspicious, how to fix it.
ConfigWarning = tuple[Path, str, str]


class Problem(msgspec.Struct, frozen=True):
    """One fault of a configuration file."""

    #: The path as the user gave it; empty where there is no file.
    file: str
    #: From 1; None where it is not known.
    line: int | None
    #: Dotted key; empty for a fault of the file itself.
    key: str
    message: str
    #: How to fix it; may be empty.
    hint: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        hint = f" ({self.hint})" if self.hint else ""
        return ": ".join(filter(None, (place, self.key, self.message))) + hint


class ConfigProblems(ConfigFault):
    """An invalid configuration; `problems` lists all of its faults in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = in_file_order(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by line; problems without one come last."""
    return sorted(problems, key=lambda problem: (problem.line is None, problem.line or 0))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the known word that is most similar to `word`, or else list the known ones; empty if there are none."""
    choices = sorted(known)
    close = get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    if not choices:
        return ""
    listed = ", ".join(choices[:12])
    return f"known: {listed}" + (", …" if len(choices) > 12 else "")
