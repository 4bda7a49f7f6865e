"""Tunes how much freed memory glibc's allocator keeps. It knows no request and measures nothing.

By default a large block goes back to the kernel as soon as it is freed, and each page of the next body costs a page
fault, which takes longer than the copy into it. What is freed in the middle of the heap, on the other hand, is kept for
ever, unless `malloc_trim` is called.
"""

import ctypes
import sys
from collections.abc import Mapping
from typing import Final

#: Blocks of at least so many bytes are mappings of their own (M_MMAP_THRESHOLD) and go back to the kernel at once.
MIN_MAPPING_BYTES: Final = 16 * 1024 * 1024
#: Bytes that may be free at the end of the heap: a few bodies as large as most endpoints accept. The allocator raises
#: that to twice as much when blocks of half that size are freed.
MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed(environment: Mapping[str, str]) -> bool:
    """Let the allocator keep freed memory for the next bodies; returns whether it does.

    It does not if the environment configures the allocator already, or if it is not glibc's.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in environment):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MIN_MAPPING_BYTES) and mallopt(_M_TRIM_THRESHOLD, MAX_KEPT_BYTES))


def give_back() -> None:
    """Give all free memory back to the kernel. It may take a tenth of a second for each gigabyte.

    It does nothing with other C libraries than glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
