"""What the CDR file refused, or did not let itself be asked, is filed when it can be, and nothing twice."""

from __future__ import annotations

import asyncio
import errno
import os
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
        assert told == [
            ("cdrs_filed_late", ["three", "four", "five"]),
            ("cdrs_perhaps_not_filed", ["two", "six"]),
        ]

    asyncio.run(story())


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
