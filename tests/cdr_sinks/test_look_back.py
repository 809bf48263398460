"""CDR files read again: each line tells its call and its whole record; what is no line of ours tells nothing."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from softswitch.cdr_sinks.jsonl import JsonLines, record
from softswitch.cdr_sinks.look_back import cdr_of, filed_since
from softswitch.errors import StoreError
from softswitch.interfaces import Cdr, Filed, FilePlace, LegReport, Mode
from tests.cdr_sinks.test_fee_info import ANSWERED


@pytest.mark.parametrize(
    "cdr",
    [
        ANSWERED,
        Cdr("one", call_in_at=1652419497.001, record=True, failure=8014, words="无绑定"),
        replace(ANSWERED, mode=Mode.AXE, extension="7", ended_at=1652419541.999, a=LegReport("t", mos=4.3)),
    ],
)
def test_a_line_tells_the_whole_record(cdr: Cdr) -> None:
    line = msgspec.json.encode(record(cdr))
    assert cdr_of(line) == cdr


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"call_id":"x","ended_at":"soon"}', b'{"call_id":7}'])
def test_what_is_no_record_is_told_as_such(line: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        cdr_of(line)


def test_lines_behind_a_place_are_found_under_the_name_that_the_file_has_by_now(tmp_path: Path) -> None:
    path = tmp_path / "cdr.jsonl"
    sink = JsonLines(str(path))
    sink.write(replace(ANSWERED, call_id="before"))
    place = sink.place()
    assert place.path == str(path) and place.size == path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"call_id":"cut\nnoise \xff\n{"call_id":"\xff"}\n{"call_id":"odd","a":7}\n')
    sink.write(replace(ANSWERED, call_id="behind"))
    path.rename(tmp_path / "cdr.jsonl.1")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert filed_since(place, ()) == Filed({"behind", "odd"}, {})
    sink.write(replace(ANSWERED, call_id="new"))
    wanted = {name: replace(ANSWERED, call_id=name) for name in ("behind", "new")}
    assert filed_since(place, {"odd", "new", "behind"}) == Filed({"behind", "odd", "new"}, wanted)
    sink.close()


def test_lines_are_found_in_every_file_where_rotation_came_twice(tmp_path: Path) -> None:
    """A store that refuses a record for days has nothing marked; what stands in the middle must not come again."""
    path = tmp_path / "cdr.jsonl"
    sink = JsonLines(str(path))
    place = sink.place()
    for call, moved in (("first", "cdr.jsonl.2"), ("second", "cdr.jsonl.1"), ("third", "cdr.jsonl")):
        sink.write(replace(ANSWERED, call_id=call))
        path.rename(tmp_path / moved)
    earlier = tmp_path / "cdr.jsonl.3"
    earlier.write_text('{"call_id":"earlier"}\n')
    os.utime(earlier, (1, 1))
    assert filed_since(place, ()) == Filed({"first", "second", "third"}, {})
    sink.close()


def test_a_file_is_known_when_its_file_system_has_another_device_number(tmp_path: Path) -> None:
    """As btrfs, NFS or the second of two NVMe disks may after a reboot."""
    sink = JsonLines(str(tmp_path / "cdr.jsonl"))
    sink.write(ANSWERED)
    place = sink.place()
    sink.write(replace(ANSWERED, call_id="behind"))
    other = replace(place, file=f"9999:{place.file.rpartition(':')[2]}")
    assert filed_since(other, ()) == Filed({"behind"}, {})
    sink.close()


def test_a_file_that_a_link_names_is_found_where_rotation_has_moved_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path, data = tmp_path / "cdr.jsonl", tmp_path / "data" / "cdr.jsonl"
    path.symlink_to(data)
    sink = JsonLines(str(path))
    place = sink.place()
    sink.write(replace(ANSWERED, call_id="behind"))
    data.rename(f"{data}.1")
    sink.write(replace(ANSWERED, call_id="new"))
    assert filed_since(place, ()) == Filed({"behind", "new"}, {})
    sink.close()


def test_nothing_is_read_again_from_a_pipe(tmp_path: Path) -> None:
    """Whose lines somebody else waits for."""
    path = tmp_path / "cdr.pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonLines(str(path))
    sink.write(ANSWERED)
    place = sink.place()
    assert place == FilePlace(str(path)) and sink.filed_since(place, ()) is None
    sink.to_be_synced()()
    assert os.read(reader, 9) == b'{"directi'
    sink.close()
    os.close(reader)
    other = tmp_path / "cdr.jsonl"
    sink = JsonLines(str(other))
    sink.write(ANSWERED)
    place = sink.place()
    other.rename(tmp_path / "cdr.jsonl.1")
    path.rename(other)  # nobody reads it: to open it would take for ever
    assert filed_since(place, ()) == Filed(set(), {})
    sink.close()


def test_a_file_that_is_gone_or_begun_anew_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "cdr.jsonl"
    sink = JsonLines(str(path))
    sink.write(ANSWERED)
    place = sink.place()
    for anew in ("", "another\n" * 1000):  # as `copytruncate` does; who has its inode now
        path.write_text(anew)
        assert sink.filed_since(place, ()) is None
    assert sink.filed_since(FilePlace(str(path), "0:0", 0), ()) is None
    with pytest.raises(StoreError, match=r"gone: No such file or directory"):
        JsonLines(str(tmp_path / "gone")).filed_since(FilePlace(str(tmp_path / "no" / "gone"), "0:0", 0), ())
    sink.close()


def test_a_file_that_may_be_written_but_not_read_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor will it ever: whoever waited for that would wait for ever."""

    def refuse(*_: object) -> None:
        raise PermissionError

    sink = JsonLines(str(tmp_path / "cdr.jsonl"))
    place = sink.place()
    sink.write(ANSWERED)
    monkeypatch.setattr(Path, "open", refuse)
    assert filed_since(place, ()) is None
    sink.close()
