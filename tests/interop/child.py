"""Runs a real program in the foreground as our child, and ends it.

Called by kamailio.py and baresip.py. The program's words go to a log file; it has a session (and with it a process
group) of its own, so that its end ends what it started and nothing of ours, and it gets SIGTERM should we die first.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from demo.switch_process import wait_until
from tests.support.programs import program

PATIENCE_S = 60.0

T = TypeVar("T")


class ProgramFailed(Exception):
    """The program ended, or did not do in time what was waited for; the message ends with its last words."""


class Child:
    """`with Child(...) as child:` runs `command` until the block ends."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self._command, self._log = name, command, log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        end_with_us = [program("setpriv", "util-linux"), "--pdeathsig", "TERM"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*end_with_us, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def said(self) -> str:
        """All that it wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, what: str, look: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
        """What `look` returns once it returns something true; raises ProgramFailed after `timeout_s` or its end."""
        found: T | None = None

        def looked() -> bool:
            nonlocal found
            found = look()
            return bool(found) or self._ended()

        wait_until(looked, timeout_s)
        if not found:
            raise ProgramFailed(f"{self.name}: no {what}; it said:\n{self.said()[-2000:]}")
        return found

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None
