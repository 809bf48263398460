"""Prompts played to endpoints: each begins when its files are read, which holds up nobody else.

Called by media/engine.py on the event loop's thread. Never sees a packet, and touches no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from media import protocol
from media.disk import Disk
from media.prompt_reader import PromptReader
from media.prompts import PromptError
from media.tables import CommandRefused, Owned, Session, Table
from media.workers import Workers


@dataclass(slots=True)
class _Waiting:
    """A playback whose files are being read."""

    session: Session
    command: protocol.Play
    endpoints: tuple[int, ...]  # 0: one that has been told to play something else meanwhile


class Playing:
    """All playbacks, those that wait for their files among them."""

    def __init__(self, core: Workers, disk: Disk, endpoints: Table[Any]) -> None:
        self._core = core
        self._endpoints = endpoints
        self._reader = PromptReader(disk)
        self._playbacks: Table[Owned] = Table("playback")
        self._waiting: dict[tuple[Session, int], _Waiting] = {}

    def play(self, session: Session, command: protocol.Play) -> None:
        """Start the files; Played follows, with the error where they can't be played."""
        self._playbacks.check_new(session, command.playback)
        if (session, command.playback) in self._waiting:
            raise CommandRefused(f"playback {command.playback} is in use")
        for earlier in self._waiting.values():
            if earlier.session is session:
                earlier.endpoints = tuple(0 if one in command.endpoints else one for one in earlier.endpoints)
        waiting = self._waiting[session, command.playback] = _Waiting(session, command, command.endpoints)
        self._reader.read(command.files, partial(self._begin, waiting))

    def _begin(self, waiting: _Waiting, samples: Sequence[bytes] | PromptError) -> None:
        session, command = waiting.session, waiting.command
        if self._waiting.get((session, command.playback)) is not waiting:
            return  # stopped before it began
        del self._waiting[session, command.playback]
        endpoints = tuple(self._endpoints.handle_or_none(session, name) for name in waiting.endpoints)
        try:
            if isinstance(samples, PromptError):
                raise samples
            handle = self._core.play(endpoints, tuple(samples), command.loop, command.mix, command.once)
        except (PromptError, ValueError, OverflowError, RuntimeError) as error:
            session.deliver(protocol.Played(command.playback, error=str(error)))
            return
        self._playbacks.add(Owned(session, command.playback, handle))

    def stop(self, session: Session, name: int) -> None:
        """End a playback; one that is over already is left alone."""
        waiting = self._waiting.pop((session, name), None)
        if waiting is None:
            self._core.stop_play(self._playbacks.handle_or_none(session, name))
        else:
            session.deliver(protocol.Played(name, (protocol.Report(),) * len(waiting.endpoints)))

    def silence(self, session: Session) -> None:
        """End all that `session` plays."""
        for playback in self._playbacks:
            if playback.session is session:
                self._core.stop_play(playback.handle)
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if waiting.session is not session}

    def played(self, handle: int, reports: tuple[tuple[Any, ...], ...]) -> None:
        """The core says that one is over."""
        playback = self._playbacks.remove(handle)
        playback.session.deliver(protocol.Played(playback.id, tuple(protocol.Report(*report) for report in reports)))
