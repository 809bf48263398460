"""Thousands of endpoints when a media server crashes: the work grows as they do, and the event loop keeps its turns."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, cast

import structlog

from media import protocol
from softswitch.media_drivers import server as driver_module
from softswitch.media_drivers.server import ServerDriver
from softswitch.media_drivers.server_objects import ServerEndpoint
from softswitch.media_drivers.slices import AT_ONCE
from tests.support.virtual_time import run

FOLDER = str(Path(driver_module.__file__).parent)
WELCOME = protocol.Welcome(protocol.VERSION, "127.0.0.1", 60.0)


class Writer:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.frames = protocol.FrameBuffer()
        self.commands: list[protocol.Command] = []

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.commands.extend(map(protocol.decode_command, self.frames.feed(data)))


def crowd(calls: int) -> tuple[ServerDriver, Writer]:
    """A driver with two endpoints, a recording and a ringback a call."""
    driver, writer = ServerDriver("nowhere"), Writer()
    driver._writer = cast(Any, writer)
    driver._hear(WELCOME)
    for number in range(1, 2 * calls, 2):
        pair = [ServerEndpoint(driver, one, f"call {number}", "127.0.0.1", 2 * one) for one in (number, number + 1)]
        for endpoint in pair:
            driver.endpoints[endpoint.name] = endpoint
        driver.connect(*pair)
        driver.record("call.wav", *pair)
        driver.play(pair, ["ring.wav"], loop=True)
    return driver, writer


def lines(work: Callable[[], None]) -> int:
    """How many lines of the drivers' code `work` goes through: no clock, so the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


async def settle(driver: ServerDriver) -> None:
    """Until all that waits for the loop's turns is done."""
    while driver._slices.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def work_of_a_crash(calls: int) -> dict[str, int]:
    """The steps of the driver in each part of a crash whose successor has no port again."""
    driver, writer = crowd(calls)
    endpoints = list(driver.endpoints.values())
    work = {"the crash": lines(driver._lost)}

    def fail() -> None:
        for endpoint in endpoints:
            driver._hear(protocol.EndpointFailed(endpoint.name, "in use"))

    def close() -> None:
        for endpoint in endpoints:
            endpoint.close()

    def fall_silent() -> None:
        for endpoint in endpoints:
            driver._hear(protocol.Silence(endpoint.name, True))

    driver._writer = cast(Any, writer)
    driver._hear(WELCOME)
    await settle(driver)
    work["no port again"] = lines(fail)
    work["silences"] = lines(fall_silent)
    work["the end of all"] = lines(close)
    for recording in list(driver.recordings):
        driver._hear(protocol.Recorded(recording))
    assert not driver.endpoints
    return work


def test_the_work_of_a_crash_grows_as_the_calls_do() -> None:
    async def story() -> None:
        with structlog.testing.capture_logs():
            few, many = await work_of_a_crash(50), await work_of_a_crash(200)
        for part, steps in few.items():
            assert many[part] <= 4.1 * steps + 100, part

    run(story())


def test_a_server_that_is_back_is_told_of_thousands_while_the_loop_goes_on() -> None:
    async def story() -> None:
        calls = 500
        driver, writer = crowd(calls)
        driver._lost()
        writer.commands.clear()
        driver._writer = cast(Any, writer)
        driver._hear(WELCOME)
        assert len(writer.commands) == AT_ONCE
        first, last = driver.endpoints[1], driver.endpoints[2 * calls]
        last.close()  # meanwhile: the server has to know it first
        rounds = 0
        while driver._slices.waiting:
            told = len(writer.commands)
            await asyncio.sleep(0)
            assert len(writer.commands) - told <= AT_ONCE
            rounds += 1
        kinds = [type(command).__name__ for command in writer.commands]
        assert rounds > calls / AT_ONCE
        assert kinds.index("OpenEndpoint") == 0
        assert kinds.count("OpenEndpoint") == 2 * calls
        assert writer.commands[-2:] == [
            protocol.CloseEndpoint(2 * calls),
            protocol.CloseRecording(writer_recording(writer)),
        ]
        driver.disconnect(first, driver.endpoints[2])
        assert writer.commands[-1] == protocol.Disconnect(1, 2)  # nothing waits any more

    run(story())


def writer_recording(writer: Writer) -> int:
    """The last recording that the server was told of."""
    return [one.recording for one in writer.commands if isinstance(one, protocol.Record)][-1]


def test_without_a_server_thousands_fall_silent_while_the_loop_goes_on() -> None:
    async def story() -> None:
        driver, _ = crowd(100)
        told = list[bool]()
        for endpoint in driver.endpoints.values():
            endpoint.on_silence = told.append
        driver._lost()
        await asyncio.sleep(driver.silence_s)
        assert len(told) <= 2 * AT_ONCE
        await settle(driver)
        assert told == [True] * 200

    run(story())


def test_a_server_that_crashes_before_it_has_opened_anything_does_not_begin_the_silence_anew() -> None:
    """Nobody can have been heard; of a far end whose ports a server had nobody knows."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        driver, writer = crowd(2)
        told: list[tuple[int, bool, float]] = []
        for name, endpoint in driver.endpoints.items():
            endpoint.on_silence = lambda silent, name=name: told.append((name, silent, loop.time()))
        await asyncio.sleep(5)
        for opened in ([], [4], []):
            driver._lost()
            await asyncio.sleep(19)
            driver._writer = cast(Any, writer)
            driver._hear(WELCOME)
            for name in opened:
                driver._hear(protocol.EndpointOpened(name, "127.0.0.1", 2 * name))
            await asyncio.sleep(1)
        driver._lost()
        await asyncio.sleep(30)
        assert told == [(1, True, 65.0), (2, True, 65.0), (3, True, 65.0)]
        assert driver.endpoints[1].silent_since == 5.0
        await asyncio.sleep(30)
        assert told[3:] == [(4, True, 105.0)]

    run(story())


def test_thousands_that_a_server_lacks_something_for_are_lost_while_the_loop_goes_on() -> None:
    async def story() -> None:
        driver, writer = crowd(100)
        told = list[bool]()
        for endpoint in driver.endpoints.values():
            endpoint.on_silence = told.append
            endpoint.configuration = protocol.ConfigureEndpoint(endpoint.name, "127.0.0.1", 4000, 8, srtp_suite="any")
        driver._lost()
        driver._writer = cast(Any, writer)
        with structlog.testing.capture_logs():
            driver._hear(WELCOME)
            assert len(told) <= 2 * AT_ONCE
            await settle(driver)
        assert all(endpoint.lost for endpoint in driver.endpoints.values())

    run(story())
