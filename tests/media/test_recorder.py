"""Recording files are created with their directories, resumed where they end, and hashed whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from media import _native
from media.recorder import WAV_HEADER_BYTES, hash_recording, open_recording


def test_a_new_recording_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "20260101" / "call.wav"
    for _ in range(2):
        file = open_recording(str(path), stereo=False, resume=False)
        assert file.written == 0
        os.write(file.descriptor, b"x" * 100)
        os.close(file.descriptor)
    assert path.stat().st_size == 100


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
    core.record(file.descriptor, 0, 0, False, False, 0, 0)  # of nobody: over at once
    core.stop()
    assert (tmp_path / "empty.wav").stat().st_size == WAV_HEADER_BYTES


def test_the_hash_is_of_the_whole_file_and_empty_without_one(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"abc")
    assert hash_recording(str(path)) == hashlib.sha256(b"abc").hexdigest()
    assert hash_recording(str(tmp_path / "none.wav")) == ""
