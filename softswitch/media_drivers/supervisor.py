"""Runs a media server as a child process and starts it again whenever it ends.

Built by app.py where the configuration names no running server. Ends only the child that it started, by its pid; the
child ends by itself when this process does (media/__main__.py --parent).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import structlog

FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 10.0
STEADY_S = 10.0
STOP_S = 5.0

log = structlog.get_logger(__name__)


class MediaProcess:
    """`python -m media` with `arguments`, kept running between start() and stop(). `pid` is the present child's."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.restarts = 0
        self.arguments = tuple(arguments)
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._spawning: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the child; raises OSError where that is impossible."""
        await self._spawn()
        if not self._stopped:
            self._task = asyncio.create_task(self._keep_running(), name="media process")

    def kill(self) -> None:
        """End the child that no longer does its work; another one takes its place."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """End the child, also one that is just being started: SIGTERM, and SIGKILL where it does not end in time."""
        self._stopped = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._spawning:
            await asyncio.gather(self._spawning, return_exceptions=True)
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def _spawn(self) -> None:
        """Whoever waits may be cancelled, the birth may not: stop() has to know the child."""
        self._spawning = asyncio.create_task(self._bear_child(), name="media process start")
        await asyncio.shield(self._spawning)

    async def _bear_child(self) -> None:
        command = (sys.executable, "-m", "media", *self.arguments, "--parent", str(os.getpid()))
        # Not in a session of its own: the kernel schedules sessions against each other (sched_autogroup), and media's,
        # which wakes for a moment every 2 ms, was left waiting for seconds while another used all processors.
        self._process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)

    async def _keep_running(self) -> None:
        back_off = FIRST_BACK_OFF_S
        loop = asyncio.get_running_loop()
        assert self._process
        while True:
            started_at = loop.time()
            status = await self._process.wait()
            if loop.time() - started_at > STEADY_S:
                back_off = FIRST_BACK_OFF_S
            log.error("media_server_ended", status=status, restart_in_s=back_off)
            back_off = await self._start_again(back_off)

    async def _start_again(self, back_off: float) -> float:
        """Start a child after `back_off` seconds, however often that takes; the back-off of the next time."""
        while True:
            await asyncio.sleep(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF_S)
            try:
                await self._spawn()
            except OSError as error:  # no memory or no process to be had: perhaps later
                log.error("media_server_not_started", error=str(error), retry_in_s=back_off)
            else:
                self.restarts += 1
                return back_off
