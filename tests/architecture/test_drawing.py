"""The picture in docs/architecture.md is that of the code."""

from tests.architecture.drawing import PAGE, first_sentence, imports_of_rooms, page, reached, shortest
from tests.architecture.source import Module, modules_of_proxy


def test_the_picture_is_current() -> None:
    text = PAGE.read_text("utf-8")
    assert page(text, modules_of_proxy()) == text, "run `make docs`"


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    graph = {"app": {"wire", "errors", "clock"}, "wire": {"errors"}, "errors": set(), "clock": set()}
    assert shortest(graph) == {"app": ["clock", "wire"], "wire": ["errors"], "errors": [], "clock": []}
    assert reached(graph, "app") == {"wire", "errors", "clock"}


def test_a_room_is_all_that_its_modules_import() -> None:
    house = [
        Module("proxy", "proxy/__init__.py", "", is_package=True),
        Module("proxy.wire", "proxy/wire/__init__.py", '"""Bytes in, a|b out. Pure."""', is_package=True),
        Module("proxy.wire.sse", "proxy/wire/sse.py", "import re\nfrom proxy import errors\nfrom proxy.wire import a"),
        Module("proxy.errors", "proxy/errors.py", ""),
        Module("proxy.__main__", "proxy/__main__.py", "from proxy.wire import sse"),
    ]
    assert imports_of_rooms(house) == {"wire": {"errors"}, "errors": set()}
    assert first_sentence(house, "wire") == "Bytes in, a\\|b out"
