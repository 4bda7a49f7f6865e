"""The picture of the rooms in docs/architecture.md, drawn from the code: `python -m tests.architecture.drawing`.

It shows the order of imports that `tests/test_architecture.py` holds, and the imports that there are. An arrow is left
out where a longer way of arrows says the same.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from tests.architecture.source import ROOT, Module, modules_of_proxy
from tests.test_architecture import GATEWAY_ORDER, imported_rooms

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: written by `make docs` -->\n", "<!-- end of rooms -->\n"
#: Rooms above those of the order, from below, and the provider that is beside them.
_ABOVE = (("demo",), ("app",), ("process",), ("cli",))

Graph = Mapping[str, AbstractSet[str]]


def imports_of_rooms(modules: Sequence[Module]) -> dict[str, set[str]]:
    """Each room with the rooms that it imports."""
    graph: dict[str, set[str]] = {module.room: set() for module in modules if module.room.strip("_")}
    graph.pop("__main__", None)
    for module in modules:
        if module.room in graph:
            graph[module.room] |= {room for _, room in imported_rooms(module) if room != module.room}
    return graph


def shortest(graph: Graph) -> dict[str, list[str]]:
    """The graph without the arrows that follow from others."""
    return {
        room: sorted(one for one in others if not any(one in reached(graph, other) for other in others - {one}))
        for room, others in graph.items()
    }


def reached(graph: Graph, start: str) -> set[str]:
    """All rooms that a room imports, by other rooms too."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for room in graph.get(waiting.pop(), ()):
            if room not in found:
                found.add(room)
                waiting.append(room)
    return found


def drawing(modules: Sequence[Module]) -> str:
    """The picture as Mermaid, and the rooms as a table, from the top down."""
    graph = imports_of_rooms(modules)
    layers = [[room for room in layer if room in graph] for layer in (*GATEWAY_ORDER, *_ABOVE)]
    lines = ["```mermaid", "flowchart TD"]
    for number, layer in reversed(list(enumerate(layers))):
        if layer:
            lines += [f'    subgraph layer{number}[" "]', f"        {' ~~~ '.join(layer)}", "    end"]
    lines += [f"    {room} --> {' & '.join(others)}" for room, others in sorted(shortest(graph).items()) if others]
    lines += ["```", "", "| room | what it is | imports |", "|---|---|---|"]
    for layer in reversed(layers):
        for room in layer:
            names = ", ".join(f"`{one}`" for one in sorted(graph[room])) or "nothing"
            lines.append(f"| `{room}` | {first_sentence(modules, room)} | {names} |")
    return "\n".join(lines) + "\n"


def first_sentence(modules: Sequence[Module], room: str) -> str:
    """What the room says of itself, without the full stop."""
    (tree,) = (module.tree for module in modules if module.name == f"proxy.{room}")
    text = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return re.split(r"\.(?= |$)", text)[0].replace("|", "\\|")


def page(text: str, modules: Sequence[Module]) -> str:
    """The page with its picture drawn again."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + drawing(modules) + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8"), modules_of_proxy()), "utf-8")
