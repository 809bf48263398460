"""Recording by the engine and its native core: both sides in time, prompts once, whole on disk at any moment."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media import _native
from media.engine import Engine, Settings
from softswitch.interfaces import RecordingReport
from tests.media.phone import linear, loudness, tone, wait_for_seconds, wav
from tests.media.support import obeyed, room, run

pytestmark = pytest.mark.real_time


def read_whole(path: str) -> bytes:
    """The file."""
    return Path(path).read_bytes()


def read_wav(path: str) -> tuple[int, bytes]:
    """Channels and A-law data, the header being what players expect."""
    data = read_whole(path)
    assert data[:4] + data[8:16] == b"RIFFWAVEfmt "
    size, tag, channels, rate, per_second, align, bits, extra = struct.unpack_from("<IHHIIHHH", data, 16)
    assert (size, tag, rate, per_second, align, bits, extra) == (18, 6, 8000, 8000 * channels, channels, 8, 0)
    fact, fact_size, samples, chunk, length = struct.unpack_from("<4sII4sI", data, 38)
    assert (fact, fact_size, chunk) == (b"fact", 4, b"data")
    assert samples * channels == length == len(data) - 58
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    return channels, data[58:]


def onset_s(samples: NDArray[np.int16], after_s: float = 0.0) -> float:
    """When the channel first gets loud."""
    start = round(after_s * 8000)
    return float(start + np.argmax(np.abs(samples[start:]) > 2000)) / 8000


def bursts() -> bytes:
    """Two seconds of silence with a tone from 0.6 to 0.9 s and from 1.4 to 1.7 s."""
    quiet = b"\xd5" * 8000
    return quiet[:4800] + tone(600, 0.3) + quiet[:4000] + tone(600, 0.3) + quiet[:2400]


def test_both_sides_stay_in_time_through_jitter_loss_and_reordering() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            loop = asyncio.get_running_loop()
            chance = random.Random(7)
            onsets = {30, 70}
            lost = [frame for frame in range(100) if chance.random() < 0.08 and frame not in onsets]
            delays = [chance.uniform(0, 0.07) for _ in range(100)]
            path, spoken_by_both = str(place.folder / "deep" / "er" / "call.wav"), bursts()
            recording = place.driver.record(path, a, b, stereo=True)
            recording.voices()
            begun = loop.time()
            await asyncio.gather(anna.talk(spoken_by_both, delays=delays, lost=lost), bert.talk(spoken_by_both))
            recording.close()
            ended = loop.time()
            report = await recording.finished
            channels, audio = read_wav(path)
            assert channels == 2
            left, right = linear(audio[::2]), linear(audio[1::2])
            for after, spoken in ((0.0, 0.6), (1.2, 1.4)):
                assert onset_s(left, after) == pytest.approx(onset_s(right, after), abs=0.04)
                assert onset_s(right, after) == pytest.approx(spoken, abs=0.04)
            assert report.duration_s == pytest.approx(ended - begun, abs=0.04)
            whole = read_whole(path)
            assert (report.bytes, report.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
            assert not report.truncated

    run(story)


def test_a_mono_file_holds_the_announcement_once_and_voices_only_from_their_start() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            path = str(place.folder / "call.wav")
            hello = wav(place.folder / "hello.wav", tone(1500, 0.4, 4000))
            recording = place.driver.record(path, a, b)
            playback = place.driver.play([a, b], [hello])
            talk = asyncio.gather(anna.talk(tone(400, 1.2)), bert.talk(tone(900, 1.2)))
            await playback.finished
            recording.voices()
            await talk
            place.driver.play([a, b], [hello], mix=True)
            await wait_for_seconds(0.3)
            recording.close()
            await recording.finished
            channels, audio = read_wav(path)
            assert channels == 1
            announced, spoken, warned = audio[400:3000], audio[4000:9000], audio[10200:11500]
            assert loudness(announced, 1500) == pytest.approx(4000, rel=0.1)
            assert loudness(announced, 400) < 200
            assert loudness(spoken, 400) == pytest.approx(8000, rel=0.1)
            assert loudness(spoken, 900) == pytest.approx(8000, rel=0.1)
            assert loudness(spoken, 1500) < 300
            assert loudness(warned, 1500) == pytest.approx(4000, rel=0.15)

    run(story)


def test_a_call_without_a_word_gives_a_file_of_silence_as_long_as_the_call() -> None:
    async def story() -> None:
        async with room() as place:
            (_, a), (_, b) = await place.leg(), await place.leg()
            path = str(place.folder / "call.wav")
            recording = place.driver.record(path, a, b)
            recording.voices()
            await wait_for_seconds(1.3)
            _, so_far = read_wav(path)  # playable while it is written
            assert len(so_far) >= 4000
            a.close()  # ends the recording too
            report = await recording.finished
            assert report.duration_s == pytest.approx(1.3, abs=0.04)
            _, audio = read_wav(path)
            assert set(audio) == {0xD5}

    run(story)


def test_a_file_that_cannot_be_created_is_a_truncated_recording() -> None:
    async def story() -> None:
        async with room() as place:
            (_, a), (_, b) = await place.leg(), await place.leg()
            (place.folder / "file").touch()
            report = await place.driver.record(str(place.folder / "file" / "call.wav"), a, b).finished
            assert report == RecordingReport("", 0.0, 0, "", truncated=True)

    run(story)


def test_a_file_that_was_taken_away_while_it_was_written_is_not_named() -> None:
    async def story() -> None:
        async with room() as place:
            (_, a), (_, b) = await place.leg(), await place.leg()
            path = place.folder / "call.wav"
            recording = place.driver.record(str(path), a, b)
            while not path.exists():
                await wait_for_seconds(0.002)
            await obeyed(place.driver, place.folder)
            path.unlink()
            recording.close()
            assert await recording.finished == RecordingReport("", 0.0, 0, "", truncated=True)

    run(story)


def round_robin_threads() -> int:
    """How many threads of this process come before other work."""
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    return sum(os.sched_getscheduler(thread) == os.SCHED_RR for thread in threads)


def test_rtp_comes_before_other_work_only_where_that_is_asked_for() -> None:
    core = _native.Core(4, 60.0, "epoll")
    assert round_robin_threads() == 0
    taken = core.take_precedence()  # refused without CAP_SYS_NICE
    assert round_robin_threads() == (1 if taken else 0)
    core.stop()
    assert not core.take_precedence()


class MeekCore:
    """A core that may not take precedence; counts how often it was asked."""

    asked = 0

    def __init__(self, *_: object) -> None:
        pass

    def take_precedence(self) -> bool:
        MeekCore.asked += 1
        return False


def test_a_refused_precedence_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_native, "Core", MeekCore)
    monkeypatch.setattr(MeekCore, "asked", 0)  # also where it is told again
    Engine(Settings())
    assert MeekCore.asked == 0
    with caplog.at_level(logging.WARNING):
        Engine(Settings(realtime=True))
    assert [(record.levelname, "CAP_SYS_NICE" in record.message) for record in caplog.records] == [("WARNING", True)]
