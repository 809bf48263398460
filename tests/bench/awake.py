"""Processors that never halt while a bench measures. Used by the benches that tell CPU seconds.

In a virtual machine who wakes a halted processor pays for it: its interrupt leaves the machine and comes back, tens of
microseconds that Linux books on the program that sent the packet. So one program of the class SCHED_IDLE turns on each
processor: anything else goes before it at once. That is not all that makes calls dearer at a low rate: see bench_calls.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.cpu import ALL

TURN = """import os
os.sched_setaffinity(0, {%d})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent: pass
"""


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep every processor that this process may use from halting; ends with this process, however that ends."""
    turning = [subprocess.Popen([sys.executable, "-c", TURN % processor]) for processor in ALL]
    try:
        yield
    finally:
        for one in turning:
            one.kill()
            one.wait()
