"""An engine whose native core only notes what it is told, and a session that keeps what the engine tells it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from media import _native, protocol
from media.disk import Disk, DiskStandsStill, Told, Work
from media.engine import Engine, Settings
from tests.support.loopback import HOST


class ScriptedCore:
    """Stands for media._native.Core: `told` is every command, `happen` makes an event."""

    refuses = ""  # the command that fails

    def __init__(self, *_: object) -> None:
        self.told: list[tuple[object, ...]] = []
        self.files: list[tuple[int, bool]] = []  # of which recordings, and whether there is one
        self._happened: list[tuple[object, ...]] = []
        self._readable = os.eventfd(0, os.EFD_NONBLOCK)

    def happen(self, *event: object) -> None:
        """The core tells `event`: its type, its handle, the rest."""
        self._happened.append(event)
        os.eventfd_write(self._readable, 1)

    def events(self) -> list[tuple[object, ...]]:
        """What happened since."""
        os.eventfd_read(self._readable)
        happened, self._happened = self._happened, []
        return happened

    def fileno(self) -> int:
        """Readable while events wait."""
        return self._readable

    def file(self, recording: int, descriptor: int, written: int) -> None:
        """A recording's, which is closed at once."""
        if self.refuses == "file":
            raise RuntimeError("the command ring is full")
        self.files.append((recording, descriptor >= 0))
        if descriptor >= 0:
            os.close(descriptor)

    def stop(self, seconds: float = 60.0) -> bool:
        """The end."""
        os.close(self._readable)
        return True

    def __getattr__(self, verb: str) -> Callable[..., int]:
        def tell(*arguments: object) -> int:
            if verb == self.refuses:
                raise RuntimeError("the command ring is full")
            self.told.append((verb, *arguments))
            return len(self.told)

        return tell


class HeldDisk:
    """Stands for media.disk.DiskThreads: does at once what it is asked for, but while it `stands_still`."""

    def __init__(self) -> None:
        self.stands_still = False
        self._waiting: list[tuple[Work, Told]] = []

    def ask(self, line: str, work: Work, told: Told, most: int | None = None) -> None:
        """Now or later."""
        if most is not None and len(self._waiting) >= most:
            told(DiskStandsStill(f"{most} wait"))
            return
        self._waiting.append((work, told))
        if not self.stands_still:
            self.go_on()

    def go_on(self) -> None:
        """Does what waits."""
        self.stands_still = False
        waiting, self._waiting = self._waiting, []
        for work, told in waiting:
            try:
                outcome = work()
            except Exception as error:
                outcome = error
            told(outcome)


class Listener:
    """A session that keeps its events."""

    def __init__(self) -> None:
        self.orphaned = False
        self.events: list[protocol.Event] = []

    def deliver(self, event: protocol.Event) -> None:
        """Keep it."""
        self.events.append(event)


def scripted_engine(monkeypatch: pytest.MonkeyPatch, disk: Disk | None = None) -> tuple[Engine, ScriptedCore]:
    """An engine on a `disk` and its core; start() and stop() are the test's."""
    cores: list[ScriptedCore] = []

    def build(*arguments: object) -> ScriptedCore:
        cores.append(ScriptedCore(*arguments))
        return cores[0]

    monkeypatch.setattr(_native, "Core", build)
    engine = Engine(Settings(HOST, first_port=31900, last_port=31909), disk or HeldDisk())
    return engine, cores[0]
