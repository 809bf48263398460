"""A media server that hangs is noticed, given up and replaced; one that merely stood still with all others is not."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from media import protocol
from softswitch.media_drivers.server import ServerDriver
from softswitch.media_drivers.supervisor import MediaProcess
from softswitch.media_drivers.watch import Watch
from tests.media.phone import wait_for_seconds
from tests.media.support import obeyed
from tests.media.support import run as run_for_real
from tests.media_drivers.scripted_server import ScriptedServer, scripted
from tests.support.loopback import HOST
from tests.support.virtual_time import run

pytestmark = pytest.mark.real_time


def test_who_answers_each_time_is_never_given_up() -> None:
    async def story() -> None:
        asked = 0

        def ask() -> None:
            nonlocal asked
            asked += 1
            watch.heard()

        watch = Watch(10, ask, lambda: pytest.fail("given up"))
        watch.begin()
        await asyncio.sleep(3600.5)
        watch.end()
        assert asked == 3600

    run(story())


def test_who_does_not_answer_is_given_up_after_its_time_and_once() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        asked: list[float] = []
        given_up: list[float] = []
        watch = Watch(3, lambda: asked.append(loop.time()), lambda: given_up.append(loop.time()))
        started = loop.time()
        watch.begin()
        await asyncio.sleep(60)
        assert [at - started for at in asked] == pytest.approx([1, 2, 3])
        assert [at - started for at in given_up] == pytest.approx([4])

    run(story())


def test_one_late_answer_starts_the_time_anew() -> None:
    async def story() -> None:
        given_up: list[float] = []
        watch = Watch(3, lambda: None, lambda: given_up.append(asyncio.get_running_loop().time()))
        started = asyncio.get_running_loop().time()
        watch.begin()
        await asyncio.sleep(3.5)
        watch.heard()
        await asyncio.sleep(60)
        assert [at - started for at in given_up] == pytest.approx([7])

    run(story())


@pytest.mark.parametrize("hung_s", [0, 3])
def test_nobody_looks_where_that_is_not_wanted_or_no_more(hung_s: float) -> None:
    async def story() -> None:
        watch = Watch(hung_s, lambda: None, lambda: pytest.fail("given up"))
        watch.begin()
        if hung_s:
            watch.end()
        await asyncio.sleep(60)

    run(story())


def test_a_server_that_hangs_is_ended_and_its_calls_go_on_in_another(tmp_path: Path) -> None:
    async def story() -> None:
        path = str(tmp_path / "media.sock")
        process = MediaProcess(("--socket", path, "--bind", HOST, "--ports", "31500-31509"))
        await process.start()
        driver = ServerDriver(path, hung_s=3, on_hung=process.kill)
        try:
            await driver.start()
            endpoint, first = await driver.open_endpoint("call"), process.pid
            assert first
            with capture_logs() as logs:
                os.kill(first, signal.SIGSTOP)
                async with asyncio.timeout(60):
                    while not (driver.up and process.pid not in (None, first)):
                        await wait_for_seconds(0.01)
            assert "media_server_hangs" in [entry["event"] for entry in logs]
            await obeyed(driver, tmp_path)
            assert list(driver.endpoints.values()) == [endpoint]
            assert not endpoint.silent
        finally:
            await driver.close()
            await process.stop()

    run_for_real(story)


def test_a_server_of_others_that_hangs_is_left_and_sought_again(tmp_path: Path) -> None:
    async def story() -> None:
        server = ScriptedServer(str(tmp_path / "scripted.sock"), 60.0)
        await server.start()
        driver = ServerDriver(str(tmp_path / "scripted.sock"), hung_s=1)
        try:
            await driver.start()
            await server.heard(protocol.Hello)
            server.well = False
            await server.heard(protocol.Hello)
            server.well = True
            async with asyncio.timeout(60):
                while not driver.up:
                    await wait_for_seconds(0.001)
        finally:
            await driver.close()
            server.stop()

    run_for_real(story)


def test_a_server_that_needed_long_to_begin_has_its_whole_time_from_then_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            driver._watch._unanswered = 9
            driver._on_welcome(server.welcome)
            assert driver._watch._unanswered == 0

    run_for_real(story)


def test_what_never_ran_can_be_killed() -> None:
    MediaProcess(()).kill()
