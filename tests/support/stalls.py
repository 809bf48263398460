"""Whether the machine stood still while something was tested: a failure then proves nothing about the switch.

Called by tests/conftest.py and the scenarios. Three signs, each of which may be missing on a machine: a thread that
wakes late (the whole machine was halted), processors that the host lent to others (steal, proc(5)), and tasks that
waited for a processor (pressure stall information). It looks at the whole machine, for the switch, its media server and
the phones are processes of their own.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

LATE_S = 0.1  # later than any phone or test may be told something
WAITED_SHARE = 0.05  # of the time that was watched
PERIOD_S = 0.02
SAMPLED_S = 0.25

# Of a test that only looks at what was told before, with others: whether the machine stood still meanwhile, which
# counts in the place of what happened while it looked.
STOOD_STILL = pytest.StashKey[bool | None]()


class Inexcusable(AssertionError):
    """What may not happen however slow the machine is: a failure that is never told again."""


class StallWatch:
    """`with StallWatch() as watch:` watches until the block ends; then `watch.stood_still` tells."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)
        self._late: list[tuple[float, float]] = []  # when a thread was to wake and when it did
        self._waited: list[tuple[float, float]] = []  # when, and what waited_for_processors_s() told then

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._sample()

    @property
    def stood_still(self) -> bool:
        """Whether the machine was halted for a moment, or busy with others for a good part of the time."""
        return self.stood_still_within(self._waited[0][0], self._waited[-1][0])

    def stood_still_within(self, began_at: float, ended_at: float) -> bool:
        """The same of a part of the time, told by time.monotonic()."""
        if any(due < ended_at and woke > began_at for due, woke in self._late):
            return True
        before = max((sample for sample in self._waited if sample[0] <= began_at), default=self._waited[0])
        after = min((sample for sample in self._waited if sample[0] >= ended_at), default=self._waited[-1])
        return after[1] - before[1] > max(LATE_S, WAITED_SHARE * (after[0] - before[0]))

    def _watch(self) -> None:
        over = False
        while not over:
            due = time.monotonic() + PERIOD_S
            over = self._over.wait(PERIOD_S)  # also told late: who ends the block may be the first to go on
            if (now := time.monotonic()) - due > LATE_S:
                self._late.append((due, now))
            if now - self._waited[-1][0] > SAMPLED_S:
                self._sample()

    def _sample(self) -> None:
        self._waited.append((time.monotonic(), waited_for_processors_s()))


def waited_for_processors_s(proc: Path = Path("/proc")) -> float:
    """Seconds since the start of the machine in which the host had taken processors, or tasks waited for one."""
    seconds = 0.0
    with contextlib.suppress(OSError, IndexError):
        seconds += int((proc / "stat").read_text().split(None, 9)[8]) / os.sysconf("SC_CLK_TCK")
    with contextlib.suppress(OSError):  # a kernel without CONFIG_PSI
        total = re.search(r"^some .*\btotal=(\d+)", (proc / "pressure" / "cpu").read_text(), re.M)
        seconds += int(total[1]) / 1e6 if total else 0.0
    return seconds
