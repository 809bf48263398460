"""The engine's own part: whose is what, what crosses on the way, what is taken over, what is released."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
from pathlib import Path

import pytest

from media import _native, protocol
from media.disk import DiskThreads
from media.engine import Engine, Settings
from media.tables import Table
from softswitch.media_drivers.server import ServerDriver
from tests.media.phone import tone, wait_for_seconds, wav
from tests.media.scripted_core import HeldDisk, Listener, ScriptedCore, scripted_engine
from tests.media.support import files_open_in, obeyed, room, run
from tests.media.test_engine import read_wav
from tests.support.loopback import HOST

pytestmark = pytest.mark.real_time


async def until_events(listener: Listener, count: int) -> None:
    """Until the engine has told `count` events."""
    async with asyncio.timeout(60):
        while len(listener.events) < count:
            await wait_for_seconds(0.001)


def resumed(monkeypatch: pytest.MonkeyPatch, folder: Path, times: int) -> tuple[Engine, ScriptedCore, Listener]:
    """An engine that was told `times` to record one call, each time a second later, by somebody who came back."""
    engine, core = scripted_engine(monkeypatch)
    session = Listener()
    for name in range(1, times + 1):
        engine.record(session, protocol.Record(name, str(folder / "call.wav"), 5, 6, elapsed_s=name - 1.0))
    return engine, core, session


def test_what_is_gone_already_is_handle_0_for_every_command_that_may_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, core = scripted_engine(monkeypatch)
    session = Listener()
    engine.stop_play(session, 1)
    engine.voices(session, 2)
    engine.close_recording(session, 3)
    assert core.told == [("stop_play", 0), ("voices", 0), ("close_recording", 0)]
    core.stop()


def test_a_core_ignores_handle_0() -> None:
    core = _native.Core(1, 60.0, "epoll")
    core.stop_play(0)
    core.voices(0)
    core.close_recording(0)
    core.close(0)
    core.stop()
    assert core.events() == []


def test_what_is_told_of_a_recording_that_waits_for_its_file_is_told_when_it_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, core, session = resumed(monkeypatch, tmp_path, 2)
    engine.voices(session, 2)
    engine.close_recording(session, 2)
    assert [verb for verb, *_ in core.told] == ["record", "close_recording"]
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    engine._read_events()
    assert [verb for verb, *_ in core.told[2:]] == ["record", "voices", "close_recording"]
    assert core.told[3:] == [("voices", 3), ("close_recording", 3)]
    assert session.events == [protocol.Recorded(1, 1.0, 8058)]
    core.stop()


def test_what_a_server_that_crashed_had_not_written_is_a_hole_in_the_recording(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, core = scripted_engine(monkeypatch)
    session, path = Listener(), str(tmp_path / "call.wav")
    engine.record(session, protocol.Record(1, path, 5, 6, elapsed_s=2.5))
    assert session.events == [protocol.Truncated(1, "the media server was started anew")]
    engine.record(session, protocol.Record(2, path, 5, 6, elapsed_s=3.0))  # by a new connection: nothing is lost
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    engine._read_events()
    assert session.events[1:] == [protocol.Recorded(1, 1.0, 8058, truncated=True)]
    core.stop()


def test_a_recording_that_was_over_before_its_controller_was_back_at_the_same_server_has_lost_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, core = scripted_engine(monkeypatch)

    def open_native(call: str, rtp: socket.socket, rtcp: socket.socket) -> int:
        with rtp, rtcp:
            return core.open(call)

    monkeypatch.setattr(engine, "_open_native", open_native)
    first, second, path = Listener(), Listener(), str(tmp_path / "call.wav")
    opened = engine.open_endpoint(first, protocol.OpenEndpoint(5))
    assert isinstance(opened, protocol.EndpointOpened)
    engine.record(first, protocol.Record(1, path, 5, 6))
    first.orphaned = True
    engine.open_endpoint(second, protocol.OpenEndpoint(5, opened.port))
    assert core.told[-1] == ("close_recording", 2)
    core.happen(_native.RECORDED, 2, 8000, 8058, False)  # while thousands of others are still reopened
    engine._read_events()
    engine.record(second, protocol.Record(1, path, 5, 6, elapsed_s=1.0))
    assert second.events == []
    core.stop()


def test_of_two_that_wait_for_one_file_the_second_waits_for_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, core, session = resumed(monkeypatch, tmp_path, 3)
    engine.voices(session, 3)
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    engine._read_events()
    assert [verb for verb, *_ in core.told] == ["record", *["close_recording"] * 2, "record", "close_recording"]
    core.happen(_native.RECORDED, 4, 8000, 8058, False)
    engine._read_events()
    assert [verb for verb, *_ in core.told[5:]] == ["record", "voices"]
    core.stop()


def test_who_comes_back_before_the_file_is_open_goes_on_in_the_one_that_it_came_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk, session, path = HeldDisk(), Listener(), tmp_path / "call.wav"
    path.write_bytes(b"another call's")
    engine, core = scripted_engine(monkeypatch, disk)
    disk.stands_still = True
    engine.record(Listener(), protocol.Record(1, str(path), 5, 6))
    engine.record(session, protocol.Record(1, str(path), 5, 6, elapsed_s=1.0))
    disk.go_on()
    assert sorted(os.listdir(tmp_path)) == ["call-2.wav", "call.wav"]
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    engine._read_events()
    assert session.events == [protocol.RecordingMoved(1, str(tmp_path / "call-2.wav"))]
    core.happen(_native.RECORDED, 3, 8000, 8058, False)
    engine._read_events()
    (_, whole) = session.events
    assert isinstance(whole, protocol.Recorded)
    assert whole.sha256 == hashlib.sha256(b"").hexdigest()  # not of the other call's
    core.stop()


def test_however_many_recordings_end_at_once_each_has_its_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    count = 1200

    async def story() -> None:
        disk, session = HeldDisk(), Listener()
        engine, core = scripted_engine(monkeypatch, disk)
        for name in range(1, count + 1):
            engine.record(session, protocol.Record(name, str(tmp_path / f"{name}.wav"), 5, 6))
            core.happen(_native.RECORDED, name, 8000, 8058, False)
        monkeypatch.setattr(engine, "_disk", DiskThreads())
        engine._read_events()
        await until_events(session, count)
        empty = hashlib.sha256(b"").hexdigest()
        assert sorted(session.events, key=lambda event: event.recording) == [  # type: ignore[union-attr]
            protocol.Recorded(name, 1.0, 8058, empty) for name in range(1, count + 1)
        ]
        core.stop()

    asyncio.run(story())


def test_a_recording_that_can_not_be_hashed_now_is_there_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str) -> str:
        raise MemoryError("no room")

    monkeypatch.setattr("media.engine.hash_recording", refuse)
    engine, core = scripted_engine(monkeypatch)
    session = Listener()
    engine.record(session, protocol.Record(1, str(tmp_path / "call.wav"), 5, 6))
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    engine._read_events()
    assert session.events == [protocol.Recorded(1, 1.0, 8058)]
    assert f"recording has no hash: {tmp_path}/call.wav: no room" in caplog.text
    core.stop()


def test_a_recording_whose_file_is_there_already_goes_to_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, core = scripted_engine(monkeypatch)
    session, path = Listener(), str(tmp_path / "call.wav")
    for name in (1, 2):
        engine.record(session, protocol.Record(name, path, 5, 6))
    assert [verb for verb, *_ in core.told] == ["record", "record"]
    assert session.events == [protocol.RecordingMoved(2, str(tmp_path / "call-2.wav"))]
    core.stop()


def test_an_event_that_comes_to_nothing_costs_none_of_those_behind_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, core, session = resumed(monkeypatch, tmp_path, 2)
    engine.voices(session, 2)
    core.refuses = "voices"
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    core.happen(_native.TRUNCATED, len(core.told) + 1, 0)
    engine._read_events()
    assert session.events == [protocol.Recorded(1, 1.0, 8058), protocol.Truncated(2, "the disk does not keep up")]
    assert "the command ring is full" in caplog.text
    core.stop()


def test_events_are_awaited_with_the_payload_type_we_offered_else_with_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, core = scripted_engine(monkeypatch)
    session = Listener()
    assert isinstance(engine.open_endpoint(session, protocol.OpenEndpoint(1)), protocol.EndpointOpened)
    for descriptor in core.told.pop()[1:3]:
        assert isinstance(descriptor, int)
        os.close(descriptor)
    core.told.append(("open",))
    for out, into in ((101, 96), (101, None), (None, None)):
        engine.configure(session, protocol.ConfigureEndpoint(1, "127.0.0.1", 4000, 8, out, into))
    assert [told[5:7] for told in core.told[1:]] == [(101, 96), (101, 101), (-1, -1)]
    core.stop()


def test_a_hole_is_told_while_the_recording_lasts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def story() -> None:
        engine, core = scripted_engine(monkeypatch)
        engine.start()
        session = Listener()
        engine.record(session, protocol.Record(7, str(tmp_path / "call.wav"), 1, 2))
        handle = len(core.told)
        core.happen(_native.TRUNCATED, handle, errno.ENOSPC)
        core.happen(_native.TRUNCATED, handle, 0)  # by the other thread
        core.happen(_native.RECORDED, handle, 8000, 8058, True)
        core.happen(_native.TRUNCATED, handle, 0)
        await until_events(session, 2)
        hole, whole = session.events
        assert hole == protocol.Truncated(7, "No space left on device")
        assert isinstance(whole, protocol.Recorded)
        assert (whole.duration_s, whole.bytes, whole.truncated) == (1.0, 8058, True)
        await engine.stop()

    asyncio.run(story())


def test_a_recording_that_the_core_refuses_says_so_and_leaves_no_file_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine, core = scripted_engine(monkeypatch)
    core.refuses = "record"
    session = Listener()
    engine.record(session, protocol.Record(7, str(tmp_path / "call.wav"), 1, 2))
    assert session.events == [protocol.Recorded(7, truncated=True, error="the command ring is full")]
    core.stop()


def test_a_port_that_the_core_has_no_room_for_is_free_and_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, core = scripted_engine(monkeypatch)
    core.refuses = "open"
    refused = protocol.EndpointFailed(1, "the command ring is full")
    for _ in range(20):  # the engine has ports for five
        assert engine.open_endpoint(Listener(), protocol.OpenEndpoint(1)) == refused
    core.refuses = ""
    assert isinstance(engine.open_endpoint(Listener(), protocol.OpenEndpoint(1, 31908)), protocol.EndpointOpened)
    for descriptor in core.told.pop()[1:3]:
        assert isinstance(descriptor, int)
        os.close(descriptor)
    core.stop()


def test_a_recording_without_a_possible_path_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine, core = scripted_engine(monkeypatch)
    session = Listener()
    engine.record(session, protocol.Record(7, f"{tmp_path}/\0.wav", 1, 2))
    assert core.files == [(1, False)]
    core.happen(_native.RECORDED, 1, 0, 0, True)
    engine._read_events()
    (event,) = session.events
    assert isinstance(event, protocol.Recorded)
    assert event.truncated
    assert "null" in event.error
    core.stop()


def test_a_recording_has_begun_and_may_be_over_before_its_file_is_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    disk, session, path = HeldDisk(), Listener(), str(tmp_path / "call.wav")
    engine, core = scripted_engine(monkeypatch, disk)
    Path(path).touch()
    disk.stands_still = True
    engine.record(session, protocol.Record(1, path, 5, 6))
    engine.voices(session, 1)
    engine.close_recording(session, 1)
    assert core.told == [("record", 0, 0, False, False, 0), ("voices", 1), ("close_recording", 1)]
    assert (core.files, session.events) == ([], [])
    disk.go_on()
    assert core.files == [(1, True)]
    core.happen(_native.RECORDED, 1, 8000, 8058, False)
    engine._read_events()
    moved, whole = session.events
    assert moved == protocol.RecordingMoved(1, str(tmp_path / "call-2.wav"))
    assert isinstance(whole, protocol.Recorded)
    assert (whole.bytes, whole.sha256, whole.error) == (8058, hashlib.sha256(b"").hexdigest(), "")
    core.stop()


def test_after_a_crash_every_recording_waits_for_its_file_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All come at once then, which tells nothing of the disk."""
    monkeypatch.setattr("media.engine.MOST_OPENING", 2)
    disk = HeldDisk()
    engine, core = scripted_engine(monkeypatch, disk)
    disk.stands_still = True
    for name, elapsed_s in ((1, 5.0), (2, 5.0), (3, 5.0), (4, 0.0)):
        engine.record(Listener(), protocol.Record(name, str(tmp_path / f"{name}.wav"), 5, 6, elapsed_s=elapsed_s))
    disk.go_on()
    assert [opened for _, opened in core.files] == [False, True, True, True]  # the new one alone is refused
    core.stop()


def test_a_file_that_the_core_can_not_take_now_is_handed_over_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        engine, core = scripted_engine(monkeypatch)
        core.refuses = "file"
        engine.record(Listener(), protocol.Record(1, str(tmp_path / "call.wav"), 5, 6))
        await asyncio.sleep(0)
        assert core.files == []
        core.refuses = ""
        async with asyncio.timeout(25):
            while not core.files:
                await wait_for_seconds(0.001)
        assert core.files == [(1, True)]
        core.stop()

    asyncio.run(story())


def test_the_end_waits_for_files_and_hands_them_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def story() -> None:
        disk = HeldDisk()
        engine, core = scripted_engine(monkeypatch, disk)
        engine.start()
        disk.stands_still = True
        for name in (1, 2):
            engine.record(Listener(), protocol.Record(name, str(tmp_path / f"{name}.wav"), 5, 6))
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        disk.go_on()
        assert await stopping
        assert core.files == [(1, True), (2, True)]

    asyncio.run(story())


def test_a_file_that_is_opened_after_the_end_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        disk = HeldDisk()
        engine = Engine(Settings(HOST, first_port=31900, last_port=31901, flush_s=0.05), disk)
        engine.start()
        disk.stands_still = True
        for path in (tmp_path / "new.wav", tmp_path / "file" / "none.wav"):
            engine.record(Listener(), protocol.Record(len(path.name), str(path), 5, 6))
        (tmp_path / "file").touch()
        (tmp_path / "old.wav").write_bytes(b"x" * 100)
        engine.record(Listener(), protocol.Record(1, str(tmp_path / "old.wav"), 5, 6, elapsed_s=1.0))
        assert not await engine.stop()
        disk.go_on()
        assert files_open_in(tmp_path) == []
        assert sorted(os.listdir(tmp_path)) == ["file", "old.wav"]
        assert (tmp_path / "old.wav").read_bytes() == b"x" * 100

    asyncio.run(story())
    assert f"recordings end before their calls did: {tmp_path}/new.wav, " in caplog.text


def test_a_hash_that_is_not_finished_when_the_engine_stops_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        engine, core = scripted_engine(monkeypatch)
        session = Listener()
        engine.start()
        engine.record(session, protocol.Record(7, str(tmp_path / "call.wav"), 1, 2))
        core.happen(_native.RECORDED, len(core.told), 8000, 8058, False)
        engine._read_events()
        await engine.stop()

    asyncio.run(story())


def test_a_controller_that_comes_back_goes_on_with_its_ports_and_its_recording() -> None:
    async def story() -> None:
        async with room(grace_s=60.0) as place:
            (anna, a), (_, b) = await place.leg(), await place.leg()
            path = str(place.folder / "call.wav")
            (_, c), (_, d) = await place.leg(), await place.leg()
            place.driver.record(str(place.folder / "other.wav"), c, d)
            place.driver.record(path, a, b).voices()
            await anna.talk(tone(400, 0.2))
            await break_off(place.driver)
            await obeyed(place.driver, place.folder)
            await anna.talk(tone(400, 0.2))
            recording = next(one for one in place.driver.recordings.values() if one.command.path == path)
            await obeyed(place.driver, place.folder)  # what came before is read by then
            a.close()
            assert (await a.statistics).packets_received == 20  # not opened anew
            report = await recording.finished
            channels, audio = read_wav(path)
            assert channels == 1
            assert report.bytes == len(audio) + 58
            assert report.path == path
            assert report.duration_s > 0.35

    run(story)


def test_what_ended_while_the_controller_was_away_is_not_taken_over() -> None:
    async def story() -> None:
        async with room(grace_s=60.0) as place:
            (anna, a), (bert, b), (carl, c) = [await place.leg() for _ in range(3)]
            await place.connect(a, b)
            ringing = place.driver.play([c], [wav(place.folder / "ring.wav", tone(425, 1.0))], loop=True)
            await carl.wait_for(lambda: len(carl.heard) > 2)
            assert place.driver._writer
            place.driver._writer.close()
            async with asyncio.timeout(25):
                while place.driver.up:
                    await wait_for_seconds(0.002)
                place.driver.disconnect(a, b)
                ringing.stop()
                while not place.driver.up:
                    await wait_for_seconds(0.002)
            await obeyed(place.driver, place.folder)
            await wait_for_seconds(0.05)  # what was sent before has arrived
            carl.heard.clear()
            await anna.talk(tone(400, 0.2))
            assert (bert.heard, carl.heard) == ([], [])

    run(story)


def test_what_a_controller_left_is_released_after_the_grace_time_and_nobody_elses() -> None:
    async def story() -> None:
        async with room(grace_s=0.05) as place:
            mine = [await place.driver.open_endpoint("mine") for _ in range(2)]
            other = ServerDriver(str(place.folder / "media.sock"))
            await other.start()
            left, right = await other.open_endpoint("theirs"), await other.open_endpoint("theirs")
            path = place.folder / "theirs.wav"
            other.record(str(path), left, right)
            kept = place.driver.record(str(place.folder / "mine.wav"), *mine)
            await obeyed(other, place.folder)
            await other.close()
            async with asyncio.timeout(25):
                while place.driver.totals.endpoints != 2 or place.driver.totals.recordings != 1:
                    await wait_for_seconds(0.02)
            assert not kept.finished.done()
            read_wav(str(path))

    run(story)


async def break_off(driver: ServerDriver) -> None:
    """The connection breaks; until there is a new one."""
    assert driver._writer
    driver._writer.close()
    async with asyncio.timeout(25):
        while driver.up:
            await wait_for_seconds(0.002)
        while not driver.up:
            await wait_for_seconds(0.002)


def test_an_endpoint_that_comes_back_is_sought_among_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash thousands come at once, and their server must answer in time."""
    engine, core = scripted_engine(monkeypatch)
    monkeypatch.setattr(Table, "__iter__", lambda table: pytest.fail("looked at all"))
    for name, port in ((1, 31902), (2, 31904)):
        told = engine.open_endpoint(Listener(), protocol.OpenEndpoint(name, port=port))
        assert told == protocol.EndpointOpened(name, HOST, port)
    for descriptor in (descriptor for command in core.told for descriptor in command[1:3]):
        assert isinstance(descriptor, int)
        os.close(descriptor)
    core.stop()
