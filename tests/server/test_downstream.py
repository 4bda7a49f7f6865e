"""The interface of whoever receives a response, as code that is not compiled implements it."""

from proxy.server.cycle import RequestCycle
from proxy.server.downstream import Downstream, DownstreamBase


class Spool(DownstreamBase):
    """Keeps a response."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        self.status = status

    def write(self, data: bytes, last: bool) -> None:
        self.data += data
        self.bytes_out += len(data)


def test_a_receiver_that_is_not_compiled_has_all_attributes_of_one() -> None:
    spool = Spool()
    assert (spool.status, spool.bytes_out, spool.stalled, spool.producer) == (0, 0, False, None)
    spool.begin(200, b"", None)
    spool.write(b"one", True)
    assert (spool.status, spool.bytes_out, spool.data) == (200, 3, b"one")


def test_a_request_on_a_client_connection_is_one() -> None:
    assert issubclass(RequestCycle, Downstream)
