"""Memory of the process: what is freed goes back to the system, what was loaded is not looked through. mallopt(3)."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

MEGABYTE = 1 << 20
PREPARED = """
import ctypes, gc, sys

class Mallinfo2(ctypes.Structure):
    names = "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names]

def mapped():
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo2
    return libc.mallinfo2().hblkhd

from softswitch import memory
"""


def told(program: str) -> list[str]:
    """What `program` prints in a process of its own: these settings hold for a whole one."""
    run = [sys.executable, "-c", PREPARED + program]
    return subprocess.run(run, capture_output=True, check=True, text=True).stdout.split()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another malloc than glibc's")
def test_a_large_block_goes_back_to_the_system_also_after_a_larger_one_did() -> None:
    program = f"""
memory.return_large_blocks()
larger = bytearray({8 * MEGABYTE})
del larger
before = mapped()
table = bytearray({2 * MEGABYTE})
during = mapped()
del table
print(during - before >= {2 * MEGABYTE}, mapped() == before)
"""
    assert told(program) == ["True", "True"]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another malloc than glibc's")
def test_buffers_for_the_largest_datagram_are_no_large_blocks() -> None:
    program = """
memory.return_large_blocks()
before = mapped()
buffers = [bytearray(65535) for _ in range(8)]
print(mapped() == before)
"""
    assert told(program) == ["True"]


def test_where_there_is_no_such_setting_nothing_happens() -> None:
    program = """
class Another:
    def __init__(self, name): pass
ctypes.CDLL = Another
print(memory.return_large_blocks())
"""
    assert told(program) == ["None"]


def test_what_is_loaded_is_not_looked_through_again() -> None:
    program = """
loaded = [[] for _ in range(1000)]
memory.spare_the_collector()
print(gc.get_freeze_count() > 1000, gc.get_threshold() == memory.GARBAGE_THRESHOLDS)
"""
    assert told(program) == ["True", "True"]
