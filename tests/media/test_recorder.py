"""Recording files are created with their directories, resumed where they end, and hashed whole."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from media import _native, recorder
from media.recorder import (
    WAV_HEADER_BYTES,
    Remains,
    hash_recording,
    mend_recording,
    open_recording,
    recorded_so_far,
    wav_header,
)


def test_no_recording_replaces_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "20260101"
    for name in ("call.wav", "call-2.wav", "call-3.wav"):
        file = open_recording(str(folder / "call.wav"), stereo=False, resume=False)
        assert (file.written, file.path) == (0, str(folder / name))
        os.write(file.descriptor, name.encode())
        os.close(file.descriptor)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        name: name for name in ("call.wav", "call-2.wav", "call-3.wav")
    }


def test_a_name_that_is_taken_too_often_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_OF_A_NAME", 2)
    path = str(tmp_path / "call.wav")
    for _ in range(2):
        os.close(open_recording(path, stereo=False, resume=False).descriptor)
    with pytest.raises(FileExistsError):
        open_recording(path, stereo=False, resume=False)


def test_a_file_is_locked_while_it_is_written(tmp_path: Path) -> None:
    file = open_recording(str(tmp_path / "call.wav"), stereo=False, resume=False)
    with open(file.path, "rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(file.descriptor)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_mends_a_file_in_the_moment_it_is_made_leaves_it_locked_for_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = str(tmp_path / "call.wav"), os.open
    mender = threading.Event()

    def let_go(file: BinaryIO) -> None:
        mender.wait(20)
        file.close()

    def mended(name: str, *how: int) -> int:
        descriptor = opened(name, *how)
        other = open(name, "r+b")  # noqa: SIM115 - before the lock, as a switch that starts in this moment would
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        threading.Thread(target=let_go, args=(other,)).start()
        return descriptor

    def looks_again(_: float) -> None:
        mender.set()

    monkeypatch.setattr(os, "open", mended)
    monkeypatch.setattr(time, "sleep", looks_again)
    monkeypatch.setattr(recorder, "MENDING_S", 20.0)
    file = open_recording(path, stereo=False, resume=False)
    with open(path, "rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file.descriptor)


def test_a_file_that_another_still_writes_is_not_resumed_but_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MENDING_S", 0.0)
    writer = open_recording(str(tmp_path / "call.wav"), stereo=False, resume=False)
    os.write(writer.descriptor, b"x" * 158)
    for _ in range(2):
        file = open_recording(writer.path, stereo=False, resume=True)
        assert (file.written, file.path) == (0, str(tmp_path / "call-2.wav"))
        os.close(file.descriptor)
        os.unlink(file.path)
    os.close(writer.descriptor)
    file = open_recording(writer.path, stereo=False, resume=True)
    assert (file.written, file.path) == (100, writer.path)
    os.close(file.descriptor)


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    for resume in (False, True):
        file = open_recording(str(tmp_path / "call.wav"), stereo=False, resume=resume)
        assert file.path == str(tmp_path / "call.wav")
        os.close(file.descriptor)


def test_a_resumed_recording_goes_on_behind_whole_samples(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"x" * (58 + 101))
    for stereo, written in ((False, 101), (True, 100)):
        file = open_recording(str(path), stereo=stereo, resume=True)
        assert file.written == written
        os.close(file.descriptor)
    assert path.stat().st_size == 159


def test_the_header_is_as_long_as_the_core_writes_it(tmp_path: Path) -> None:
    core = _native.Core(1, 60.0, "epoll")
    file = open_recording(str(tmp_path / "empty.wav"), stereo=False, resume=False)
    core.file(core.record(0, 0, False, False, 0), file.descriptor, 0)  # of nobody: over at once
    core.stop()
    assert (tmp_path / "empty.wav").stat().st_size == WAV_HEADER_BYTES


def written(path: Path, *, stereo: bool = False, seconds: float = 0.02) -> bytes:
    """A recording by the core, of silence."""
    core = _native.Core(2, 60.0, "epoll")
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
    a, b = (
        core.open(rtp.detach(), rtcp.detach(), 1, 1, 1, 1)
        for rtp, rtcp in zip(sockets[::2], sockets[1::2], strict=True)
    )
    file = open_recording(str(path), stereo=stereo, resume=False)
    core.file(core.record(a, b, stereo, True, round(seconds * 1e9)), file.descriptor, 0)
    core.stop()
    return path.read_bytes()


@pytest.mark.parametrize("stereo", [False, True])
def test_headers_are_those_of_the_core_and_what_is_whole_is_left_alone(stereo: bool, tmp_path: Path) -> None:
    data = written(tmp_path / "call.wav", stereo=stereo)
    audio = len(data) - WAV_HEADER_BYTES
    assert audio > 0
    assert data[:WAV_HEADER_BYTES] == wav_header(audio, 1 + stereo)
    assert mend_recording(str(tmp_path / "call.wav")) == Remains(audio / (8000 * (1 + stereo)), len(data), False)
    assert (tmp_path / "call.wav").read_bytes() == data


@pytest.mark.parametrize("told", [0, 100, 99999])
def test_a_header_tells_what_the_file_holds_when_it_is_mended(told: int, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(wav_header(told, 2) + b"\x55" * 161)  # the last write came in part
    assert mend_recording(str(path)) == Remains(0.01, 58 + 160, True)
    assert path.read_bytes() == wav_header(160, 2) + b"\x55" * 160


def test_what_is_still_written_is_as_long_as_it_is_by_now_whatever_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(wav_header(0, 2) + b"\x55" * 161)
    file = open_recording(str(path), stereo=True, resume=True)
    assert recorded_so_far(file.path) == Remains(0.01, 58 + 160, True)
    os.close(file.descriptor)
    assert path.read_bytes() == wav_header(0, 2) + b"\x55" * 161


@pytest.mark.parametrize("data", [b"", b"RIFF"])
def test_a_file_whose_header_was_never_written_gets_one(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    assert mend_recording(str(path)).mended
    assert path.read_bytes() == wav_header(0, 1)


def test_what_is_no_recording_of_ours_and_what_is_still_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "prompt.wav"
    for other in (b"RIFF" + b"x" * 54 + b"audio", bytes(58 + 160)):
        path.write_bytes(other)
        with pytest.raises(OSError, match="no recording of ours"):
            mend_recording(str(path))
        assert path.read_bytes() == other
    file = open_recording(str(tmp_path / "call.wav"), stereo=False, resume=False)
    with pytest.raises(BlockingIOError):
        mend_recording(file.path)
    os.close(file.descriptor)
    assert os.stat(file.path).st_size == 0


def test_the_hash_is_of_the_whole_file_and_empty_without_one(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"abc")
    assert hash_recording(str(path)) == hashlib.sha256(b"abc").hexdigest()
    assert hash_recording(str(tmp_path / "none.wav")) == ""
