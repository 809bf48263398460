"""Playing while files are read: nobody else waits, and what is told meanwhile counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from media import protocol
from media.playing import Playing
from media.tables import CommandRefused, Owned, Table
from media.workers import Workers
from softswitch.errors import MediaError
from tests.media.phone import tone, wav
from tests.media.scripted_core import HeldDisk, Listener, ScriptedCore
from tests.media.support import anew, room, run

pytestmark = pytest.mark.real_time
EMPTY = protocol.Report()


class Stage:
    """Playing to endpoints 1 and 2 (handles 101 and 102), from a disk that stands still until it goes on."""

    def __init__(self, folder: Path) -> None:
        self.core, self.session, self.disk = ScriptedCore(), Listener(), HeldDisk()
        endpoints: Table[Owned] = Table("endpoint")
        for name in (1, 2):
            endpoints.add(Owned(self.session, name, 100 + name))
        self.playing = Playing(cast(Workers, self.core), self.disk, endpoints)
        self.disk.stands_still = True
        self._file = wav(folder / "a.wav", b"words")

    def play(self, name: int, *endpoints: int) -> None:
        """Tell it so."""
        self.playing.play(self.session, protocol.Play(name, endpoints, (self._file,)))

    def told(self) -> list[tuple[object, ...]]:
        """What the core was told since: verbs with what they are about."""
        told, self.core.told = self.core.told, []
        return [command[:2] for command in told]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.core.stop()


def test_a_directory_that_hangs_holds_up_no_call_and_no_other_prompt(tmp_path: Path) -> None:
    async def story() -> None:
        async with room() as place:
            folder = anew(tmp_path)
            os.mkfifo(folder / "hangs.wav")  # to open it for reading waits for who writes
            (anna, a), (_, b) = await place.leg(), await place.leg()
            hung = place.driver.play([a], [str(folder / "hangs.wav")])
            (_, c) = await place.leg(call="another")
            await place.driver.play([b, c], [wav(place.folder / "hello.wav", tone(700, 0.1))]).finished
            await place.connect(a, b)
            await anna.talk(tone(400, 0.1))
            with pytest.raises(MediaError, match=r"hangs\.wav: the disk stands still"):
                await hung.finished
            os.close(os.open(folder / "hangs.wav", os.O_WRONLY))  # or the thread would wait on

    run(story)


def test_more_listeners_than_can_be_are_refused_before_any_file_is_read(stage: Stage) -> None:
    async def story() -> None:
        stage.play(7, *range(1, 100_001))
        assert stage.session.events == [protocol.Played(7, error="100000 listeners, expected 1 to 4")]
        stage.play(7, 1, 2, 1, 2)  # as many as can be, and its name is free
        stage.disk.go_on()
        assert stage.told() == [("play", (101, 102, 101, 102))]

    asyncio.run(story())


def test_a_playback_that_is_stopped_before_its_file_is_read_never_begins(stage: Stage) -> None:
    async def story() -> None:
        stage.play(7, 1, 2)
        stage.playing.stop(stage.session, 7)
        assert stage.session.events == [protocol.Played(7, (EMPTY, EMPTY))]
        stage.disk.go_on()
        assert stage.told() == []

    asyncio.run(story())


def test_of_two_that_wait_the_later_has_the_endpoint_whichever_is_read_first(stage: Stage) -> None:
    async def story() -> None:
        stage.play(7, 1, 2)
        stage.play(8, 2)
        stage.disk.go_on()
        assert stage.told() == [("play", (101, 0)), ("play", (102,))]

    asyncio.run(story())


def test_an_endpoint_that_is_named_twice_hears_the_prompt(stage: Stage) -> None:
    async def story() -> None:
        stage.play(7, 1, 1)
        stage.play(8, 2, 2)
        stage.playing.stop(stage.session, 8)
        stage.disk.go_on()
        assert stage.told() == [("play", (101, 101))]
        assert (stage.playing._last, stage.playing._waiting) == ({}, {})

    asyncio.run(story())


def test_who_was_the_last_to_be_played_to_an_endpoint_is_forgotten_when_it_begins_or_never_does(stage: Stage) -> None:
    async def story() -> None:
        stage.play(7, 1, 2)
        stage.play(8, 2)
        stage.playing.stop(stage.session, 8)
        stage.play(9, 2, 1)
        stage.playing.stop(stage.session, 7)
        stage.disk.go_on()
        assert stage.told() == [("play", (102, 101))]
        assert (stage.playing._last, stage.playing._waiting) == ({}, {})

    asyncio.run(story())


def test_one_that_waits_has_its_name(stage: Stage) -> None:
    async def story() -> None:
        stage.play(7, 1)
        with pytest.raises(CommandRefused, match="playback 7 is in use"):
            stage.play(7, 2)
        stage.disk.go_on()
        with pytest.raises(CommandRefused, match="playback 7 is in use"):
            stage.play(7, 2)

    asyncio.run(story())


def test_what_a_controller_that_went_away_waits_for_is_not_heard_by_who_comes_back(stage: Stage) -> None:
    async def story() -> None:
        stage.disk.go_on()
        stage.play(7, 1)
        await asyncio.sleep(0.11)
        stage.disk.stands_still = True
        stage.play(8, 2)
        stage.told()
        stage.playing.silence(Listener())  # somebody else's
        stage.playing.silence(stage.session)
        stage.disk.go_on()
        assert stage.told() == [("stop_play", 1)]

    asyncio.run(story())


def test_a_core_that_refuses_fails_the_playback(stage: Stage) -> None:
    async def story() -> None:
        stage.core.refuses = "play"
        stage.play(7, 1)
        stage.disk.go_on()
        assert stage.session.events == [protocol.Played(7, error="the command ring is full")]

    asyncio.run(story())
