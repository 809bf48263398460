"""When the switch was alive last: a moment in a file beside the database, overwritten every second, read after a crash.

Calls that a crash has cut and that were not recorded ended then, as far as anybody can tell. Written for `app.py`, in a
thread: a disk that stands still holds up no call. Never asks the store, which has enough to do.
"""

from __future__ import annotations

import contextlib
import os

SUFFIX = ".alive"
STEP_S = 1.0  # a clock that goes ahead of the steady one by as much between two signs, or behind it, was set


class SignsOfLife:
    """Of one switch alone with its store (alone.py). What cannot be written or read tells nothing, and stops nobody."""

    def __init__(self, path: str) -> None:
        """Read the last sign of the switch that worked with the database file `path` before."""
        self._path = path + SUFFIX
        self._earlier = self._read()
        self._ahead: float | None = None  # of the steady clock
        self._since = 0.0

    def last_sign(self, begun_at: float) -> float:
        """When a call that began at `begun_at` was up last; 0 where the clock was set since, or nothing is known.

        Nor is it of a call that is older than the run that gave the signs: an earlier crash cut it.

        UTC epoch seconds by the clock that it began by, as all its times are.
        """
        since, last = self._earlier
        return last if begun_at >= since else 0.0

    def note(self, wall: float, steady: float) -> None:
        """Alive at `wall` (UTC epoch seconds), `steady` by a clock that nobody sets. May wait for the disk."""
        if self._ahead is None or abs(wall - steady - self._ahead) > STEP_S:
            self._since = wall
        self._ahead = wall - steady
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            with contextlib.closing(os.fdopen(file, "wb", buffering=0)) as whole:
                whole.write(f"{self._since:017.3f} {wall:017.3f}\n".encode())

    def _read(self) -> tuple[float, float]:
        try:
            with open(self._path, encoding="ascii") as file:
                since, last = file.read(100).split()
            return float(since), float(last)
        except (OSError, ValueError):  # none yet, or a power cut has left half of one
            return 0.0, 0.0
