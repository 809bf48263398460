"""Recordings are deleted when their time is over, and only recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from softswitch.retention import DAY_S, sweep

NOW = 1_700_000_000.0


def recording(folder: Path, name: str, age_days: float) -> Path:
    path = folder / "20231101" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"RIFF")
    os.utime(path, (NOW - age_days * DAY_S,) * 2)
    return path


def test_old_recordings_go_with_a_line_in_the_audit_log(tmp_path: Path) -> None:
    old, young = recording(tmp_path, "old.wav", 7.1), recording(tmp_path, "young.wav", 6.9)
    other = recording(tmp_path, "notes.txt", 100)
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path), 7, NOW) == [str(old)]
    assert not old.exists() and young.exists() and other.exists()
    assert lines == [{"event": "recording_deleted", "path": str(old), "keep_days": 7, "log_level": "info"}]


def test_zero_days_keeps_everything(tmp_path: Path) -> None:
    old = recording(tmp_path, "old.wav", 1000)
    assert sweep(str(tmp_path), 0, NOW) == []
    assert old.exists()


def test_what_cannot_be_deleted_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other = recording(tmp_path, "a.wav", 9), recording(tmp_path, "b.wav", 9)
    real = Path.unlink

    def unlink(path: Path) -> None:
        if path == stuck:
            raise PermissionError("read-only")
        real(path)

    monkeypatch.setattr(Path, "unlink", unlink)
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path), 7, NOW) == [str(other)]
    assert lines[0]["event"] == "recording_not_deleted"
