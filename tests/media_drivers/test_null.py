"""The null driver keeps the contract's promises on the loop's clock."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.errors import MediaError
from softswitch.interfaces import MediaDriver, RtpRemote
from softswitch.media_drivers.null import NullDriver
from tests.support.virtual_time import run

REMOTE = RtpRemote("127.0.0.1", 4000, 8, 101)


def driver_with_prompts() -> NullDriver:
    return NullDriver(durations={"a.wav": 0.04, "b.wav": 0.02, "long.wav": 1000.0})


async def _a_prompt_ends_after_its_duration() -> None:
    driver = driver_with_prompts()
    left, right = await driver.open_endpoint("c1"), await driver.open_endpoint("c1")
    playback = driver.play([left, right], ["a.wav", "b.wav"])
    reports = await playback.finished
    assert [report.frames for report in reports] == [3, 3]
    assert all(report.completed for report in reports)


def test_a_prompt_ends_after_its_duration() -> None:
    asyncio.run(_a_prompt_ends_after_its_duration())


async def _closing_ends_playing_and_recording() -> None:
    driver = driver_with_prompts()
    left, right = await driver.open_endpoint("c1"), await driver.open_endpoint("c1")
    playback = driver.play([left], ["long.wav"])
    recording = driver.record("r.wav", left, right)
    recording.voices()
    left.close()
    left.close()
    assert not (await playback.finished)[0].completed
    assert (await recording.finished).path == "r.wav"
    assert (await left.statistics).packets_received == 0
    assert driver.verbs() == ["open_endpoint"] * 2 + ["play", "record", "voices", "close", "close_recording"]


def test_closing_ends_playing_and_recording() -> None:
    asyncio.run(_closing_ends_playing_and_recording())


async def _a_dead_driver_opens_nothing_and_ends_prompts_but_for_loops() -> None:
    driver = driver_with_prompts()
    left, right = await driver.open_endpoint("c1"), await driver.open_endpoint("c1")
    playback, ringback = driver.play([left], ["long.wav"]), driver.play([right], ["a.wav"], loop=True)
    driver.die()
    assert not (await playback.finished)[0].completed
    with pytest.raises(MediaError, match="away"):
        await driver.open_endpoint("c2")
    driver.revive()
    assert (await driver.open_endpoint("c2")).port != left.port
    assert not ringback.finished.done()


def test_a_dead_driver_opens_nothing_and_ends_prompts_but_for_loops() -> None:
    asyncio.run(_a_dead_driver_opens_nothing_and_ends_prompts_but_for_loops())


def test_what_a_dead_driver_is_told_to_play_begins_when_it_is_back() -> None:
    async def story() -> None:
        driver = driver_with_prompts()
        left, right = await driver.open_endpoint("c1"), await driver.open_endpoint("c1")
        driver.die()
        heard, unheard = driver.play([left], ["a.wav"]), driver.play([right], ["a.wav"])
        await asyncio.sleep(1)
        right.close()
        assert [(report.frames, report.completed) for report in unheard.finished.result()] == [(0, False)]
        assert not heard.finished.done()
        driver.revive()
        (report,) = await heard.finished
        assert (report.frames, report.completed) == (2, True)

    run(story())


async def _a_new_prompt_takes_over_the_endpoint() -> None:
    driver = driver_with_prompts()
    left = await driver.open_endpoint("c1")
    first = driver.play([left], ["long.wav"], loop=True)
    second = driver.play([left], ["a.wav"])
    assert not (await first.finished)[0].completed
    second.stop()
    second.stop()
    assert not (await second.finished)[0].completed


def test_a_new_prompt_takes_over_the_endpoint() -> None:
    asyncio.run(_a_new_prompt_takes_over_the_endpoint())


async def _a_missing_file_fails_the_playback() -> None:
    driver = driver_with_prompts()
    left = await driver.open_endpoint("c1")
    with pytest.raises(MediaError, match=r"missing\.wav"):
        await driver.play([left], ["missing.wav"]).finished


def test_a_missing_file_fails_the_playback() -> None:
    asyncio.run(_a_missing_file_fails_the_playback())


async def _the_far_end_presses_and_falls_silent() -> None:
    driver: MediaDriver = driver_with_prompts()
    assert isinstance(driver, NullDriver)
    left, right = await driver.open_endpoint("c1"), await driver.open_endpoint("c1")
    heard: list[object] = []
    left.on_digit = heard.append
    left.on_silence = heard.append
    left.configure(REMOTE)
    driver.connect(left, right, digits=False)
    assert left.peer is right
    driver.disconnect(left, right)
    assert right.peer is None
    left.press("5#")
    left.fall_silent()
    left.resume()
    left.close()
    left.press("1")
    left.fall_silent()
    assert heard == ["5", "#", True, False]
    assert driver.commands[2].remote == REMOTE


def test_the_far_end_presses_and_falls_silent() -> None:
    asyncio.run(_the_far_end_presses_and_falls_silent())


async def _a_silence_that_nobody_listened_to_is_kept() -> None:
    left = await driver_with_prompts().open_endpoint("c1")
    assert not left.silent
    left.fall_silent()
    assert left.silent
    left.resume()
    assert not left.silent
    left.close()
    left.fall_silent()
    assert not left.silent


def test_a_silence_that_nobody_listened_to_is_kept() -> None:
    asyncio.run(_a_silence_that_nobody_listened_to_is_kept())


async def _ports_run_out() -> None:
    driver = NullDriver(pairs=1)
    endpoint = await driver.open_endpoint("c1")
    with pytest.raises(MediaError, match="no free RTP port"):
        await driver.open_endpoint("c2")
    endpoint.close()
    assert (await driver.open_endpoint("c2")).port == endpoint.port


def test_ports_run_out() -> None:
    asyncio.run(_ports_run_out())
