"""Chunkings: how the network may cut a stream into pieces, which no parser may notice."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from hypothesis import strategies as st

from tests.corpus import cuts

_LINE_END = re.compile(rb"\r\n|\r|\n")


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The data cut at these places, which are in order; nothing is lost, and nothing is empty."""
    edges = [0, *(place for place in dict.fromkeys(places) if 0 < place < len(data)), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if begin < end]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def chunkings(data: bytes, seeds: int = 10) -> Iterator[list[bytes]]:
    """Whole, a byte at a time, and cut at random places, the same ones in every run."""
    yield [data]
    yield single_bytes(data)
    yield from random_chunkings(data, seeds)


def random_chunkings(data: bytes, seeds: int) -> Iterator[list[bytes]]:
    for seed in range(seeds):
        yield cut(data, cuts(len(data), seed))


def cut_places(longest: int = 400) -> st.SearchStrategy[list[int]]:
    """Places for `cut`."""
    return st.lists(st.integers(1, longest), max_size=40, unique=True).map(sorted)


def with_line_ends(data: bytes, ends: Sequence[bytes]) -> bytes:
    """The text with its line ends replaced by these in turn."""
    number = -1

    def replace(_: re.Match[bytes]) -> bytes:
        nonlocal number
        number += 1
        return ends[number % len(ends)]

    return _LINE_END.sub(replace, data)
