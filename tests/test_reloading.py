"""Files read again at SIGHUP: by a thread, one reading at a time, taken over on the loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from media.disk import DiskThreads
from softswitch.app import Switch
from softswitch.errors import ConfigError
from softswitch.reloading import SLOW_S, Reloading
from tests.support.virtual_time import run
from tests.test_app import Phone, config
from tests.test_app import run as run_switch

Result = TypeVar("Result")


class HeldDisk(DiskThreads):
    """Does nothing until it is let go, then all in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[asyncio.Future[None]] = []

    async def do(self, line: str, work: Callable[[], Result]) -> Result:
        """When it is let go."""
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]
        return work()

    async def go_on(self) -> None:
        """The work that came last is done."""
        self.asked[-1].set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Files:
    """What is read: their content by now, or what is wrong with them."""

    def __init__(self) -> None:
        self.content: str | Exception = "old"
        self.outcomes: list[Any] = []
        self.disk = HeldDisk()
        self.reloading = Reloading(self.disk, self._read, self.outcomes.append, self.outcomes.append)

    def _read(self) -> str:
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


def test_who_asks_while_files_are_read_gets_another_reading_behind_it_however_often_he_asks() -> None:
    async def story() -> None:
        files = Files()
        files.reloading.begin()
        files.reloading.ask()
        await asyncio.sleep(0)
        asked = [files.reloading.ask() for _ in range(3)]
        files.content = "half"
        await files.disk.go_on()
        assert (files.outcomes, len(files.disk.asked), asked[0].done()) == (["half"], 2, False)
        files.content = "new"
        await files.disk.go_on()
        assert (files.outcomes, len(files.disk.asked), asked[0].done()) == (["half", "new"], 2, True)

    run(story())


def test_what_is_wrong_is_told_and_the_next_reading_is_none_the_worse() -> None:
    async def story() -> None:
        files = Files()
        files.reloading.begin()
        wrong = ConfigError("here", "wrong"), RuntimeError("can't start new thread")
        for files.content in (*wrong, "new"):
            done = files.reloading.ask()
            await asyncio.sleep(0)
            await files.disk.go_on()
            await done
        assert files.outcomes == [*wrong, "new"]

    run(story())


def test_nothing_is_read_before_the_beginning() -> None:
    async def story() -> None:
        files = Files()
        files.reloading.ask()
        await asyncio.sleep(1)
        assert files.disk.asked == []
        files.reloading.begin()
        await asyncio.sleep(0)
        await files.disk.go_on()
        assert files.outcomes == ["old"]

    run(story())


def test_nothing_is_taken_over_after_the_end_nor_read_any_more() -> None:
    async def story() -> None:
        files = Files()
        files.reloading.begin()
        files.reloading.end()
        await files.reloading.ask()
        assert files.disk.asked == []
        files = Files()
        files.reloading.begin()
        going_on = files.reloading.ask()
        await asyncio.sleep(0)
        files.reloading.end()
        await asyncio.wait([going_on, files.reloading.ask()])
        assert (files.outcomes, going_on.cancelled(), len(files.disk.asked)) == ([], True, 1)

    run(story())


def test_a_reading_that_takes_long_is_told_once() -> None:
    async def story() -> list[str]:
        files = Files()
        files.reloading.begin()
        with capture_logs() as lines:
            for seconds in (SLOW_S * 0.9, SLOW_S * 9):
                done = files.reloading.ask()
                await asyncio.sleep(seconds)
                await files.disk.go_on()
                await done
        return [line["event"] for line in lines]

    assert run(story()) == ["reload_waits_for_files"]


def test_files_are_read_by_a_thread_and_taken_on_the_loop() -> None:
    async def story() -> None:
        outcomes: list[Any] = []
        reloading = Reloading(
            DiskThreads(), threading.get_ident, lambda read: outcomes.append((read, threading.get_ident())), print
        )
        reloading.begin()
        await reloading.ask()
        ((read, taken),) = outcomes
        assert taken == threading.get_ident() != read

    asyncio.run(story())


@pytest.mark.real_time
def test_a_reload_while_the_switch_starts_waits_until_it_knows_what_media_can_do(tmp_path: Path) -> None:
    """It would end the start by a codec that media lacks, or tell what is not so of SRTP."""

    async def story() -> list[str]:
        settings = config(tmp_path)
        switch = Switch(settings)
        trunk = '[[trunk]]\nname = "carrier"\nhost = "127.0.0.1"\nsrtp = "required"\ncodecs = ["opus"]\n'
        (tmp_path / "dialplans" / "30-carrier.toml").write_text(trunk)
        known, switch.media.srtp = switch.media.srtp, ()
        switch.media.codecs = ()
        with capture_logs() as logs:
            reloading = switch.reload()
            await asyncio.sleep(0)
            switch.media.srtp = known
            await switch.start()
            await reloading
            switch.media.codecs = ("opus",)
            await switch.reload()
        await switch.stop()
        return [line["event"] for line in logs if line["event"].startswith(("srtp", "reload", "start"))]

    assert asyncio.run(story()) == ["started", "reload_refused", "srtp_keys_in_clear", "reloaded"]


@pytest.mark.real_time
def test_calls_and_the_end_of_the_switch_wait_for_no_disk_that_stands_still(tmp_path: Path) -> None:
    """A pipe that nobody writes to stands still like a server of files that is away."""

    async def story(switch: Switch, phone: Phone) -> None:
        os.mkfifo(tmp_path / "dialplans" / "30-hung.toml")
        reloading = switch.reload()
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        assert not reloading.done()
        assert set(switch.dialplan.trunks) == {"phone"}
        hung.append(reloading)

    hung: list[asyncio.Task[None]] = []
    try:
        run_switch(tmp_path, story)
        assert hung[0].cancelled()
    finally:
        (tmp_path / "dialplans" / "30-hung.toml").open("w").close()
