"""Recordings are deleted when their time is over, as long as their app's are kept, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from softswitch.recordings import recording_path
from softswitch.retention import DAY_S, Retention, sweep

NOW = 1_700_000_000.0
SHOPS = Retention(7, {}, ["shop"])


def recording(folder: Path, name: str, age_days: float, app: str = "shop") -> Path:
    written = NOW - age_days * DAY_S
    path = Path(recording_path(str(folder), app, "x", written))
    path = path.with_name(path.name.replace("x.wav", name) if name.endswith(".wav") else name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF")
    os.utime(path, (written, written))
    return path


def left(folder: Path) -> set[str]:
    return {path.name.partition("_")[2] for path in folder.rglob("*") if path.is_file()}


def test_old_recordings_go_with_a_line_in_the_audit_log(tmp_path: Path) -> None:
    old, young = recording(tmp_path, "old.wav", 7.1), recording(tmp_path, "young.wav", 6.9)
    other = recording(tmp_path, "notes.txt", 100)
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path), SHOPS, NOW) == 1
    assert not old.exists() and young.exists() and other.exists()
    assert lines == [{"event": "recording_deleted", "path": str(old), "keep_days": 7, "log_level": "info"}]


def test_a_sweep_that_is_left_begins_no_file_any_more(tmp_path: Path) -> None:
    for number in range(9):
        recording(tmp_path, f"{number}.wav", 8)
    asked = iter([False, False, True, True])
    assert sweep(str(tmp_path), SHOPS, NOW, lambda: next(asked)) == 2
    assert len(left(tmp_path)) == 7


def test_zero_days_keeps_everything(tmp_path: Path) -> None:
    old = recording(tmp_path, "old.wav", 1000)
    assert sweep(str(tmp_path), Retention(0, {}, ["shop"]), NOW) == 0
    assert old.exists()


def test_each_apps_recordings_are_kept_as_long_as_is_said_of_it(tmp_path: Path) -> None:
    retention = Retention(7, {"bank": 183, "taxi": 1, "court/1": 0}, ["shop", "bank", "taxi", "court/1"])
    for app in retention.apps:
        for days in (0.5, 2, 8, 200):
            recording(tmp_path, f"{app.replace('/', '-')} {days}.wav", days, app)
    assert sweep(str(tmp_path), retention, NOW) == 6
    assert left(tmp_path) == {
        *("taxi 0.5.wav", "shop 0.5.wav", "shop 2.wav", "bank 0.5.wav", "bank 2.wav", "bank 8.wav"),
        *(f"court-1 {days}.wav" for days in (0.5, 2, 8, 200)),
    }


def test_a_file_from_before_apps_had_folders_is_kept_as_what_is_kept_the_longest(tmp_path: Path) -> None:
    retention = Retention(7, {"bank": 183, "taxi": 1}, ["shop", "bank", "taxi"])
    recording(tmp_path, "kept.wav", 182, "")
    recording(tmp_path, "over.wav", 184, "")
    assert sweep(str(tmp_path), Retention(7, {"court": 0}, ["court"]), NOW) == 0
    assert sweep(str(tmp_path), retention, NOW) == 1
    assert left(tmp_path) == {"kept.wav"}


@pytest.mark.parametrize("app", ["archive", "another switch's", "20231101"])
def test_what_is_of_no_app_that_is_known_is_left_alone_with_a_line(tmp_path: Path, app: str) -> None:
    """Recordings that somebody has put aside are evidence, and those of another switch are for that to keep."""
    aside = recording(tmp_path, "over.wav", 9, app)
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path), SHOPS, NOW) == 0
    folder = str(aside.parent.parent)
    assert lines == [{"event": "recordings_left_alone", "path": folder, "log_level": "info"}]
    os.utime(aside, (NOW, NOW))
    aside.parent.rename(tmp_path / aside.parent.parent.name / "20991231")
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path), SHOPS, NOW) == 0
    assert lines == []  # nothing of it would be due


def test_what_is_not_named_as_a_recording_of_its_day_is_left_alone(tmp_path: Path) -> None:
    old = recording(tmp_path, "x.wav", 9)
    names = ["ring.wav", f"19990101{old.name[8:]}", old.name.replace("_", "-"), f"{old.name}.part"]
    for name in names:
        old.with_name(name).write_bytes(b"RIFF")
        os.utime(old.with_name(name), (0, 0))
    moved = old.rename(old.with_name(old.name.replace("x.wav", "x-2.wav")))  # its name was taken
    assert sweep(str(tmp_path), SHOPS, NOW) == 1
    assert not moved.exists() and {path.name for path in old.parent.iterdir()} == set(names)


def test_where_the_store_names_no_apps_only_those_with_days_of_their_own_lose_recordings(tmp_path: Path) -> None:
    for app in ("shop", "taxi", "bank"):
        recording(tmp_path, f"{app}.wav", 8, app)
    assert sweep(str(tmp_path), Retention(7, {"bank": 183, "taxi": 1}, []), NOW) == 1
    assert left(tmp_path) == {"shop.wav", "bank.wav"}


def test_a_call_that_lasts_for_days_keeps_its_file(tmp_path: Path) -> None:
    begun = recording(tmp_path, "long.wav", 9)
    os.utime(begun, (NOW, NOW))
    assert sweep(str(tmp_path), SHOPS, NOW) == 0


def test_folders_in_which_nothing_can_be_due_are_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be millions of files in them."""
    for days in range(1, 12):
        recording(tmp_path, f"{days}.wav", days)
    looked_into = []
    scan = os.scandir

    def scandir(path: str) -> object:
        looked_into.append(Path(path).name)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert sweep(str(tmp_path), SHOPS, NOW) == 4
    assert len(looked_into) == 2 + 5  # the directory, the app, and the days 7 to 11


def test_folders_that_are_empty_go_too_and_others_stay(tmp_path: Path) -> None:
    old, kept = recording(tmp_path, "old.wav", 9), recording(tmp_path, "notes.txt", 11)
    foreign = tmp_path / "shop" / "lost+found"
    foreign.mkdir()
    (tmp_path / "20231399").mkdir()  # no day
    (tmp_path / "20231101").symlink_to("20231101")
    assert sweep(str(tmp_path), SHOPS, NOW) == 1
    assert not old.parent.exists()
    assert kept.exists() and foreign.exists() and (tmp_path / "20231399").exists()


def test_a_directory_that_is_not_there_yet_has_nothing_to_delete(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path / "none"), SHOPS, NOW) == 0
    assert lines == []


def test_what_cannot_be_deleted_or_read_is_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = recording(tmp_path, "a.wav", 9), recording(tmp_path, "b.wav", 9)
    loop = recording(tmp_path, "c.wav", 9)
    loop.unlink()
    loop.symlink_to(loop.name)
    shut = recording(tmp_path, "d.wav", 11).parent
    unlink, scan = os.unlink, os.scandir

    def refuse(path: str) -> None:
        if path == str(stuck):
            raise PermissionError("read-only")
        unlink(path)

    def scandir(path: str) -> object:
        if path == str(shut):
            raise PermissionError("no business of yours")
        return scan(path)

    monkeypatch.setattr(os, "unlink", refuse)
    monkeypatch.setattr(os, "scandir", scandir)
    with structlog.testing.capture_logs() as lines:
        assert sweep(str(tmp_path), SHOPS, NOW) == 1
    assert not other.exists()
    assert {(line["event"], line["path"]) for line in lines} == {
        ("recording_not_deleted", str(stuck)),
        ("recording_not_deleted", str(loop)),
        ("recordings_not_swept", str(shut)),
        ("recording_deleted", str(other)),
    }
