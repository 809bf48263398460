"""What the CDR file refused, or did not let itself be asked, is filed when it can be, and nothing twice."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from softswitch import filing
from tests.support.filing import Machine, cdr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def _several_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "AT_ONCE", 2)


def broken(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_that_can_not_be_read_is_told_and_looked_through_when_it_can(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine.switch() as first:
            await first.close_in_the_store_alone("one")
        with capture_logs() as logs, monkeypatch.context() as patched:
            patched.setattr("softswitch.cdr_sinks.jsonl.filed_since", broken)
            async with machine.switch() as second:
                await second.close("two")
                await second.filing.mark()
                patched.undo()
                await second.filing.mark()
                assert machine.filed() == ["two", "one"]
        told = [(line["event"], line.get("error")) for line in logs]
        behind = ("cdr_file_behind", f"{machine.path}: Input/output error")
        assert told == [behind, behind, ("cdrs_filed_late", None)]

    asyncio.run(story())


def test_a_call_left_open_is_not_that_of_a_crash_before_the_file_could_be_read(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have its line already, and would get another that contradicts it."""

    async def story() -> None:
        async with machine.switch() as first:
            for call in ("filed", "cut"):
                await first.store.open_attempt(cdr(call))
            assert first.sink is not None
            first.sink.write(cdr("filed"))
        with monkeypatch.context() as patched:
            patched.setattr("softswitch.cdr_sinks.jsonl.filed_since", broken)
            async with machine.switch() as second:
                assert second.left_open == []
                await second.filing.mark()
                assert second.found_later == []
                patched.undo()
                await second.filing.mark()
                assert [left.call_id for left in second.found_later] == ["cut"]
                await second.writer._store_kept()
                await second.filing.mark()
                await second.filing.mark()
                assert [left.call_id for left in second.found_later] == ["cut"]
                assert second.store.finished_since(0, 9, without=()) == [cdr("filed")]
                marked = second.store.filed()
                assert marked is not None and marked[0] == 1
        assert machine.filed() == ["filed"]

    asyncio.run(story())


def test_lines_that_this_run_could_not_write_are_filed_though_the_file_before_them_is_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory was away for a while: nobody needs to guess whether they have a line."""

    async def story() -> None:
        machine.path = machine.path.parent / "cdrs" / machine.path.name
        away = machine.path.parent.parent / "away"
        async with machine.switch() as switch:
            await switch.close("one")
            await switch.filing.mark()
            await switch.close("two")
            machine.path.parent.rename(away)
            machine.path.parent.touch()
            await switch.close("three", "four", "five")
            await switch.filing.mark()
            machine.path.parent.unlink()
            await switch.close("six")
            with capture_logs() as logs:
                await switch.filing.mark()
            assert machine.filed(away / machine.path.name, machine.path) == [
                "one",
                "two",
                "six",
                "three",
                "four",
                "five",
            ]
        told = [(line["event"], line["calls"]) for line in logs]
        assert told == [("cdrs_filed_late", ["three", "four", "five"])]

    asyncio.run(story())


def test_a_pipe_whose_reader_is_slow_is_told_what_it_lacks_and_nothing_else_is_in_question(machine: Machine) -> None:
    async def story() -> None:
        os.mkfifo(machine.path)
        reader = os.open(machine.path, os.O_RDONLY | os.O_NONBLOCK)
        async with machine.switch() as switch:
            await switch.close("one")
            await switch.filing.mark()
            filler = os.open(machine.path, os.O_WRONLY | os.O_NONBLOCK)
            await switch.close("two")
            with suppress(BlockingIOError):
                while True:
                    os.write(filler, b"\n" * 1024)
            await switch.close("three")
            await switch.filing.mark()
            heard = read_all(reader)
            await switch.close("four")
            with capture_logs() as logs:
                await switch.filing.mark()
            assert [(line["event"], line["calls"]) for line in logs] == [("cdrs_filed_late", ["three"])]
            assert calls_in(heard + read_all(reader)) == ["one", "two", "four", "three"]
            os.close(filler)
            await switch.close("five")
        with capture_logs() as logs:  # after a crash nobody knows what went into the pipe
            async with machine.switch() as switch:
                await switch.close("six")
                await switch.filing.mark()
        assert [(line["event"], line["calls"]) for line in logs] == [("cdrs_perhaps_not_filed", ["five"])]
        assert calls_in(read_all(reader)) == ["five", "six"]
        os.close(reader)

    asyncio.run(story())


def test_where_more_was_refused_than_is_remembered_those_beyond_are_in_question(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softswitch.call.cdr.UNFILED_AT_MOST", 1)

    async def story() -> None:
        os.mkfifo(machine.path)
        reader = os.open(machine.path, os.O_RDONLY | os.O_NONBLOCK)
        async with machine.switch() as switch:
            await switch.close("one")
            await switch.filing.mark()
            with monkeypatch.context() as patched:
                patched.setattr(os, "write", broken)
                await switch.close("two", "three")
            with capture_logs() as logs:
                await switch.filing.mark()
        told = [(line["event"], line["calls"]) for line in logs]
        assert told == [("cdrs_filed_late", ["two"]), ("cdrs_perhaps_not_filed", ["three"])]
        os.close(reader)

    asyncio.run(story())


def read_all(pipe: int) -> bytes:
    """What is in the pipe by now."""
    heard = b""
    with suppress(BlockingIOError):
        while more := os.read(pipe, 65536):
            heard += more
    return heard


def calls_in(lines: bytes) -> list[str]:
    """The calls whose lines these are."""
    return [json.loads(line)["call_id"] for line in lines.splitlines() if line]


def test_what_a_full_disk_has_kept_from_the_file_is_filed_when_there_is_room(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(file: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def story() -> None:
        async with machine.switch() as switch:
            with capture_logs() as logs:
                monkeypatch.setattr(os, "write", full)
                await switch.close("one", "two", "three")
                await switch.filing.mark()
                monkeypatch.setattr(os, "write", write)
                await switch.close("four")
                await switch.filing.mark()
                await switch.filing.mark()
            assert machine.filed() == ["four", "one", "two", "three"]
        told = [line["event"] for line in logs]
        assert told == [*["cdr_not_written"] * 3, "cdr_file_behind", "cdrs_filed_late"]
        assert switch.store.last_ordinal == 4

    asyncio.run(story())
