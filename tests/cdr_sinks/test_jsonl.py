"""CDRs as JSON lines: one object a line, whole, through log rotation and full disks."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from softswitch.cdr_sinks.jsonl import JsonLines, record
from softswitch.errors import StoreError
from softswitch.interfaces import Cdr, LegReport, Mode
from tests.cdr_sinks.test_fee_info import ANSWERED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cdr" / "calls.jsonl"


@pytest.fixture
def sink(path: Path) -> Iterator[JsonLines]:
    sink = JsonLines(str(path))
    yield sink
    sink.close()


def lines(path: Path) -> list[str]:
    return [json.loads(line)["call_id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_has_the_reference_and_our_own_members(sink: JsonLines, path: Path) -> None:
    cdr = replace(ANSWERED, words="正常", a=LegReport(trunk="t1", mos=4.3), answered_in_at=1652419518.9004)
    sink.write(cdr)
    line = json.loads(path.read_text(encoding="utf-8"))
    assert line["sessionId"] == line["call_id"] == "c-1"
    assert line["fwdAnswerTime"] == "2022-05-13 05:25:18"
    assert line["answered_at"] == line["answered_in_at"] == "2022-05-13T05:25:18.900Z"
    assert line["announcement_from"] is None
    assert (line["mode"], line["words"], line["a"]["mos"], line["cause"]) == ("AXB", "正常", 4.3, 16)
    assert set(line["a"]) == set(line["b"]) == {field.name for field in fields(LegReport)}


def test_every_member_of_a_cdr_changes_the_line() -> None:
    base = replace(ANSWERED, recording="")
    others: dict[str, Any] = {"a": LegReport("leg"), "b": LegReport("leg"), "mode": Mode.AX, "record": False}
    for field in fields(Cdr):
        value = getattr(base, field.name)
        other = others.get(field.name, f"{value}2" if isinstance(value, str) else 7.5)
        assert record(replace(base, **{field.name: other})) != record(base), field.name


def test_a_line_is_one_write_in_append_mode(sink: JsonLines, path: Path) -> None:
    other = JsonLines(str(path))
    sink.write(replace(ANSWERED, call_id="1"))
    other.write(replace(ANSWERED, call_id="2"))
    sink.write(replace(ANSWERED, call_id="3"))
    other.close()
    assert lines(path) == ["1", "2", "3"]


@pytest.mark.parametrize("rotation", ["moved", "moved and made anew", "removed"])
def test_after_log_rotation_the_next_line_goes_to_a_new_file(sink: JsonLines, path: Path, rotation: str) -> None:
    sink.write(replace(ANSWERED, call_id="1"))
    path.rename(path.with_suffix(".1"))
    if rotation == "moved and made anew":
        path.touch()
    if rotation == "removed":
        path.with_suffix(".1").unlink()
    sink.write(replace(ANSWERED, call_id="2"))
    assert lines(path) == ["2"]
    if rotation != "removed":
        assert lines(path.with_suffix(".1")) == ["1"]


def test_a_line_cut_short_is_an_error_and_spoils_no_other(
    sink: JsonLines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:20]))
    with pytest.raises(StoreError, match="disk is full, CDR c-1"):
        sink.write(ANSWERED)
    monkeypatch.undo()
    sink.write(replace(ANSWERED, call_id="2"))
    sink.write(replace(ANSWERED, call_id="3"))
    whole = path.read_text(encoding="utf-8").splitlines()[1:]
    assert [json.loads(line)["call_id"] for line in whole] == ["2", "3"]


def test_a_line_that_an_earlier_run_left_cut_short_spoils_no_other(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"call_id":"0"}\n{"call_', encoding="utf-8")
    for call_id in ("1", "2"):
        sink = JsonLines(str(path))
        sink.write(replace(ANSWERED, call_id=call_id))
        sink.close()
    whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    assert [json.loads(line)["call_id"] for line in whole] == ["0", "1", "2"]


def test_a_file_that_may_be_written_but_not_read_is_taken_as_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    path.parent.mkdir()
    path.write_text("{}\n", encoding="utf-8")
    monkeypatch.setattr(Path, "open", refuse)
    sink = JsonLines(str(path))
    sink.write(ANSWERED)
    sink.close()
    monkeypatch.undo()
    assert path.read_text(encoding="utf-8").startswith("{}\n{")


def test_a_failing_write_is_a_store_error(sink: JsonLines, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(StoreError, match=r"calls\.jsonl: No space left on device"):
        sink.write(ANSWERED)


def test_a_file_that_can_not_be_opened_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Is a directory"):
        JsonLines(str(tmp_path))


def test_what_was_written_is_synced_to_the_disk_also_in_files_that_were_moved_away(
    sink: JsonLines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def fsync(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        raise OSError(errno.EINVAL, "a pipe")  # which nobody can help

    monkeypatch.setattr(os, "fsync", fsync)
    inodes = []
    for name in ("1", "2"):
        sink.write(ANSWERED)
        inodes.append(path.stat().st_ino)
        path.rename(path.with_suffix(f".{name}"))
    sink.to_be_synced()()
    assert synced == inodes
    sink.to_be_synced()()
    assert synced[2:] == inodes[1:]
    sink.write(ANSWERED)
    sink.close()
    sink.to_be_synced()()
    assert len(synced) == 3
    assert sink.place().size == path.stat().st_size


def test_a_process_without_a_file_descriptor_left_is_a_store_error(
    sink: JsonLines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse)
        with pytest.raises(StoreError, match=r"calls\.jsonl: Too many open files"):
            sink.place()


def test_a_closed_sink_opens_again_for_a_late_cdr(sink: JsonLines, path: Path) -> None:
    sink.close()
    sink.close()
    sink.write(ANSWERED)
    assert lines(path) == ["c-1"]


def open_below(folder: Path) -> int:
    """Descriptors of this process on files there, whatever else it opens and closes meanwhile."""
    count = 0
    for one in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{one}").startswith(str(folder))
    return count


def test_what_is_never_synced_for_want_of_a_thread_costs_no_descriptor_and_is_synced_at_the_next_try(
    sink: JsonLines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    sink.write(ANSWERED)
    inodes = [path.stat().st_ino]
    path.rename(path.with_suffix(".1"))
    sink.write(ANSWERED)
    inodes.append(path.stat().st_ino)
    assert open_below(path.parent) == 2
    for _ in range(10):
        sink.to_be_synced()
    assert open_below(path.parent) == 2
    sink.to_be_synced()()
    assert (synced, open_below(path.parent)) == (inodes, 1)


def within_reason(work: Callable[[], None]) -> None:
    """Fails where `work` waits for somebody who never comes."""
    done: Future[None] = Future()

    def tell() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=tell, daemon=True).start()
    done.result(20)


def test_a_pipe_that_nobody_reads_holds_up_no_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def start() -> None:
        with pytest.raises(StoreError, match="pipe: a pipe that nobody reads"):
            JsonLines(str(tmp_path / "pipe"))

    within_reason(start)


def test_a_pipe_that_nobody_reads_in_the_place_of_the_file_holds_up_no_call(sink: JsonLines, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)

    def write() -> None:
        with pytest.raises(StoreError, match="a pipe that nobody reads"):
            sink.write(ANSWERED)

    within_reason(write)
    path.unlink()
    sink.write(ANSWERED)
    assert lines(path) == ["c-1"]


def write_many(sink: JsonLines) -> None:
    for _ in range(1000):
        sink.write(ANSWERED)


def test_a_pipe_that_is_read_too_slowly_holds_up_no_call(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def write() -> None:
        sink = JsonLines(str(path))
        with pytest.raises(StoreError, match="temporarily unavailable"):
            write_many(sink)
        assert os.read(reader, 1 << 20).endswith(b"}\n")  # whole lines
        sink.write(ANSWERED)
        sink.close()

    within_reason(write)
    os.close(reader)
