"""Recordings that a crash left open tell what they hold, and the CDRs of their calls tell of them."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

import softswitch.repair
from media.recorder import hash_recording, open_recording, wav_header
from softswitch.interfaces import RecordingReport
from softswitch.repair import mend_recordings, recording_of

NOW = datetime(2026, 3, 2, 0, 0, 30, tzinfo=UTC).timestamp()
TODAY, YESTERDAY, BEFORE = "20260302", "20260301", "20260228"


def left_open(folder: Path, day: str, call_id: str, *, app: str = "shop", told: int = 0, audio: int = 8000) -> Path:
    path = folder / app / day / f"{day}000000_{call_id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_header(told, 1) + b"\x55" * audio)
    return path


def test_headers_of_today_and_yesterday_are_mended_with_a_line_each(tmp_path: Path) -> None:
    places = [(TODAY, "shop"), (TODAY, ""), (YESTERDAY, "bank"), (BEFORE, "shop")]  # "": before apps had folders
    paths = [left_open(tmp_path, day, "one", app=app) for day, app in places]
    left_open(tmp_path, TODAY, "whole", told=8000)
    with structlog.testing.capture_logs() as lines:
        assert mend_recordings(str(tmp_path), NOW) == 3
    assert [path.read_bytes()[:58] == wav_header(8000, 1) for path in paths] == [True, True, True, False]
    assert lines == [
        {"event": "recording_mended", "path": str(path), "seconds": 1.0, "log_level": "warning"} for path in paths[:3]
    ]
    assert mend_recordings(str(tmp_path), NOW) == 0


def test_mending_that_is_left_begins_no_file_any_more(tmp_path: Path) -> None:
    for number in range(9):
        left_open(tmp_path, TODAY, str(number))
    asked = iter([False, False, True])
    assert mend_recordings(str(tmp_path), NOW, lambda: next(asked)) == 2
    assert mend_recordings(str(tmp_path), NOW) == 7


def test_what_is_no_recording_is_left_alone_and_told_and_what_is_written_is_left_alone(tmp_path: Path) -> None:
    file = open_recording(str(tmp_path / "shop" / TODAY / "a.wav"), stereo=False, resume=False)
    other = tmp_path / "shop" / TODAY / "b.wav"
    other.write_bytes(b"something else")
    with structlog.testing.capture_logs() as lines:
        assert mend_recordings(str(tmp_path), NOW) == 0
    assert [(line["event"], line["path"]) for line in lines] == [("recording_not_mended", str(other))]
    os.close(file.descriptor)


@pytest.mark.parametrize(("lies_in", "app_key"), [("shop", "shop"), ("", "shop"), ("shop", "")])
def test_the_recording_of_a_crashed_call_is_found_by_its_app_and_id_mended_and_hashed(
    tmp_path: Path, lies_in: str, app_key: str
) -> None:
    path = left_open(tmp_path, TODAY, "one", app=lies_in)  # it came before midnight, and was answered after
    report = recording_of(str(tmp_path), app_key, "one", NOW - 60)
    assert report == RecordingReport(str(path), 1.0, 8058, hash_recording(str(path)), truncated=True)
    assert path.read_bytes() == wav_header(8000, 1) + b"\x55" * 8000
    assert recording_of(str(tmp_path), app_key, "two", NOW - 60) is None
    assert recording_of(str(tmp_path / "none"), app_key, "one", NOW - 60) is None


def test_a_recording_that_went_on_under_another_name_is_found_by_that(tmp_path: Path) -> None:
    """Its first name was taken by what another media server still writes."""
    first = left_open(tmp_path, TODAY, "one")
    left_open(tmp_path, TODAY, "one-2", audio=16000)
    last = left_open(tmp_path, TODAY, "one-10", audio=24000)
    left_open(tmp_path, TODAY, "other-11")
    found = recording_of(str(tmp_path), "shop", "one", NOW - 60)
    assert found is not None and (found.path, found.duration_s) == (str(last), 3.0)
    for path in (first, last):
        path.unlink()
    found = recording_of(str(tmp_path), "shop", "one", NOW - 60)
    assert found is not None and found.duration_s == 2.0


def test_a_recording_that_somebody_still_writes_is_as_long_as_it_is_by_now_and_has_no_hash(tmp_path: Path) -> None:
    path = left_open(tmp_path, YESTERDAY, "one")
    before = path.read_bytes()
    file = open_recording(str(path), stereo=False, resume=True)
    with structlog.testing.capture_logs():
        assert recording_of(str(tmp_path), "shop", "one", NOW - 60) == RecordingReport(
            str(path), 1.0, 8058, "", truncated=True
        )
    assert path.read_bytes() == before
    os.close(file.descriptor)


def test_a_recording_that_the_disk_does_not_give_back_is_named_and_keeps_no_cdr_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = left_open(tmp_path, TODAY, "one")

    def broken(_: str) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(softswitch.repair, "hash_recording", broken)
    with structlog.testing.capture_logs() as lines:
        assert recording_of(str(tmp_path), "shop", "one", NOW - 60) == RecordingReport(
            str(path), 0.0, 0, "", truncated=True
        )
    assert [line["event"] for line in lines] == ["recording_not_closed"]
