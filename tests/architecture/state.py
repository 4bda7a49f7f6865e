"""How much state a class may keep: a cap on stored attributes and on booleans, with exemptions that only shrink.

Functions are short here, so complexity that is pushed out of them ends up in attributes: this is the cap on those.
Flags that exclude one another are one state, an enum or a small `UsageRecord` integer.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from tests.architecture.source import Module, dotted, is_protocol, last_name

MAX_ATTRIBUTES = 12
MAX_BOOLEANS = 4

#: Classes with more than that: how many attributes and how many booleans each may keep. The list only shrinks.
EXEMPT: dict[str, tuple[int, int]] = {
    "proxy.app.Gateway": (15, 4),
    "proxy.dialects.meters.ResponseMeter": (15, 6),
    "proxy.exchange.context.RequestContext": (29, 4),
    "proxy.resources.capture.RunMeter": (14, 6),
    "proxy.server.cycle.RequestCycle": (14, 4),
    "proxy.upstream.connection.Connection": (13, 4),
    "proxy.wire.json_scan.TopLevelScanner": (18, 4),
}

#: Records whatever their methods do, and classes whose attributes are no state of an object.
_RECORDS = frozenset({"Struct", "NamedTuple", "TypedDict", "Enum", "StrEnum", "IntEnum", "Flag", "IntFlag"})
_CONSTANT = re.compile(r"_{0,2}[A-Z][A-Z0-9_]*")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def records(modules: Sequence[Module]) -> frozenset[str]:
    """The names of classes that are records by what they inherit, ours among them."""
    classes = [node for module in modules for node in module.classes()]
    found = set(_RECORDS)
    size = 0
    while size != len(found):
        size = len(found)
        found |= {node.name for node in classes if any(last_name(base) in found for base in node.bases)}
    return frozenset(found)


def state_of(node: ast.ClassDef, record_names: AbstractSet[str] = _RECORDS) -> tuple[int, int]:
    """How many attributes a class stores itself, and how many of those are booleans; none of a plain record's count."""
    methods = [one for one in node.body if isinstance(one, _Function) and not _is_static(one)]
    stored = {name: boolean for method in methods for name, boolean in _assigned(method)}
    if _is_record(node, record_names) and not _changes_itself(methods):
        return 0, 0
    for name, boolean in _declared(node):
        stored[name] = stored.get(name, False) or boolean
    return len(stored), sum(stored.values())


def _is_record(node: ast.ClassDef, record_names: AbstractSet[str]) -> bool:
    bases = {last_name(base) for base in node.bases}
    decorators = {last_name(one) for one in node.decorator_list}
    return bool(bases & record_names) or "dataclass" in decorators or is_protocol(node)


def _changes_itself(methods: Sequence[_Function]) -> bool:
    return any(True for one in methods if one.name != "__post_init__" for _ in _assigned(one))


def _is_static(method: _Function) -> bool:
    return any(last_name(one) in {"staticmethod", "classmethod"} for one in method.decorator_list)


def _declared(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """What the class body declares: defaults, annotations, slots. Constants, in capitals or final, are no state."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if last_name(statement.annotation) not in {"ClassVar", "Final"}:
                yield statement.target.id, dotted(statement.annotation) == "bool"
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if not isinstance(target, ast.Name):
                    continue
                if target.id == "__slots__":
                    yield from ((name, False) for name in _strings(statement.value))
                elif not _CONSTANT.fullmatch(target.id):
                    yield target.id, _is_boolean(statement.value, frozenset())


def _strings(node: ast.expr) -> list[str]:
    return [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def _assigned(method: _Function) -> Iterator[tuple[str, bool]]:
    """The attributes of its own object that a method assigns."""
    arguments = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
    if not arguments:
        return
    this = arguments[0].arg
    flags = frozenset(one.arg for one in arguments if one.annotation is not None and dotted(one.annotation) == "bool")
    for node in ast.walk(method):
        targets: list[ast.expr] = []
        boolean = False
        if isinstance(node, ast.Assign):
            targets = [part for target in node.targets for part in _parts(target)]
            boolean = _is_boolean(node.value, flags)
        elif isinstance(node, ast.AnnAssign):
            targets, boolean = [node.target], dotted(node.annotation) == "bool"
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == this:
                yield target.attr, boolean


def _parts(target: ast.expr) -> list[ast.expr]:
    return list(target.elts) if isinstance(target, ast.Tuple | ast.List) else [target]


def _is_boolean(value: ast.expr, flags: frozenset[str]) -> bool:
    if isinstance(value, ast.Constant):
        return isinstance(value.value, bool)
    if isinstance(value, ast.Name):
        return value.id in flags
    if isinstance(value, ast.BoolOp):
        return all(_is_boolean(one, flags) for one in value.values)
    return isinstance(value, ast.Compare) or (isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not))


def too_much_state(
    module: Module, exempt: Mapping[str, tuple[int, int]] = EXEMPT, record_names: AbstractSet[str] = _RECORDS
) -> Iterator[str]:
    for node in module.classes():
        attributes, booleans = state_of(node, record_names)
        most, most_booleans = exempt.get(f"{module.name}.{node.name}", (MAX_ATTRIBUTES, MAX_BOOLEANS))
        if attributes > most:
            yield module.at(
                node, f"`{node.name}` stores {attributes} attributes, more than {most}: give some to a part"
            )
        if booleans > most_booleans:
            yield module.at(node, f"`{node.name}` has {booleans} booleans, more than {most_booleans}: make one state")


def stale_exemptions(modules: Sequence[Module], exempt: Mapping[str, tuple[int, int]] = EXEMPT) -> Iterator[str]:
    """Exemptions that are for nothing, or for more than the class has."""
    names = records(modules)
    found = {f"{module.name}.{node.name}": state_of(node, names) for module in modules for node in module.classes()}
    for name, allowed in exempt.items():
        attributes, booleans = found.get(name, (0, 0))
        if attributes <= MAX_ATTRIBUTES and booleans <= MAX_BOOLEANS:
            yield f"{name}: is within the caps, or gone: take its exemption out"
        elif allowed != (max(attributes, MAX_ATTRIBUTES), max(booleans, MAX_BOOLEANS)):
            yield f"{name}: stores {attributes} attributes, {booleans} of them booleans: say so instead of {allowed}"
