"""One switch a store."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from softswitch.errors import StoreError
from softswitch.stores.alone import StoreLock


def test_the_second_to_come_is_told_who_holds_the_store_until_that_one_lets_go(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "s.db")
    first = StoreLock(path)
    with pytest.raises(StoreError, match=rf"s\.db: another switch works with it \(pid {os.getpid()}\)$"):
        StoreLock(path)
    first.close()
    first.close()
    StoreLock(path).close()


def test_a_lock_file_that_a_crash_left_behind_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "s.db.lock").write_text("123456789")
    lock = StoreLock(str(tmp_path / "s.db"))
    assert (tmp_path / "s.db.lock").read_text() == str(os.getpid())
    lock.close()


def test_a_disk_that_is_too_full_for_the_holders_number_keeps_nobody_from_holding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = str(tmp_path / "s.db")
    monkeypatch.setattr(os, "pwrite", refuse)
    lock = StoreLock(path)
    with pytest.raises(StoreError, match=r"another switch works with it \(pid unknown\)$"):
        StoreLock(path)
    lock.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/s\.db\.lock: "):
        StoreLock(str(tmp_path / "file" / "s.db"))


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"s\.db\.lock: No locks available"):
        StoreLock(str(tmp_path / "s.db"))
