"""CPU seconds of processes, from /proc. Used by the benches to tell what a peer and the switch cost."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

ALL = sorted(os.sched_getaffinity(0))
GENERATOR, SUBJECT = ({ALL[0]}, {ALL[1]}) if len(ALL) > 1 else (set(ALL), set(ALL))  # who must not share a processor
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def pin(pid: int, processors: set[int]) -> None:
    """Let every thread of `pid`, and of what it has started, run on `processors` only."""
    for process in (pid, *children(pid)):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), processors)


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid` with all its threads, and of its children that have ended; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * TICK_S


def interrupt_seconds() -> float:
    """CPU of the kernel's own threads for packets; mostly whoever sends or is interrupted pays for these."""
    seconds = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if (process / "comm").read_text(encoding="utf-8", errors="replace").startswith("ksoftirqd/"):
                seconds += cpu_seconds(int(process.name))
    return seconds


def ended_seconds() -> float:
    """CPU of all our children that have ended and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def children(pid: int) -> list[int]:
    """Process ids of the living children, grandchildren and so on of `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            for child in (task / "children").read_text(encoding="ascii").split():
                found += [int(child), *children(int(child))]
    return found


def tree_seconds(pid: int) -> float:
    """`cpu_seconds` of `pid` and of everything it has started."""
    return sum(cpu_seconds(each) for each in (pid, *children(pid)))
