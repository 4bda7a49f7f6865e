"""What the connections of a listener share."""

from proxy.config.tree import Server
from proxy.server.context import ServerContext


def test_two_listeners_share_nothing_unless_they_are_given_it() -> None:
    one, other = ServerContext(None, Server()), ServerContext(None, Server())
    assert one.state.connections is not other.state.connections
    assert one.shedding is not other.shedding
    third = ServerContext(None, Server(), one.shedding, one.state)
    assert (third.shedding, third.state) == (one.shedding, one.state)
