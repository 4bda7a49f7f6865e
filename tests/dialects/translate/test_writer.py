"""The interface between readers and writers: what was written is taken once."""

from proxy.dialects.translate.writer import ModelWriter


def test_what_was_written_is_taken_once() -> None:
    writer = ModelWriter()
    writer.out += [b"a", b"b"]
    assert (writer.take(), writer.take()) == (b"ab", b"")
