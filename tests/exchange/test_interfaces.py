"""The interfaces of an exchange: what each implementation must have, and that Python code can implement them."""

import inspect

import pytest

from proxy.exchange import interfaces
from proxy.exchange.exchange import Exchange
from proxy.exchange.interfaces import Downstream, DownstreamBase, Origin, ResponseObserver, ResponseProducer
from proxy.exchange.interfaces import ResponseWriter as Writer
from proxy.exchange.replay import ReplayOrigin
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.server.cycle import RequestCycle
from tests.exchange.doubles import MemoryDownstream, ScriptedOrigin
from tests.serving import COMPILED

#: What an implementation need not have: an origin may be done once it has started, and a writer may end on a shutdown
#: as on any other error.
OPTIONAL: dict[type, set[str]] = {Origin: {"pause", "resume", "client_left", "cancel"}, Writer: {"interrupt"}}


def methods(one: type) -> set[str]:
    return {name for name, value in vars(one).items() if callable(value) and not name.startswith("_")}


@pytest.mark.parametrize(
    ("interface", "implementation"),
    [
        (Downstream, RequestCycle),
        (Downstream, MemoryDownstream),
        (Writer, Exchange),
        (ResponseProducer, Exchange),
        (Origin, UpstreamOrigin),
        (Origin, ReplayOrigin),
        (Origin, ScriptedOrigin),
    ],
)
def test_an_implementation_has_every_method(interface: type, implementation: type) -> None:
    assert issubclass(implementation, interface)
    for name in methods(interface) - OPTIONAL.get(interface, set()):
        owner = next(one for one in implementation.__mro__ if name in vars(one))
        assert owner is not interface, f"{implementation.__name__} lacks {name}"


def test_an_observer_needs_none_of_its_methods() -> None:
    assert methods(ResponseObserver) == {"begin", "data", "end"}
    ResponseObserver().data(b"")


def test_the_states_of_an_exchange_are_in_their_order() -> None:
    states = [interfaces.WAITING, interfaces.HEAD_SENT, interfaces.COMMITTED, interfaces.SETTLED]
    assert states == sorted(states)


def test_a_downstream_begins_with_nothing_sent() -> None:
    down = DownstreamBase()
    assert (down.status, down.bytes_out, down.stalled, down.producer) == (0, 0, False, None)


@pytest.mark.skipif(COMPILED, reason="compiled code has no docstrings")
@pytest.mark.parametrize("interface", [Downstream, Origin, Writer, ResponseObserver, ResponseProducer])
def test_every_method_says_what_it_is_for(interface: type) -> None:
    assert all(inspect.getdoc(getattr(interface, name)) for name in methods(interface))
