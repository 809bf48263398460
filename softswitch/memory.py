"""What this process does about its memory: cycles are seldom looked for, and large blocks go back to the system.

Called by app.py, once each: settings of CPython's collector and of glibc's malloc (mallopt(3)); with another C library
the latter is left out. It allocates nothing and measures nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

GARBAGE_THRESHOLDS = (100_000, 50, 100)  # objects are freed by their reference counts; cycles can wait
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
LARGE = 128 * 1024  # bytes: glibc's own default, above a datagram of any size
KEPT_FREE = 4 * 1024 * 1024  # bytes at the end of the heap, lest it shrink and grow in turn


def return_large_blocks() -> None:
    """Blocks of more than LARGE bytes are mappings of their own, and go back to the system when they are freed.

    glibc does so until the first one is freed, and from then on takes those of its size from the heap. The tables of
    transactions are copied each time that they are full of holes: from the heap two of them, with gaps as large.
    """
    with contextlib.suppress(AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT_FREE)


def spare_the_collector() -> None:
    """What is loaded by now stays until the end: calls need not pay for its being looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
