"""Recordings on a disk that is full or stands still: a whole media server, its driver, and talk that goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from media.recorder import hash_recording
from tests.media.phone import loud_s, tone, wait_for_seconds
from tests.media.support import anew, obeyed, run
from tests.media.test_engine import read_wav, read_whole
from tests.media_drivers.test_server import leg, supervised

pytestmark = pytest.mark.real_time


class Disk:
    """The disk of the media servers that a test starts."""

    def __init__(self, stopped: Path) -> None:
        self._stopped = stopped

    def stop(self) -> None:
        """It stands still from now on."""
        self._stopped.touch()

    def go_on(self) -> None:
        """It moves again."""
        self._stopped.unlink()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    library, stopped = tmp_path / "slow_disk.so", tmp_path / "stopped"
    source = Path(__file__).parent / "slow_disk.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("DISK_STOPS", str(stopped))
    return Disk(stopped)


def test_a_full_disk_truncates_the_recording_and_the_talk_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with supervised(tmp_path, "31260-31279") as (process, driver):
            (anna, a), (bert, b) = await leg(driver, tmp_path), await leg(driver, tmp_path)
            assert process.pid
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
            path = str(anew(tmp_path) / "call.wav")
            driver.connect(a, b)
            recording = driver.record(path, a, b)
            recording.voices()
            await obeyed(driver, tmp_path)
            await anna.talk(tone(400, 2.2))
            await bert.wait_for(lambda: len(bert.heard) == 110)
            recording.close()
            report = await recording.finished
            assert report.truncated
            assert report.sha256 == hash_recording(path)
            _, audio = read_wav(path)  # whole as far as there was room
            assert len(audio) == round(report.duration_s * 8000) == 4000
            while not driver.totals.recordings_truncated:
                await wait_for_seconds(0.05)
            anna.close()
            bert.close()

    run(story)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_a_disk_that_stands_still_delays_no_talk_and_loses_no_audio(disk: Disk, tmp_path: Path) -> None:
    async def story() -> None:
        disk.stop()
        async with supervised(tmp_path, "31280-31299") as (_, driver):
            (anna, a), (bert, b) = await leg(driver, tmp_path), await leg(driver, tmp_path)
            path = str(anew(tmp_path) / "call.wav")
            driver.connect(a, b)
            recording = driver.record(path, a, b)
            recording.voices()
            await obeyed(driver, tmp_path)
            await anna.talk(tone(400, 1.6))
            await bert.wait_for(lambda: len(bert.heard) == 80)  # all of it, while not a byte could be written
            assert read_whole(path) == b""
            disk.go_on()
            recording.close()
            report = await recording.finished
            assert not report.truncated
            _, audio = read_wav(path)
            assert loud_s(audio, 400) >= 1.2
            anna.close()
            bert.close()

    run(story)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_a_disk_that_stands_still_holds_up_the_end_no_longer_than_is_said(disk: Disk, tmp_path: Path) -> None:
    async def story() -> None:
        disk.stop()
        async with supervised(tmp_path, "31280-31299", "--flush-s", "0.2") as (process, driver):
            (anna, a), (bert, b) = await leg(driver, tmp_path), await leg(driver, tmp_path)
            recording = driver.record(str(anew(tmp_path) / "call.wav"), a, b)
            await obeyed(driver, tmp_path)
            recording.close()
            assert process.pid
            os.kill(process.pid, signal.SIGTERM)
            report = await recording.finished  # out of the file, when the server is gone
            assert report.truncated
            assert report.duration_s == 0
            anna.close()
            bert.close()

    run(story)
