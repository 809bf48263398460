"""What every MediaDriver keeps (interfaces.py "Media"), run over each implementation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from softswitch.errors import MediaError
from softswitch.interfaces import MediaDriver, RtpRemote
from softswitch.media_drivers.null import NullDriver
from tests.media.phone import tone, wav
from tests.media.support import anew, room, run

pytestmark = pytest.mark.real_time
REMOTE = RtpRemote("127.0.0.1", 39998, 8, 101)
Rig = Callable[[], AbstractAsyncContextManager[MediaDriver]]


@contextlib.asynccontextmanager
async def null_rig() -> AsyncIterator[MediaDriver]:
    yield NullDriver(pairs=3)


@contextlib.asynccontextmanager
async def server_rig() -> AsyncIterator[MediaDriver]:
    async with room(pairs=3, first_port=31100) as place:
        yield place.driver


@pytest.fixture(params=[null_rig, server_rig], ids=["null", "server"])
def rig(request: pytest.FixtureRequest) -> Rig:
    chosen: Rig = request.param
    return chosen


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    return wav(tmp_path / "prompt.wav", tone(700, 0.1))


def test_endpoints_have_different_even_ports_until_none_is_left(rig: Rig) -> None:
    async def story() -> None:
        async with rig() as driver:
            endpoints = [await driver.open_endpoint("call") for _ in range(3)]
            assert len({endpoint.port for endpoint in endpoints}) == 3
            assert all(endpoint.port % 2 == 0 and endpoint.address.startswith("127.") for endpoint in endpoints)
            with pytest.raises(MediaError, match="no free RTP port"):
                await driver.open_endpoint("call")
            endpoints[1].close()
            await endpoints[1].statistics
            assert (await driver.open_endpoint("call")).port == endpoints[1].port

    run(story)


def test_a_prompt_to_two_ends_with_one_report_each(rig: Rig, prompt: str) -> None:
    async def story() -> None:
        async with rig() as driver:
            a, b = await driver.open_endpoint("call"), await driver.open_endpoint("call")
            a.configure(REMOTE)
            b.configure(REMOTE)
            reports = await driver.play([a, b], [prompt, prompt]).finished
            assert [(report.frames, report.completed) for report in reports] == [(10, True)] * 2
            assert reports[0].last_timestamp - reports[0].first_timestamp == 9 * 160

    run(story)


def test_stop_and_close_are_idempotent_and_end_what_runs(rig: Rig, prompt: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with rig() as driver:
            a, b = await driver.open_endpoint("call"), await driver.open_endpoint("call")
            driver.connect(a, b)
            path = str(anew(tmp_path) / "call.wav")
            stopped = driver.play([a], [prompt], loop=True)
            stopped.stop()
            stopped.stop()
            left = driver.play([b], [prompt], loop=True)
            recording = driver.record(path, a, b)
            recording.voices()
            b.close()
            b.close()
            assert [report.completed for report in await stopped.finished] == [False]
            assert [report.completed for report in await left.finished] == [False]
            assert (await b.statistics).packets_received == 0
            report = await recording.finished
            assert report.path == path
            assert not report.truncated
            recording.close()
            recording.voices()
            driver.disconnect(a, b)
            driver.connect(a, b)
            a.close()
            a.configure(REMOTE)
            await a.statistics

    run(story)


def test_playing_to_closed_endpoints_is_over_at_once(rig: Rig, prompt: str) -> None:
    async def story() -> None:
        async with rig() as driver:
            a = await driver.open_endpoint("call")
            a.close()
            (report,) = await driver.play([a], [prompt], loop=True).finished
            assert not report.completed

    run(story)


def test_a_new_prompt_takes_the_endpoint_over(rig: Rig, prompt: str) -> None:
    async def story() -> None:
        async with rig() as driver:
            a = await driver.open_endpoint("call")
            first = driver.play([a], [prompt], loop=True)
            second = driver.play([a], [prompt])
            assert [report.completed for report in await first.finished] == [False]
            assert [report.completed for report in await second.finished] == [True]

    run(story)


def test_a_file_that_cannot_be_played_fails_the_playback(rig: Rig, tmp_path: Path) -> None:
    async def story() -> None:
        async with rig() as driver:
            a = await driver.open_endpoint("call")
            with pytest.raises(MediaError, match=r"missing\.wav"):
                await driver.play([a], [str(tmp_path / "missing.wav")]).finished

    run(story)


def test_recording_closed_endpoints_is_over_at_once(rig: Rig, tmp_path: Path) -> None:
    async def story() -> None:
        async with rig() as driver:
            a, b = await driver.open_endpoint("call"), await driver.open_endpoint("call")
            a.close()
            b.close()
            assert (await driver.record(str(anew(tmp_path) / "r.wav"), a, b).finished).duration_s < 0.05

    run(story)
