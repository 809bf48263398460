"""Work at a disk that may stand still: its threads, and what goes on meanwhile in a whole media server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from media import engine, recorder
from media.disk import DiskStandsStill, DiskThreads
from tests.media.phone import loud_s, tone, wait_for_seconds, wav
from tests.media.support import files_open_in, room, run
from tests.media.test_engine import read_wav

pytestmark = pytest.mark.real_time
PATIENCE_S = 20.0


async def until_told(outcomes: list[Any], count: int) -> None:
    """Until so many are."""
    async with asyncio.timeout(PATIENCE_S):
        while len(outcomes) < count:
            await wait_for_seconds(0.001)


def test_one_line_is_done_in_turn_and_no_line_waits_for_another() -> None:
    async def story() -> None:
        threads, gate, outcomes = DiskThreads(), threading.Event(), list[Any]()
        threads.ask("hung", lambda: gate.wait(PATIENCE_S), outcomes.append)
        for number in range(5):
            threads.ask("hung", partial(int, number), outcomes.append)
        threads.ask("other", lambda: "other", outcomes.append)
        await until_told(outcomes, 1)
        assert outcomes == ["other"]
        gate.set()
        await until_told(outcomes, 7)
        assert outcomes[1:] == [True, 0, 1, 2, 3, 4]

    asyncio.run(story())


def test_what_fails_is_told_and_does_not_end_the_line() -> None:
    async def story() -> None:
        threads, outcomes = DiskThreads(), list[Any]()
        threads.ask("line", partial(int, "x"), outcomes.append)
        threads.ask("line", partial(int, "7"), outcomes.append)
        await until_told(outcomes, 2)
        assert isinstance(outcomes[0], ValueError)
        assert outcomes[1] == 7

    asyncio.run(story())


def test_a_thread_ends_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        threads, outcomes, before = DiskThreads(), list[Any](), threading.active_count()
        for number in range(50):
            threads.ask(f"line {number % 3}", partial(int, number), outcomes.append)
        await until_told(outcomes, 50)
        async with asyncio.timeout(PATIENCE_S):
            while threading.active_count() > before:
                await wait_for_seconds(0.001)
        assert threads._lines == {}

    asyncio.run(story())


def test_more_than_can_come_to_its_turn_is_refused() -> None:
    async def story() -> None:
        threads, gate, outcomes = DiskThreads(), threading.Event(), list[Any]()
        for _ in range(4):
            threads.ask("hung", lambda: gate.wait(PATIENCE_S), outcomes.append, most=3)
        await until_told(outcomes, 1)
        (refused,) = outcomes
        assert isinstance(refused, DiskStandsStill)
        assert str(refused) == "3 files wait for a disk that stands still"
        gate.set()
        await until_told(outcomes, 4)

    asyncio.run(story())


def test_what_can_not_be_refused_takes_nobodys_place() -> None:
    """After a crash all recordings are resumed at once: a new call's is not refused for that."""

    async def story() -> None:
        threads, gate, outcomes = DiskThreads(), threading.Event(), list[Any]()
        for number in range(5):
            threads.ask("line", partial(gate.wait, PATIENCE_S), outcomes.append, most=2 if number > 2 else None)
        threads.ask("line", int, outcomes.append, most=2)
        await until_told(outcomes, 1)
        assert str(outcomes[0]) == "2 files wait for a disk that stands still"
        gate.set()
        await until_told(outcomes, 6)
        assert outcomes[1:] == [True] * 5
        threads.ask("line", partial(int, "7"), outcomes.append, most=2)
        await until_told(outcomes, 7)
        assert outcomes[6] == 7

    asyncio.run(story())


def test_what_no_thread_could_be_had_for_is_told_and_its_line_begins_again_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def story() -> None:
        threads, outcomes = DiskThreads(), list[Any]()
        with monkeypatch.context() as crowded:
            crowded.setattr(threading.Thread, "start", refuse)
            threads.ask("line", partial(int, "6"), outcomes.append)
        threads.ask("line", partial(int, "7"), outcomes.append)
        await until_told(outcomes, 2)
        refused, done = sorted(outcomes, key=str, reverse=True)
        assert isinstance(refused, RuntimeError)
        assert done == 7

    asyncio.run(story())


def test_a_thread_that_comes_back_when_nobody_is_there_any_more_just_ends() -> None:
    threads, gate = DiskThreads(), threading.Event()

    async def story() -> None:
        threads.ask("hung", lambda: gate.wait(PATIENCE_S), print)

    asyncio.run(story())
    (left,) = (thread for thread in threading.enumerate() if thread.name == "disk hung")
    gate.set()
    left.join(PATIENCE_S)
    assert not left.is_alive()


def test_who_waits_for_work_has_what_it_returned_or_raised() -> None:
    async def story() -> None:
        threads = DiskThreads()
        assert await threads.do("line", partial(int, "7")) == 7
        with pytest.raises(ValueError, match="invalid literal"):
            await threads.do("line", partial(int, "x"))

    asyncio.run(story())


def test_what_was_done_is_told_before_all_is_settled() -> None:
    async def story() -> None:
        threads, outcomes = DiskThreads(), list[Any]()
        threads.ask("moves", partial(int, 7), outcomes.append)
        for thread in threading.enumerate():
            if thread.name == "disk moves":
                thread.join()  # its line is over, and the loop has not come to its outcome yet
        await threads.settle(PATIENCE_S)
        assert outcomes == [7]

    asyncio.run(story())


def test_what_moves_is_waited_for_and_what_stands_still_is_not() -> None:
    async def story() -> None:
        threads, gate, outcomes = DiskThreads(), threading.Event(), list[Any]()
        await threads.settle(PATIENCE_S)
        for number in range(50):
            threads.ask("moves", partial(int, number), outcomes.append)
        await threads.settle(PATIENCE_S)
        assert outcomes == list(range(50))
        waiting = asyncio.create_task(threads.do("hung", lambda: gate.wait(PATIENCE_S)))
        await asyncio.sleep(0)
        await threads.settle(0.01)
        assert not waiting.done()
        waiting.cancel()
        gate.set()  # which is told nobody any more
        await threads.settle(PATIENCE_S)
        assert waiting.cancelled()

    asyncio.run(story())


class Directory:
    """One that stands still until it is told to go on: whoever opens a file in it waits."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._moves = threading.Event()

    def stand_still(self) -> None:
        """From now on, and empty, also where a test's story is told again."""
        self.go_on()
        self._moves = threading.Event()
        self.path /= "hung"

    def open(self, path: str, *, stereo: bool, resume: bool) -> recorder.RecordingFile:
        """As the recorder does."""
        if Path(path).parent == self.path:
            assert self._moves.wait(PATIENCE_S)
        return recorder.open_recording(path, stereo=stereo, resume=resume)

    def go_on(self) -> None:
        """It moves again."""
        self._moves.set()


@pytest.fixture
def hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Directory]:
    directory = Directory(tmp_path)
    monkeypatch.setattr(engine, "open_recording", directory.open)
    yield directory
    directory.go_on()


def test_no_other_call_waits_for_a_directory_that_stands_still(hung: Directory) -> None:
    async def story() -> None:
        hung.stand_still()
        async with room() as place:
            legs = [await place.leg(call=call) for call in ("stuck", "stuck", "free", "free")]
            (anna, a), (_, b), (carl, c), (dora, d) = legs
            stuck = place.driver.record(str(hung.path / "call.wav"), a, b)
            stuck.voices()
            elsewhere = place.driver.record(str(place.folder / "call.wav"), c, d)
            elsewhere.voices()
            await place.connect(c, d)
            reports = await place.driver.play([c], [wav(place.folder / "a.wav", tone(700, 0.1))]).finished
            assert [report.frames for report in reports] == [5]
            await asyncio.gather(anna.talk(tone(400, 1.2)), carl.talk(tone(400, 1.2)))
            await dora.wait_for(lambda: len(dora.heard) == 60)
            elsewhere.close()
            assert not (await elsewhere.finished).truncated
            assert not hung.path.exists()
            hung.go_on()
            stuck.close()
            report = await stuck.finished
            assert not report.truncated
            _, audio = read_wav(report.path)
            assert loud_s(audio, 400) >= 0.9  # from its beginning on

    run(story)


def test_calls_that_end_while_the_directory_stands_still_have_their_recordings_when_it_moves(hung: Directory) -> None:
    async def story() -> None:
        hung.stand_still()
        async with room() as place:
            recordings = []
            for number in range(4):
                (anna, a), (_, b) = await place.leg(call=f"{number}"), await place.leg(call=f"{number}")
                recording = place.driver.record(str(hung.path / "call.wav"), a, b)
                recording.voices()
                await anna.talk(tone(400, 0.2))
                for endpoint in (a, b):  # which ends the recording too
                    endpoint.close()
                    await endpoint.statistics
                recordings.append(recording)
            assert not any(recording.finished.done() for recording in recordings)
            hung.go_on()
            reports = [await recording.finished for recording in recordings]
            names = ["call.wav", "call-2.wav", "call-3.wav", "call-4.wav"]
            assert [report.path for report in reports] == [str(hung.path / name) for name in names]
            for report in reports:
                _, audio = read_wav(report.path)
                assert loud_s(audio, 400) >= 0.1
                assert not report.truncated
            assert files_open_in(hung.path) == []

    run(story)
