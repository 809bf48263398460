"""Prompts are looked at where nobody has to wait for the disk; what is known is there at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from media.disk import DiskThreads, Told, Work
from media.prompt_reader import FRESH_S, PATIENCE_S, PromptReader
from media.prompts import PromptError
from tests.media.phone import wait_for_seconds, wav
from tests.media.scripted_core import HeldDisk
from tests.support.virtual_time import run

Outcomes = list[Sequence[bytes] | PromptError]


def words(outcomes: Outcomes) -> list[str]:
    """What was told, samples or errors."""
    return [
        str(outcome).rpartition("/")[2] if isinstance(outcome, PromptError) else b"+".join(outcome).decode("latin-1")
        for outcome in outcomes
    ]


def test_a_changed_file_is_read_again_but_not_looked_at_twice_in_a_moment(tmp_path: Path) -> None:
    async def story() -> None:
        reader, outcomes = PromptReader(HeldDisk()), Outcomes()
        path = wav(tmp_path / "a.wav", b"one")
        reader.read([path, path], outcomes.append)
        wav(tmp_path / "a.wav", b"three")
        reader.read([path], outcomes.append)
        await asyncio.sleep(FRESH_S)
        reader.read([path], outcomes.append)
        assert words(outcomes) == ["one+one", "one", "three"]

    run(story())


def test_who_waits_for_one_look_is_told_by_it_in_the_order_of_coming(tmp_path: Path) -> None:
    async def story() -> None:
        disk, outcomes = HeldDisk(), Outcomes()
        reader = PromptReader(disk)
        one, two = wav(tmp_path / "1.wav", b"one"), wav(tmp_path / "2.wav", b"two")
        disk.stands_still = True
        reader.read([one, two], outcomes.append)
        reader.read([two], outcomes.append)
        assert outcomes == []
        disk.go_on()
        assert words(outcomes) == ["one+two", "two"]

    run(story())


def test_of_a_disk_that_stands_still_what_was_read_before_is_played_as_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        disk, outcomes = HeldDisk(), Outcomes()
        reader = PromptReader(disk)
        known, unknown = wav(tmp_path / "known.wav", b"known"), wav(tmp_path / "unknown.wav", b"unknown")
        reader.read([known], outcomes.append)
        await asyncio.sleep(FRESH_S)
        wav(tmp_path / "known.wav", b"changed")
        disk.stands_still = True
        reader.read([known], outcomes.append)
        reader.read([unknown], outcomes.append)
        await asyncio.sleep(PATIENCE_S / 2)
        assert words(outcomes) == ["known"]
        await asyncio.sleep(PATIENCE_S)
        assert sorted(words(outcomes[1:])) == ["known", "unknown.wav: the disk stands still"]
        reader.read([known, unknown], outcomes.append)  # nobody waits twice for the same look
        assert words(outcomes[3:]) == ["unknown.wav: the disk stands still"]
        disk.go_on()
        reader.read([known, unknown], outcomes.append)
        assert words(outcomes[4:]) == ["changed+unknown"]

    run(story())


class SlowDisk:
    """Does one thing after the other, each in `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._free_at = 0.0

    def ask(self, line: str, work: Work, told: Told, most: int | None = None) -> None:
        """When all before is done."""
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + self.seconds
        loop.call_at(self._free_at, lambda: told(work()))


def test_a_file_never_read_is_waited_for_while_those_in_front_of_it_are_read(tmp_path: Path) -> None:
    """A switch that has just started is asked for all its prompts at once: the last ones are as good as the first."""

    async def story() -> None:
        disk, outcomes = SlowDisk(PATIENCE_S / 5), Outcomes()
        reader = PromptReader(disk)
        paths = [wav(tmp_path / f"{number}.wav", str(number).encode()) for number in range(30)]
        for path in paths:
            reader.read([path], outcomes.append)
        await asyncio.sleep(6 * PATIENCE_S + 0.01)
        assert words(outcomes) == [str(number) for number in range(30)]
        for path in paths:  # what is known is not worth waiting for
            reader.read([path], outcomes.append)
        await asyncio.sleep(PATIENCE_S + 0.01)
        assert sorted(words(outcomes[30:])) == sorted(str(number) for number in range(30))

    run(story())


def test_what_can_not_be_read_is_told_and_looked_at_anew(tmp_path: Path) -> None:
    async def story() -> None:
        reader, outcomes = PromptReader(HeldDisk()), Outcomes()
        path = str(tmp_path / "a.wav")
        reader.read([path], outcomes.append)
        reader.read(["\0"], outcomes.append)
        assert words(outcomes)[0] == "a.wav: No such file or directory"
        assert words(outcomes)[1].startswith("\0: ")  # no possible path
        wav(tmp_path / "a.wav", b"there")
        await asyncio.sleep(FRESH_S)
        reader.read([path], outcomes.append)
        assert words(outcomes[2:]) == ["there"]

    run(story())


def test_a_tone_waits_for_no_disk(tmp_path: Path) -> None:
    async def story() -> None:
        disk, outcomes = HeldDisk(), Outcomes()
        disk.stands_still = True
        PromptReader(disk).read(["tone:cn/ringback"], outcomes.append)
        (samples,) = outcomes
        assert not isinstance(samples, PromptError)

    run(story())


def test_files_are_read_by_a_thread(tmp_path: Path) -> None:
    async def story() -> None:
        outcomes = Outcomes()
        PromptReader(DiskThreads()).read([wav(tmp_path / "a.wav", b"there")], outcomes.append)
        assert outcomes == []
        async with asyncio.timeout(60):
            while not outcomes:
                await wait_for_seconds(0.001)
        assert words(outcomes) == ["there"]

    asyncio.run(story())
