"""Endpoint, playback and recording of the server driver, against a driver that only notes what is sent."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from media import protocol
from media.disk import DiskThreads
from media.recorder import wav_header
from softswitch.errors import MediaError
from softswitch.interfaces import EndpointStatistics, RecordingReport, RtpRemote
from softswitch.media_drivers.grouped import Grouped
from softswitch.media_drivers.server import ServerDriver
from softswitch.media_drivers.server_objects import ServerEndpoint, ServerPlayback, ServerRecording
from tests.media_drivers.scripted_server import scripted

REMOTE = RtpRemote("127.0.0.1", 4000, 8, 101, telephone_event_in=102, signalling="10.0.0.1")


class ScriptedDriver:
    """Notes commands; is up or not as the test says."""

    def __init__(self) -> None:
        self.up = True
        self.nat = True
        self.silence_s = 60.0
        self.endpoints: Grouped[ServerEndpoint] = Grouped(lambda one: (one.call_id,))
        self.playbacks: Grouped[ServerPlayback] = Grouped(lambda one: one.command.endpoints)
        self.recordings: Grouped[ServerRecording] = Grouped(lambda one: (one.command.left, one.command.right))
        self.disk = DiskThreads()
        self.sent: list[protocol.Command] = []
        self.forgotten: list[int] = []

    def send(self, command: protocol.Command) -> None:
        self.sent.append(command)

    def forget_connections(self, name: int) -> None:
        self.forgotten.append(name)


async def _an_endpoint_remembers_its_far_end_and_closes_once() -> None:
    driver = ScriptedDriver()
    endpoint = driver.endpoints[1] = ServerEndpoint(driver, 1, "call", "127.0.0.1", 20000)
    endpoint.configure(REMOTE)
    wanted = protocol.ConfigureEndpoint(1, "127.0.0.1", 4000, 8, 101, 102, nat=True, signalling="10.0.0.1")
    assert endpoint.configuration == wanted
    endpoint.close()
    endpoint.close()
    endpoint.configure(REMOTE)
    assert driver.sent == [wanted, protocol.CloseEndpoint(1)]
    assert driver.forgotten == [1]
    assert not endpoint.statistics.done()
    endpoint.report(protocol.EndpointClosed(1, 2, 3, 4, 5, 6.0, 7, 8.0, 9.0))
    assert endpoint.statistics.result() == EndpointStatistics(2, 3, 4, 5, 6.0, 7, 8.0, 9.0)


def test_an_endpoint_remembers_its_far_end_and_closes_once() -> None:
    asyncio.run(_an_endpoint_remembers_its_far_end_and_closes_once())


async def _a_closed_endpoint_tells_nothing_more() -> None:
    driver = ScriptedDriver()
    endpoint = driver.endpoints[1] = ServerEndpoint(driver, 1, "call", "127.0.0.1", 20000)
    told: list[object] = []
    endpoint.on_digit, endpoint.on_silence = told.append, told.append
    endpoint.tell_digit("2")
    endpoint.tell_silence(True)
    endpoint.server_gone()
    assert endpoint.name in driver.endpoints
    driver.up = False
    endpoint.close()
    endpoint.tell_digit("3")
    endpoint.tell_silence(False)
    assert told == ["2", True]
    assert endpoint.silent
    assert endpoint.statistics.result() == EndpointStatistics()
    assert driver.endpoints == {}


def test_a_closed_endpoint_tells_nothing_more() -> None:
    asyncio.run(_a_closed_endpoint_tells_nothing_more())


async def _a_silence_that_nobody_listened_to_is_kept() -> None:
    endpoint = ServerEndpoint(ScriptedDriver(), 1, "call", "127.0.0.1", 20000)
    endpoint.tell_digit("1")
    assert not endpoint.silent
    before = asyncio.get_running_loop().time()
    endpoint.tell_silence(True)
    assert endpoint.silent
    assert before <= endpoint.silent_since + 60.0 <= asyncio.get_running_loop().time()
    endpoint.tell_silence(False)
    assert not endpoint.silent


def test_a_silence_that_nobody_listened_to_is_kept() -> None:
    asyncio.run(_a_silence_that_nobody_listened_to_is_kept())


@pytest.mark.parametrize("loop", [True, False])
def test_what_waits_for_the_server_is_over_when_the_last_of_its_endpoints_is_closed(loop: bool) -> None:
    async def story() -> None:
        driver = ScriptedDriver()
        driver.up = False
        left, right = (
            driver.endpoints.setdefault(name, ServerEndpoint(driver, name, "call", "127.0.0.1", 2 * name))
            for name in (5, 6)
        )
        playback = driver.playbacks[1] = ServerPlayback(driver, protocol.Play(1, (5, 6), ("a.wav",), loop))
        left.close()
        assert not playback.finished.done()
        right.close()
        assert [report.completed for report in playback.finished.result()] == [False, False]
        assert driver.playbacks == {}

    asyncio.run(story())


async def _a_playback_stops_once_and_reports_once() -> None:
    driver = ScriptedDriver()
    playback = ServerPlayback(driver, protocol.Play(1, (5,), ("a.wav",)))
    playback.stop()
    playback.stop()
    assert driver.sent == [protocol.StopPlay(1)]
    playback.report(protocol.Played(1, (protocol.Report(3, 10, 330, False, 1),)))
    playback.report(protocol.Played(1, error="too late"))
    (report,) = await playback.finished
    assert (report.frames, report.first_timestamp, report.last_timestamp, report.remote_lost) == (3, 10, 330, 1)
    failed = ServerPlayback(driver, protocol.Play(2, (5,), ("a.wav",)))
    failed.report(protocol.Played(2, error="a.wav: not a RIFF WAVE file"))
    with pytest.raises(MediaError, match="not a RIFF"):
        await failed.finished


def test_a_playback_stops_once_and_reports_once() -> None:
    asyncio.run(_a_playback_stops_once_and_reports_once())


async def _only_a_loop_survives_the_server() -> None:
    driver = ScriptedDriver()
    for name, loop in ((1, False), (2, True)):
        driver.playbacks[name] = ServerPlayback(driver, protocol.Play(name, (5, 6), ("a.wav",), loop))
    once, loop_ = driver.playbacks[1], driver.playbacks[2]
    once.server_gone()
    loop_.server_gone()
    assert [report.completed for report in once.finished.result()] == [False, False]
    assert not loop_.finished.done()
    loop_.stop()
    loop_.server_gone()
    assert [report.frames for report in loop_.finished.result()] == [0, 0]


def test_only_a_loop_survives_the_server() -> None:
    asyncio.run(_only_a_loop_survives_the_server())


async def _a_recording_resumes_with_its_voices_and_its_place(folder: Path) -> None:
    driver = ScriptedDriver()
    path = str(folder / "call.wav")
    recording = driver.recordings[1] = ServerRecording(driver, protocol.Record(1, path, 5, 6))
    recording.voices()
    recording.voices()
    assert driver.sent == [protocol.Voices(1)]
    recording.server_gone()
    assert 1 in driver.recordings
    again = recording.resumption()
    assert again.voices
    assert again.elapsed_s >= 0
    recording.move(str(folder / "call-2.wav"))
    assert recording.resumption().path == str(folder / "call-2.wav")
    driver.up = False
    (folder / "call-2.wav").write_bytes(b"x" * (58 + 8000))
    recording.close()
    recording.close()
    recording.voices()
    report = await recording.finished
    assert (report.bytes, report.duration_s, report.truncated) == (8058, 1.0, True)
    assert report.path == str(folder / "call-2.wav")
    recording.report(protocol.Recorded(1, 5.0))
    assert (await recording.finished).duration_s == 1.0


def test_a_recording_resumes_with_its_voices_and_its_place(tmp_path: Path) -> None:
    asyncio.run(_a_recording_resumes_with_its_voices_and_its_place(tmp_path))


def test_a_process_ends_while_what_a_recording_holds_is_read_from_a_disk_that_stands_still(tmp_path: Path) -> None:
    """Threads of asyncio's own would be waited for."""
    pipe = tmp_path / "call.wav"
    os.mkfifo(pipe)  # stands still like a server of files that is away

    async def story() -> None:
        driver = ScriptedDriver()
        driver.up = False
        recording = driver.recordings[1] = ServerRecording(driver, protocol.Record(1, str(pipe), 5, 6))
        before = set(threading.enumerate())
        recording.close()
        await asyncio.sleep(0)  # the task that has it read begins
        reading = set(threading.enumerate()) - before
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
        assert [one.daemon for one in reading] == [True]

    asyncio.run(story())


def test_a_recording_that_failed_names_no_file_and_says_why() -> None:
    async def story() -> None:
        recording = ServerRecording(ScriptedDriver(), protocol.Record(1, "r/call.wav", 5, 6))
        with capture_logs() as logs:
            recording.report(protocol.Recorded(1, 2.0, 99, "ab", truncated=True, error="No space left on device"))
        assert recording.finished.result() == RecordingReport("", 0.0, 0, "", truncated=True)
        failed = {"event": "recording_failed", "log_level": "error", "path": "r/call.wav"}
        assert logs == [{**failed, "error": "No space left on device"}]

    asyncio.run(story())


def test_a_recording_that_a_new_server_can_not_go_on_with_is_what_the_old_one_left(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "call.wav"
        path.write_bytes(wav_header(8000, 1) + b"\xd5" * 8000)
        recording = ServerRecording(ScriptedDriver(), protocol.Record(1, str(path), 5, 6))
        recording.resumption()
        with capture_logs() as logs:
            recording.report(protocol.Recorded(1, truncated=True, error="Input/output error"))
            report = await recording.finished
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert report == RecordingReport(str(path), 1.0, 8058, sha256, truncated=True)
        broke = {"event": "recording_broke_off", "log_level": "error", "path": str(path)}
        assert logs == [{**broke, "error": "Input/output error"}]

    asyncio.run(story())


def test_a_recording_whose_server_died_before_it_began_names_no_file(tmp_path: Path) -> None:
    async def story() -> None:
        driver = ScriptedDriver()
        driver.up = False
        recording = ServerRecording(driver, protocol.Record(1, str(tmp_path / "never.wav"), 5, 6))
        with capture_logs() as logs:
            recording.close()
            assert await recording.finished == RecordingReport("", 0.0, 0, "", truncated=True)
        assert [(entry["event"], "No such file" in entry["error"]) for entry in logs] == [("recording_failed", True)]

    asyncio.run(story())


async def _a_loop_stopped_while_the_server_is_away_is_over() -> None:
    driver = ScriptedDriver()
    playback = driver.playbacks[1] = ServerPlayback(driver, protocol.Play(1, (5,), ("a.wav",), loop=True))
    driver.up = False
    playback.server_gone()
    playback.stop()
    assert playback.finished.done()
    assert driver.playbacks == {}


def test_a_loop_stopped_while_the_server_is_away_is_over() -> None:
    asyncio.run(_a_loop_stopped_while_the_server_is_away_is_over())


def _choke(digit: str) -> None:
    raise KeyError(digit)


def test_a_call_that_chokes_on_a_digit_parts_nobody_from_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 4000), await server.opened(driver, 4002)
            told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            a.on_digit = _choke
            b.on_digit = told.set_result
            server.say(protocol.Digit(1, "#"), protocol.Digit(2, "5"))
            assert await asyncio.wait_for(told, 60) == "5"
            assert driver.up

    with capture_logs() as logs:
        asyncio.run(story())
    assert [log["event"] for log in logs] == ["media_event_failed"]


def test_an_endpoint_that_the_server_closes_by_itself_is_silent(tmp_path: Path) -> None:
    """Its sockets could not be read."""

    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            endpoint = await server.opened(driver, 20000)
            heard: list[bool] = []
            endpoint.on_silence = heard.append
            server.say(protocol.EndpointClosed(1))
            await endpoint.statistics
            assert heard == [True]
            endpoint.close()

    asyncio.run(story())


def test_a_connection_that_has_broken_unheard_of_harms_no_call(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            endpoint = await server.opened(driver, 20000)
            with broken(driver):
                opening = asyncio.create_task(driver.open_endpoint("call"))
                endpoint.close()
                await asyncio.sleep(0)
            server.drop()
            with pytest.raises(MediaError, match="went away"):
                await opening
            assert await endpoint.statistics == EndpointStatistics()

    asyncio.run(story())


@contextlib.contextmanager
def broken(driver: ServerDriver) -> Iterator[None]:
    """What uvloop makes of a connection between its end and the word of it."""
    whole, driver._writer = driver._writer, cast(asyncio.StreamWriter, BrokenWriter())
    yield
    driver._writer = whole


class BrokenWriter:
    """Refuses as uvloop's transports do."""

    def is_closing(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> None:
        """Nobody is to try."""
        raise RuntimeError("unable to perform operation; the handler is closed")
