"""Tunes glibc's allocator: how much freed memory the process keeps. Nothing here is about any request.

By default it gives a large block back to the kernel as soon as it is freed, and the next body's pages all come
anew, each by a fault that costs more than the copy into it. What is freed in the middle of the heap, on the other hand,
it keeps for ever, unless it is asked for it.
"""

import ctypes
import sys
from collections.abc import Mapping
from typing import Final

#: Blocks of at least so many bytes are mappings of their own (M_MMAP_THRESHOLD) and go back to the kernel at once.
MIN_MAPPING_BYTES: Final = 16 * 1024 * 1024
#: Bytes that may lie free at the heap's end: a few bodies as large as most endpoints take. The allocator itself comes
#: to keep twice as much once it has seen blocks of half that size.
MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed(environment: Mapping[str, str]) -> bool:
    """Keep freed memory for the next bodies; whether the allocator was set so.

    It is not where the environment sets it already, and only glibc's can be set.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in environment):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MIN_MAPPING_BYTES) and mallopt(_M_TRIM_THRESHOLD, MAX_KEPT_BYTES))


def give_back() -> None:
    """Give the kernel all memory that is free, wherever it lies. It may take a tenth of a second for each gigabyte.

    Other C libraries than glibc do so by themselves, or cannot be asked.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
