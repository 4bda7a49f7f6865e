"""Which keys, teams and organisations the budgets of a configuration file are for, and on which line.

What the file names wins: nothing else may set a budget of theirs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.config import toml_positions
from proxy.config.load import parse, read_text
from proxy.config.tree import Config

#: Where the file sets the budget of something, by its kind ("key", "team", "org") and name; None where it does not.
FileOwner = Callable[[str, str], str | None]


def owner_in(config: Config, lines: Mapping[toml_positions.Path, int] | None = None, path: str = "") -> FileOwner:
    """The owner by a configuration; with the lines of its text, and the path of its file, it names those."""
    places: dict[tuple[str, str], str] = {}
    for name, budget in config.budgets.items():
        key: toml_positions.Path = ("budgets", name)
        line = toml_positions.nearest(lines or {}, key)
        place = f"{path}:{line}: " if path and line is not None else ""
        for kind, names in (("key", budget.keys), ("team", budget.teams), ("org", budget.orgs)):
            for named in names:
                places.setdefault((kind, named), f"{place}{toml_positions.dotted(key)}")
    return lambda kind, name: places.get((kind, name))


def owner_in_file(path: Path | None) -> FileOwner:
    """The owner by the file at `path`, with its lines; none where there is no file. Raises ConfigProblems."""
    if path is None:
        return owner_in(Config())
    text = read_text(path)
    return owner_in(parse(text, path, None), toml_positions.locate(text), str(path))
