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
from media.tables import CommandRefused, Groups, Owned, Session, Table
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
        self._last: dict[tuple[Session, int], _Waiting] = {}  # that waits to play to an endpoint
        self._waiting_of: Groups[Session, _Waiting] = Groups()
        self._of_session: Groups[Session, Owned] = Groups()  # what plays, and was not told to end with all the rest

    def play(self, session: Session, command: protocol.Play) -> None:
        """Start the files; Played follows, with the error where they can't be played."""
        self._playbacks.check_new(session, command.playback)
        if (session, command.playback) in self._waiting:
            raise CommandRefused(f"playback {command.playback} is in use")
        if len(command.endpoints) > protocol.MOST_LISTENERS:  # before anything is kept or looked for
            error = f"{len(command.endpoints)} listeners, expected 1 to {protocol.MOST_LISTENERS}"
            session.deliver(protocol.Played(command.playback, error=error))
            return
        waiting = self._waiting[session, command.playback] = _Waiting(session, command, command.endpoints)
        self._waiting_of.add(session, waiting)
        for name in set(command.endpoints):  # one may be named twice
            if earlier := self._last.get((session, name)):
                earlier.endpoints = tuple(0 if one == name else one for one in earlier.endpoints)
            self._last[session, name] = waiting
        self._reader.read(command.files, partial(self._begin, waiting))

    def _begin(self, waiting: _Waiting, samples: Sequence[bytes] | PromptError) -> None:
        session, command = waiting.session, waiting.command
        if self._waiting.get((session, command.playback)) is not waiting:
            return  # stopped before it began
        self._waits_no_more(waiting)
        endpoints = tuple(self._endpoints.handle_or_none(session, name) for name in waiting.endpoints)
        try:
            if isinstance(samples, PromptError):
                raise samples
            handle = self._core.play(endpoints, tuple(samples), command.loop, command.mix, command.once)
        except (PromptError, ValueError, OverflowError, RuntimeError) as error:
            session.deliver(protocol.Played(command.playback, error=str(error)))
            return
        playback = Owned(session, command.playback, handle)
        self._playbacks.add(playback)
        self._of_session.add(session, playback)

    def _waits_no_more(self, waiting: _Waiting) -> None:
        session = waiting.session
        del self._waiting[session, waiting.command.playback]
        self._waiting_of.discard(session, waiting)
        for name in set(waiting.endpoints):
            if name:  # else another is the last
                del self._last[session, name]

    def stop(self, session: Session, name: int) -> None:
        """End a playback; one that is over already is left alone."""
        waiting = self._waiting.get((session, name))
        if waiting is None:
            self._core.stop_play(self._playbacks.handle_or_none(session, name))
        else:
            self._waits_no_more(waiting)
            session.deliver(protocol.Played(name, (protocol.Report(),) * len(waiting.endpoints)))

    def silence(self, session: Session) -> None:
        """End all that `session` plays. To be told again costs nothing."""
        for playback in self._of_session.pop(session):
            self._core.stop_play(playback.handle)
        for waiting in self._waiting_of.of(session):
            self._waits_no_more(waiting)

    def played(self, handle: int, reports: tuple[tuple[Any, ...], ...]) -> None:
        """The core says that one is over."""
        playback = self._playbacks.remove(handle)
        self._of_session.discard(playback.session, playback)
        playback.session.deliver(protocol.Played(playback.id, tuple(protocol.Report(*report) for report in reports)))
