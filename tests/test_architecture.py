"""The shape of the house, as a test: who may import whom, where state lives, how large files and classes may be.

The rules are functions over source text, so each is also tried on a small bad snippet. Nothing of `proxy` is imported
or run here. Rules with exemptions stand in `tests/architecture/`, one file each, with the list of what is exempt: it
only shrinks, and an exemption that is not needed any more fails as well.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import pytest

from tests.architecture import interfaces, language, mirror, state
from tests.architecture.source import Module, Rule, dotted, is_own, modules_of_proxy

LONGEST_FILE = 600

GATEWAY_ORDER = (
    ("errors", "clock", "native"),
    ("wire", "config"),
    ("dialects", "ledger", "server", "upstream"),
    ("auth", "routing", "overload", "observability", "limits"),
    ("exchange",),
    ("policies",),
    ("resources", "realtime", "mcp", "a2a", "jobs"),
    ("endpoints", "admin"),
    ("pages",),
)

#: Imports against that order that are still there: (room, room it imports). The list only shrinks.
OUT_OF_PLACE: frozenset[tuple[str, str]] = frozenset()

#: Rooms that know the receiver of a response as a `Downstream` only.
DOWNSTREAM_ONLY = frozenset({"exchange", "policies", "routing", "auth", "observability"})
#: The connections and requests of the HTTP server, which they must not know.
HTTP_CLIENTS = frozenset({"proxy.server.cycle", "proxy.server.protocol", "proxy.server.listener"})


def _allowed_rooms(out_of_place: AbstractSet[tuple[str, str]] = OUT_OF_PLACE) -> dict[str, frozenset[str]]:
    """For each room (a package or file directly under `proxy`) the rooms that it may import."""
    allowed: dict[str, frozenset[str]] = {}
    below: frozenset[str] = frozenset()
    for layer in GATEWAY_ORDER:
        allowed |= dict.fromkeys(layer, below)
        below |= frozenset(layer)
    allowed["config"] = frozenset({"errors", "clock", "native", "wire"})
    allowed["server"] = frozenset({"errors", "clock", "native", "config"})
    allowed["demo"] = frozenset({"errors", "clock", "wire", "config"})
    allowed["app"] = below | {"demo"}
    allowed["process"] = below | {"app"}
    allowed["cli"] = allowed["app"] | {"app", "process"}
    allowed["__main__"] = frozenset({"cli", "app"})
    for room, other in out_of_place:
        allowed[room] |= {other}
    return allowed


ALLOWED_ROOMS = _allowed_rooms()

#: Every library that may be used at all, and where: None is everywhere, else rooms or single modules.
LIBRARIES: dict[str, frozenset[str] | None] = {
    "aiosqlite": frozenset({"ledger", "auth"}),
    "backports": frozenset({"wire.content_encoding"}),
    "click": frozenset({"cli"}),
    "compression": frozenset({"wire.content_encoding"}),
    "httptools": frozenset({"upstream", "server"}),
    "jinja2": frozenset({"pages"}),
    "httpx": frozenset({"upstream.httpx_transport"}),
    "msgspec": None,
    "mypy_extensions": frozenset({"native"}),
    "opentelemetry": frozenset({"observability.otel_export"}),
    "orjson": None,
    "sqlite3": frozenset({"ledger", "cli.checks"}),
    "tinytag": frozenset({"exchange.audio_length"}),
    "starlette": frozenset({"resources", "endpoints", "admin", "pages", "demo"}),
    "uvicorn": frozenset({"server", "process", "cli", "demo.__main__"}),
    "uvloop": frozenset({"server", "process", "cli"}),
}

PURE_ROOMS = frozenset({"wire", "dialects"})
#: Of the standard library: the loop, sockets, threads, clocks, chance, the environment, files, logging.
IMPURE_LIBRARIES = (
    frozenset({"asyncio", "concurrent", "multiprocessing", "signal", "subprocess", "threading"})
    | {"select", "selectors", "socket", "ssl", "random", "secrets", "time", "uuid"}
    | {"logging", "os", "pathlib", "shutil", "tempfile"}
)
IMPURE_BUILTINS = frozenset({"open", "print", "input"})

#: What may be called to make a module's constant: the result cannot be changed, or is made to be reused.
LASTING_CALLS = frozenset(
    {"re.compile", "msgspec.json.Encoder", "msgspec.json.Decoder", "msgspec.Raw", "msgspec.Meta", "logging.getLogger"}
    | {"struct.Struct", "Decimal", "Fraction", "Path", "MappingProxyType", "TypeVar", "ParamSpec", "NewType"}
    | {"timedelta", "object", "bytes.maketrans", "frozenset", "tuple", "bytes", "str", "int", "float", "bool"}
    | {"len", "max", "min", "sum", "range", "slice", "click.option", "click.argument", "click.Choice", "click.Path"}
    | {"Conversation", "Origin", "_of_groups"}
    # The verdicts of translations.
    | {"mapped", "placed", "lossy", "dropped", "ignored", "refused", "refused_unless", "dropped_unless"}
)
#: Translations, which hold nothing of a request until they begin one.
_PAIR = re.compile(r"[A-Z][a-z]+To[A-Z][a-z]+")
#: Methods whose result cannot be changed, whatever they are called on.
LASTING_METHODS = frozenset(
    {"encode", "decode", "join", "strip", "replace", "format", "lower", "upper", "removeprefix"}
) | {"index", "count", "quantize", "scaleb"}
MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"}
) | {"remove", "reverse", "setdefault", "sort", "update"}
_CONSTANT = re.compile(r"_{0,2}[A-Z][A-Z0-9_]*")
_BROAD = frozenset({"Exception", "BaseException"})


def import_order(module: Module) -> Iterator[str]:
    allowed = ALLOWED_ROOMS.get(module.room)
    if allowed is None and module.room:
        yield module.at(module.tree, f"`{module.room}` has no place in the order of imports: give it one in this test")
        return
    for node, room in imported_rooms(module):
        if room != module.room and room not in (allowed or frozenset()):
            yield module.at(node, f"`{module.room or 'proxy'}` may not import `{room}`: imports run one way")


def concrete_clients(module: Module) -> Iterator[str]:
    """Who responds knows a `Downstream` and no HTTP connection: so that a job or a WebSocket turn can be one too."""
    if module.room not in DOWNSTREAM_ONLY:
        return
    for node, name, taken in module.imports():
        for one in sorted({name, *(f"{name}.{part}" for part in taken)} & HTTP_CLIENTS):
            yield module.at(node, f"`{one}` in `{module.room}`, which must not know it: take a `Downstream`")


def imported_rooms(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Each import of our own with the room that it is from."""
    for node, name, taken in module.imports():
        if is_own(name):
            rooms = {name.split(".")[1]} if "." in name else {one for one in taken if one in ALLOWED_ROOMS}
            for room in sorted(rooms):
                yield node, room


def stale_places(modules: Sequence[Module], out_of_place: AbstractSet[tuple[str, str]] = OUT_OF_PLACE) -> Iterator[str]:
    """Exemptions of imports that are gone, or that are in place anyway."""
    found = {(module.room, room) for module in modules for _, room in imported_rooms(module)}
    order = _allowed_rooms(frozenset())
    for room, other in sorted(out_of_place):
        if (room, other) not in found or other in order[room]:
            yield f"`{room}` may import `{other}`, or does not any more: take it out of OUT_OF_PLACE"


def inner_imports(module: Module) -> Iterator[str]:
    inside = {
        id(node)
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node, name, _ in module.imports():
        if is_own(name) and id(node) in inside:
            yield module.at(node, f"`{name}` is imported inside a function: import it at the top")
    if module.room == "cli":
        return  # It may load a command by name when that is called: nobody imports `cli`, so no direction is hidden.
    for call in ast.walk(module.tree):
        if isinstance(call, ast.Call) and dotted(call.func).split(".")[-1] in {"import_module", "__import__"}:
            yield module.at(call, "an import by name hides who needs whom: write an import statement")


def library_places(module: Module) -> Iterator[str]:
    for node, name, _ in module.imports():
        library = name.partition(".")[0]
        if is_own(name) or (library in sys.stdlib_module_names and library not in LIBRARIES):
            continue
        if library not in LIBRARIES:
            yield module.at(node, f"`{library}` is no dependency of the project: do without, or argue for it first")
            continue
        places = LIBRARIES[library]
        inner = module.name.removeprefix("proxy.")
        if places is not None and module.room not in places and inner not in places:
            yield module.at(node, f"`{library}` may be imported only in {', '.join(sorted(places))}")


def purity(module: Module) -> Iterator[str]:
    if module.room not in PURE_ROOMS:
        return
    for node, name, _ in module.imports():
        if name.partition(".")[0] in IMPURE_LIBRARIES:
            yield module.at(node, f"`{name}` in `{module.room}`, which is pure: let the caller pass the value in")
    for call in ast.walk(module.tree):
        if isinstance(call, ast.Call) and dotted(call.func) in IMPURE_BUILTINS:
            yield module.at(call, f"`{dotted(call.func)}` in `{module.room}`, which is pure: leave it to the caller")


def global_statements(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield module.at(node, f"`global {', '.join(node.names)}`: keep the state in an object that `app` builds")


def frozen_classes(modules: Sequence[Module]) -> frozenset[str]:
    """The names of our own classes whose instances cannot be changed."""
    classes = [node for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    frozen = {"NamedTuple", "Enum", "StrEnum", "IntEnum", "Flag", "IntFlag"}
    size = 0
    while size != len(frozen):
        size = len(frozen)
        frozen |= {node.name for node in classes if _is_frozen(node, frozen)}
    return frozenset(frozen)


def _is_frozen(node: ast.ClassDef, frozen: set[str]) -> bool:
    decorators = [one.keywords for one in node.decorator_list if isinstance(one, ast.Call)]
    for keyword in [*node.keywords, *(keyword for keywords in decorators for keyword in keywords)]:
        if keyword.arg == "frozen" and isinstance(keyword.value, ast.Constant):
            return keyword.value.value is True
    return any(dotted(base).split(".")[-1] in frozen for base in node.bases)


def mutable_state(module: Module, frozen: frozenset[str] = frozenset()) -> Iterator[str]:
    for statement in _module_level(module.tree.body):
        if isinstance(statement, ast.Assign):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names = [statement.target.id]
        else:
            continue
        if statement.value is None or names == ["__all__"]:
            continue
        constant = all(_CONSTANT.fullmatch(name) for name in names)
        if not lasting(statement.value, frozen, table=constant):
            yield module.at(
                statement,
                f"`{', '.join(names)}` is state of the module: keep it in an object, make it a tuple, a frozenset or a "
                "dict in capitals, or, if it cannot change, add its constructor to LASTING_CALLS in this test",
            )
    yield from _changed_constants(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                call = decorator.func if isinstance(decorator, ast.Call) else decorator
                if dotted(call).split(".")[-1] in {"cache", "lru_cache"}:
                    yield module.at(decorator, f"`{node.name}` remembers for the whole process: keep that in an object")


def _module_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.For | ast.While | ast.With):
            for field in ("body", "orelse", "finalbody"):
                yield from _module_level(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from _module_level(handler.body)


def lasting(value: ast.expr, frozen: frozenset[str], *, table: bool = False) -> bool:
    """Whether the value cannot change; as a `table`, dicts and frozensets of such values are taken too."""
    if isinstance(value, ast.List | ast.ListComp | ast.Set | ast.SetComp | ast.GeneratorExp | ast.Await):
        return False
    if isinstance(value, ast.Dict):
        return table and all(one is not None and lasting(one, frozen, table=True) for one in value.values)
    if isinstance(value, ast.DictComp):
        return table and lasting(value.value, frozen)
    if isinstance(value, ast.Tuple):
        return all(lasting(one, frozen, table=table) for one in value.elts)
    if isinstance(value, ast.Starred):
        return lasting(value.value, frozen, table=table)
    if isinstance(value, ast.BinOp):
        return lasting(value.left, frozen, table=table) and lasting(value.right, frozen, table=table)
    if isinstance(value, ast.IfExp):
        return lasting(value.body, frozen, table=table) and lasting(value.orelse, frozen, table=table)
    if isinstance(value, ast.Call):
        name = dotted(value.func)
        method = value.func.attr if isinstance(value.func, ast.Attribute) else ""
        return (
            name in LASTING_CALLS
            or _PAIR.fullmatch(name) is not None
            or name.split(".")[-1] in frozen
            or method in LASTING_METHODS
        )
    return True


def _changed_constants(module: Module) -> Iterator[str]:
    """Constants are changed nowhere, at import neither: what is written in capitals is whole where it is written."""
    for node in ast.walk(module.tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = [one.value for one in node.targets if isinstance(one, ast.Subscript)]
        elif isinstance(node, ast.AugAssign):
            targets = [node.target.value if isinstance(node.target, ast.Subscript) else node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func.value]
        for target in targets:
            name = dotted(target).split(".")[-1]
            if len(name) > 1 and _CONSTANT.fullmatch(name):
                yield module.at(node, f"`{name}` is a constant and is changed here: keep what changes in an object")


def file_length(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > LONGEST_FILE:
        yield f"{module.path}:{LONGEST_FILE + 1}: {lines} lines: split it by subject, at most {LONGEST_FILE} are read"


def docstrings(module: Module) -> Iterator[str]:
    if not (ast.get_docstring(module.tree) or "").strip():
        yield module.at(module.tree, "no docstring: say what the file is and what it must not do")


def silent_excepts(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield module.at(node, "a bare `except:` also catches cancellation: name the errors")
            elif _names(node.type) & _BROAD and all(_does_nothing(one) for one in node.body):
                yield module.at(node, "a broad `except` that passes over everything: name the errors, or act on them")
        elif _suppresses_all(node):
            yield module.at(node, "`suppress` of everything: name the errors")


def _suppresses_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or dotted(node.func).split(".")[-1] != "suppress":
        return False
    return any(_names(argument) & _BROAD for argument in node.args)


def _names(node: ast.expr) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {dotted(part).split(".")[-1] for part in parts}


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Continue)


def dropped_tasks(module: Module) -> Iterator[str]:
    """A task that nobody holds may be collected while it runs, and its error is lost; a task group holds its own."""
    groups = {
        dotted(item.optional_vars)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.context_expr, ast.Call)
        and item.optional_vars is not None
        and dotted(item.context_expr.func).split(".")[-1] == "TaskGroup"
    }
    for node in ast.walk(module.tree):
        kept = isinstance(node, ast.Assign) and {dotted(target) for target in node.targets} != {"_"}
        value = node.value if isinstance(node, ast.Expr | ast.Assign) and not kept else None
        if isinstance(value, ast.Call):
            receiver, _, name = dotted(value.func).rpartition(".")
            if name in {"create_task", "ensure_future"} and receiver not in groups:
                yield module.at(node, f"the task of `{name}` is dropped: keep it, and await or cancel it")


def import_cycles(modules: Sequence[Module]) -> Iterator[str]:
    graph = {module.name: _own_imports(module, modules) for module in modules}
    paths = {module.name: module.path for module in modules}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            loop = (*trail[trail.index(name) :], name)
            yield f"{paths[trail[-1]]}:{graph[trail[-1]][name]}: an import cycle: {' -> '.join(loop)}"
        elif name not in done:
            for target in graph[name]:
                yield from visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        yield from visit(name, ())


def _own_imports(module: Module, modules: Sequence[Module]) -> dict[str, int]:
    known = {one.name for one in modules}
    found: dict[str, int] = {}
    for node, name, taken in module.imports():
        inner = {f"{name}.{one}" for one in taken} & known
        for target in sorted(inner) if taken and len(inner) == len(taken) else sorted({name, *inner} & known):
            found.setdefault(target, node.lineno)
    return found


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return modules_of_proxy()


def check(modules: Sequence[Module], rule: Rule) -> None:
    faults = [fault for module in modules for fault in rule(module)]
    assert not faults, "\n" + "\n".join(faults)


def test_imports_run_one_way(modules: list[Module]) -> None:
    check(modules, import_order)


def test_no_import_cycles(modules: list[Module]) -> None:
    faults = list(import_cycles(modules))
    assert not faults, "\n" + "\n".join(faults)


def test_responses_know_no_http_connection(modules: list[Module]) -> None:
    check(modules, concrete_clients)


def test_no_own_imports_inside_functions(modules: list[Module]) -> None:
    check(modules, inner_imports)


def test_libraries_stay_in_their_places(modules: list[Module]) -> None:
    check(modules, library_places)


def test_wire_and_dialects_are_pure(modules: list[Module]) -> None:
    check(modules, purity)


def test_no_global_statements(modules: list[Module]) -> None:
    check(modules, global_statements)


def test_no_mutable_state_in_modules(modules: list[Module]) -> None:
    frozen = frozen_classes(modules)
    check(modules, lambda module: mutable_state(module, frozen))


def test_no_file_is_too_long(modules: list[Module]) -> None:
    check(modules, file_length)


def test_each_file_says_what_it_is(modules: list[Module]) -> None:
    check(modules, docstrings)


def test_no_error_is_passed_over_in_silence(modules: list[Module]) -> None:
    check(modules, silent_excepts)


def test_no_task_is_dropped(modules: list[Module]) -> None:
    check(modules, dropped_tasks)


def test_no_class_keeps_too_much_state(modules: list[Module]) -> None:
    names = state.records(modules)
    check(modules, lambda module: state.too_much_state(module, record_names=names))


def test_words_of_the_old_dialect_do_not_come_back(modules: list[Module]) -> None:
    check(modules, language.dialect_words)


def test_each_module_has_a_test_of_its_name(modules: list[Module]) -> None:
    check(modules, mirror.untested)


def test_no_compiled_module_calls_through_a_protocol(modules: list[Module]) -> None:
    faults = list(interfaces.protocols_in_compiled_code(modules))
    assert not faults, "\n" + "\n".join(faults)


def test_no_exemption_is_stale(modules: list[Module]) -> None:
    faults = [
        *stale_places(modules),
        *state.stale_exemptions(modules),
        *language.stale_words(modules),
        *mirror.stale_names(modules),
        *interfaces.stale_protocols(modules),
    ]
    assert not faults, "\n" + "\n".join(faults)


def module(source: str, name: str = "proxy.exchange.exchange") -> Module:
    return Module(name, name.replace(".", "/") + ".py", source)


def stored(number: int) -> str:
    """A class that stores so many attributes."""
    return "class A:\n    def __init__(self):\n" + "".join(f"        self.a{one} = 1\n" for one in range(number))


BAD: tuple[tuple[Rule, str, str], ...] = (
    (import_order, "proxy.wire.sse", "from proxy.config.tree import Config"),
    (import_order, "proxy.ledger.record", "from proxy import upstream"),
    (import_order, "proxy.endpoints.table", "import proxy.admin.keys"),
    (import_order, "proxy.policies.budget", "from ..relay import Relay"),
    (import_order, "proxy.server.protocol", "from proxy.app import build"),
    (import_order, "proxy.demo.app", "from proxy.dialects.openai_chat import Chat"),
    (import_order, "proxy", "from proxy.errors import GatewayError"),
    (import_order, "proxy.helpers", ""),
    (concrete_clients, "proxy.exchange.exchange", "from proxy.server.cycle import RequestCycle"),
    (concrete_clients, "proxy.policies.access", "from proxy.server import ids, protocol"),
    (inner_imports, "proxy.exchange.exchange", "def relay():\n    from proxy.wire import sse"),
    (inner_imports, "proxy.exchange.exchange", "class A:\n    async def relay(self):\n        import proxy.wire.sse"),
    (inner_imports, "proxy.exchange.exchange", "importlib.import_module('proxy.app')"),
    (library_places, "proxy.exchange.exchange", "import httpx"),
    (library_places, "proxy.upstream.pool", "import httpx"),
    (library_places, "proxy.endpoints.table", "import sqlite3"),
    (library_places, "proxy.policies.base", "from starlette.types import Scope"),
    (library_places, "proxy.exchange.exchange", "def relay():\n    import uvicorn.config"),
    (library_places, "proxy.exchange.exchange", "import requests"),
    (purity, "proxy.wire.sse", "import asyncio"),
    (purity, "proxy.dialects.openai_chat", "from time import monotonic"),
    (purity, "proxy.wire.request_body", "def spool():\n    open('/tmp/body')"),
    (global_statements, "proxy.exchange.exchange", "def relay():\n    global count\n    count = 1"),
    (mutable_state, "proxy.exchange.exchange", "cache = {}"),
    (mutable_state, "proxy.exchange.exchange", "RECENT = []"),
    (mutable_state, "proxy.exchange.exchange", "RECENT = ([], 1)"),
    (mutable_state, "proxy.exchange.exchange", "TABLE = {'a': []}"),
    (mutable_state, "proxy.exchange.exchange", "SEEN: set[str] = set()"),
    (mutable_state, "proxy.exchange.exchange", "pool = Pool()"),
    (mutable_state, "proxy.exchange.exchange", "COUNTS = collections.defaultdict(int)"),
    (mutable_state, "proxy.exchange.exchange", "if True:\n    waiting = asyncio.Queue()"),
    (mutable_state, "proxy.exchange.exchange", "TABLE = {}\ndef learn(name):\n    TABLE[name] = 1"),
    (mutable_state, "proxy.exchange.exchange", "from proxy.wire import headers\nheaders.TABLE.update(a=1)"),
    (mutable_state, "proxy.exchange.exchange", "COUNT = 0\ndef more():\n    COUNT += 1"),
    (mutable_state, "proxy.exchange.exchange", "@functools.lru_cache(maxsize=9)\ndef find(name): ..."),
    (file_length, "proxy.exchange.exchange", "\n" * (LONGEST_FILE + 1)),
    (docstrings, "proxy.exchange.exchange", "import re"),
    (docstrings, "proxy.exchange.exchange", "'  '"),
    (silent_excepts, "proxy.exchange.exchange", "try:\n    go()\nexcept:\n    raise"),
    (silent_excepts, "proxy.exchange.exchange", "try:\n    go()\nexcept Exception:\n    pass"),
    (
        silent_excepts,
        "proxy.exchange.exchange",
        "for a in b:\n    try:\n        go()\n    except (OSError, BaseException):\n        continue",
    ),
    (silent_excepts, "proxy.exchange.exchange", "with contextlib.suppress(Exception):\n    go()"),
    (dropped_tasks, "proxy.exchange.exchange", "asyncio.create_task(go())"),
    (dropped_tasks, "proxy.exchange.exchange", "loop.create_task(go())"),
    (dropped_tasks, "proxy.exchange.exchange", "_ = asyncio.ensure_future(go())"),
    (state.too_much_state, "proxy.exchange.exchange", stored(13)),
    (
        state.too_much_state,
        "proxy.exchange.exchange",
        "class A:\n    __slots__ = ('" + "', '".join("abcdefghijklm") + "')",
    ),
    (
        state.too_much_state,
        "proxy.exchange.exchange",
        "class A:\n" + "".join(f"    {one}: int\n" for one in "abcdefghijklm"),
    ),
    (state.too_much_state, "proxy.exchange.exchange", "class A:\n    a = b = c = d = False\n    e: bool"),
    (
        state.too_much_state,
        "proxy.exchange.exchange",
        "class A:\n    def __init__(self, a: bool):\n        self.a, self.b = a, 1\n        self.c = not a\n"
        "        self.d = a\n        self.e: bool = a\n        self.f = a == 1\n    g = True",
    ),
    (
        state.too_much_state,
        "proxy.exchange.exchange",
        "@dataclass\nclass A:\n    a: bool\n    b: bool\n    c: bool\n    d: bool\n    e: bool\n"
        "    def go(self):\n        self.a = True",
    ),
    (language.dialect_words, "proxy.mcp.tools", "def poke_reader(): ..."),
    (language.dialect_words, "proxy.mcp.tools", "class Desk: ..."),
    (language.dialect_words, "proxy.mcp.tools", "def go(self, visitDesks): ..."),
    (language.dialect_words, "proxy.mcp.tools", "shown = 1"),
    (language.dialect_words, "proxy.mcp.tools", "def go(self):\n    self.last_reply = 1"),
    (language.dialect_words, "proxy.mcp.leftover", ""),
    (language.dialect_words, "proxy.mcp.tools", '"""Given to nobody."""'),
    (language.dialect_words, "proxy.mcp.tools", 'class Exchange:\n    """See the module."""'),
    (mirror.untested, "proxy.exchange.no_such_module", ""),
)

GOOD: tuple[tuple[Rule, str, str], ...] = (
    (
        import_order,
        "proxy.exchange.exchange",
        "from proxy.routing import retry\nfrom proxy import errors\nimport proxy.wire.sse",
    ),
    (import_order, "proxy.wire.json_rewrite", "from proxy.wire.sse import SSEParser\nfrom .scan import spans"),
    (import_order, "proxy.cli.serve", "from proxy.app import build\nfrom proxy.server import listen"),
    (concrete_clients, "proxy.exchange.exchange", "from proxy.server.downstream import Downstream"),
    (concrete_clients, "proxy.endpoints.router", "from proxy.server.cycle import RequestCycle"),
    (inner_imports, "proxy.exchange.exchange", "def open_browser():\n    import webbrowser"),
    (inner_imports, "proxy.cli.group", "importlib.import_module('proxy.cli.serve')"),
    (library_places, "proxy.upstream.httpx_transport", "import httpx\nimport asyncio"),
    (library_places, "proxy.wire.request_body", "import msgspec\nimport re"),
    (purity, "proxy.exchange.exchange", "import time"),
    (mutable_state, "proxy.exchange.exchange", "_LINE = re.compile('a')\n_decoder = msgspec.json.Decoder(dict)"),
    (mutable_state, "proxy.exchange.exchange", "__all__ = ['a']\nTABLE = {'a': (1, 2)}\nNAMES = frozenset({'a'})"),
    (
        mutable_state,
        "proxy.exchange.exchange",
        "Fault = Literal['a']\nlog = logging.getLogger(__name__)\nWORDS = 'a' + B.encode()",
    ),
    (mutable_state, "proxy.exchange.exchange", "def relay():\n    seen = []\n    seen.append(1)"),
    (file_length, "proxy.exchange.exchange", "\n" * LONGEST_FILE),
    (docstrings, "proxy.exchange.exchange", '"""One exchange."""'),
    (
        silent_excepts,
        "proxy.exchange.exchange",
        "try:\n    go()\nexcept OSError:\n    pass\nexcept Exception as error:\n    log(error)",
    ),
    (dropped_tasks, "proxy.exchange.exchange", "task = asyncio.create_task(go())"),
    (
        dropped_tasks,
        "proxy.exchange.exchange",
        "async def a():\n    async with asyncio.TaskGroup() as g:\n        g.create_task(go())",
    ),
    (state.too_much_state, "proxy.exchange.exchange", stored(12)),
    (state.too_much_state, "proxy.config.tree", "class A(msgspec.Struct, frozen=True):\n" + "    a: bool\n" * 13),
    (
        state.too_much_state,
        "proxy.config.tree",
        "@dataclass(frozen=True)\nclass A:\n" + "".join(f"    {one}: bool\n" for one in "abcde"),
    ),
    (
        state.too_much_state,
        "proxy.wire.sse",
        "class A:\n" + "".join(f"    A{one}: Final = True\n" for one in range(13)),
    ),
    (
        state.too_much_state,
        "proxy.wire.sse",
        "class A:\n    def of(other):\n        other.a = 1\n    LIMIT = 1\n    def go(self):\n        b.c = d = 1",
    ),
    (
        language.dialect_words,
        "proxy.mcp.tools",
        'def resume(self):\n    """Resume the producer."""\n    told.poke()',
    ),
    (language.dialect_words, "proxy.mcp.tools", "class Desktop: ..."),
    (mirror.untested, "proxy.wire.sse", ""),
    (mirror.untested, "proxy.wire.schemas", ""),
    (mirror.untested, "proxy.demo.no_such_module", ""),
)


@pytest.mark.parametrize(("rule", "name", "source"), BAD)
def test_a_rule_catches_what_breaks_it(rule: Rule, name: str, source: str) -> None:
    faults = list(rule(module(source, name)))
    assert len(faults) == 1
    assert re.match(r"proxy[\w/]*\.py:\d+: ", faults[0])


@pytest.mark.parametrize(("rule", "name", "source"), GOOD)
def test_a_rule_lets_pass_what_keeps_it(rule: Rule, name: str, source: str) -> None:
    assert list(rule(module(source, name))) == []


def test_a_constant_may_be_built_of_our_frozen_classes() -> None:
    table = module(
        "class Row(msgspec.Struct, frozen=True): ...\n"
        "class Wide(Row): ...\n"
        "@dataclass(frozen=True)\nclass Cell: ...\n"
        "ROWS = (Row(1), Wide(2), Cell(3))"
    )
    assert list(mutable_state(table, frozen_classes([table]))) == []


def test_a_class_that_is_not_frozen_makes_no_constant() -> None:
    table = module("class Base(msgspec.Struct, frozen=True): ...\nclass Row(Base, frozen=False): ...\nROW = Row(1)")
    assert len(list(mutable_state(table, frozen_classes([table])))) == 1


def test_a_cycle_is_found_and_named_with_its_file() -> None:
    ring = [
        module("from proxy.wire.b import two", "proxy.wire.a"),
        module("\nfrom proxy.wire import c", "proxy.wire.b"),
        module("import proxy.wire.a", "proxy.wire.c"),
    ]
    assert list(import_cycles(ring)) == [
        "proxy/wire/c.py:1: an import cycle: proxy.wire.a -> proxy.wire.b -> proxy.wire.c -> proxy.wire.a"
    ]


def test_a_package_that_gathers_its_modules_is_no_cycle() -> None:
    house = [
        Module("proxy.demo", "proxy/demo/__init__.py", "from proxy.demo.app import app", is_package=True),
        module("from proxy.demo import faults", "proxy.demo.app"),
        module("", "proxy.demo.faults"),
    ]
    assert list(import_cycles(house)) == []


def test_a_protocol_of_a_compiled_module_is_found_where_it_is_and_where_it_is_used() -> None:
    house = [
        module("class Sink(Protocol): ...\nclass Pool(asyncio.Protocol): ...", "proxy.wire.a"),
        module("class Change(typing.Protocol[T]): ...\nclass Other(Protocol): ...", "proxy.ledger.b"),
        module("\nfrom proxy.ledger.b import Change", "proxy.wire.c"),
        module("from proxy.ledger.b import Other", "proxy.ledger.d"),
    ]
    assert list(interfaces.protocols_in_compiled_code(house, frozenset(), ["proxy/wire/*.py"])) == [
        "proxy/wire/a.py:1: `Sink` is a Protocol in compiled code: make it a base class or trait",
        "proxy/wire/c.py:2: `Change` is a Protocol in compiled code: make it a base class or trait",
    ]


def test_an_exemption_may_not_be_for_nothing_nor_for_more_than_is_there() -> None:
    house = [module(stored(14)), module('"""Told."""', "proxy.wire.sse")]
    name = "proxy.exchange.exchange.A"
    assert list(state.stale_exemptions(house, {name: (14, 4)})) == []
    assert list(state.stale_exemptions(house, {name: (15, 4)})) == [
        f"{name}: stores 14 attributes, 0 of them booleans: say so instead of (15, 4)"
    ]
    assert list(state.stale_exemptions([], {name: (14, 4)})) == [
        f"{name}: is within the caps, or gone: take its exemption out"
    ]
    assert list(language.stale_words(house, {("wire", "told")})) == []
    assert len(list(language.stale_words(house, {("wire", "poke"), ("exchange", "told")}))) == 2
    assert list(mirror.stale_names(house, {"proxy.wire.sse"})) == [
        "proxy.wire.sse: has its test, or is gone: take its exemption out"
    ]
    assert len(list(interfaces.stale_protocols(house, {"proxy.wire.sse.Sink"}))) == 1
    assert len(list(stale_places(house, {("wire", "app")}))) == 1


def test_a_record_is_known_by_what_it_inherits() -> None:
    house = module(
        "class Section(msgspec.Struct): ...\nclass Server(Section):\n    def __post_init__(self):\n        self.a = 1\n"
        + "".join(f"    {one}: int\n" for one in "abcdefghijklm")
    )
    assert list(state.too_much_state(house, record_names=state.records([house]))) == []
    assert len(list(state.too_much_state(house, record_names=frozenset()))) == 1
