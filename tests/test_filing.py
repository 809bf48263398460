"""The CDR file has one line of each finished record, whatever crash, rotation or full disk came between."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from softswitch import app, filing
from softswitch.app import Switch
from softswitch.cdr_sinks.jsonl import JsonLines
from softswitch.errors import StoreError
from softswitch.filing import Filing
from softswitch.stores.sqlite import open_sqlite
from tests.support.filing import Machine, Run, cdr
from tests.test_app import Phone
from tests.test_app import run as run_switch


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def _several_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "AT_ONCE", 2)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_what_a_crash_has_kept_from_the_file_is_filed_at_the_next_start_and_never_twice(machine: Machine) -> None:
    async def story() -> None:
        async with machine.switch() as first:
            await first.close("one", "two")
            await first.filing.mark()
            await first.close("three")
            await first.close_in_the_store_alone("four", "five", "six")
        with capture_logs() as logs:
            async with machine.switch() as second:
                assert machine.filed() == ["one", "two", "three", "four", "five", "six"]
                await second.close("seven")
        assert [(line["event"], line["calls"]) for line in logs] == [("cdrs_filed_late", ["four", "five", "six"])]
        async with machine.switch():
            assert machine.filed() == ["one", "two", "three", "four", "five", "six", "seven"]

    run(story())


def test_a_crash_before_the_first_mark_loses_no_line_either(machine: Machine) -> None:
    async def story() -> None:
        async with machine.switch() as first:
            await first.close_in_the_store_alone("one")
        async with machine.switch():
            assert machine.filed() == ["one"]

    run(story())


def test_a_crash_while_lines_are_filed_late_doubles_none(machine: Machine) -> None:
    async def story() -> None:
        async with machine.switch() as first:
            await first.close_in_the_store_alone("one", "two", "three")
        sink = JsonLines(str(machine.path))
        sink.write(cdr("one"))
        sink.close()
        async with machine.switch():
            assert machine.filed() == ["one", "two", "three"]

    run(story())


def test_a_line_that_the_crash_cut_short_is_written_whole(machine: Machine) -> None:
    async def story() -> None:
        async with machine.switch() as first:
            await first.close_in_the_store_alone("one", "two")
        machine.path.write_text('{"call_id":"one"')
        async with machine.switch():
            assert machine.filed() == ["one", "two"]
            assert machine.path.read_text().startswith('{"call_id":"one"\n{')

    run(story())


def rotated(machine: Machine) -> Path:
    return machine.path.rename(machine.path.with_suffix(".jsonl.1"))


@pytest.mark.parametrize("when", ["before the crash", "after it"])
def test_lines_are_looked_for_in_a_file_that_was_rotated_meanwhile(machine: Machine, when: str) -> None:
    async def story() -> None:
        async with machine.switch() as first:
            await first.close("one")
            if when == "before the crash":
                rotated(machine)
            await first.close("two")
            await first.close_in_the_store_alone("three")
        if when == "after it":
            rotated(machine)
        async with machine.switch():
            assert machine.filed(machine.path.with_suffix(".jsonl.1"), machine.path) == ["one", "two", "three"]

    run(story())


def test_where_the_file_is_gone_nobody_knows_what_it_lacks_and_the_log_names_the_calls(machine: Machine) -> None:
    """A program that fetches the CDRs has taken it away: none of its lines may come a second time."""

    async def story() -> None:
        async with machine.switch() as first:
            await first.close("one")
            await first.filing.mark()
            await first.close("two")
            await first.close_in_the_store_alone("three")
        machine.path.unlink()  # the next will have its inode
        with capture_logs() as logs:
            async with machine.switch():
                assert machine.filed() == []
        assert [(line["event"], line["calls"]) for line in logs] == [("cdrs_perhaps_not_filed", ["two", "three"])]
        async with machine.switch():
            assert machine.filed() == []

    run(story())


def test_what_was_finished_without_a_file_or_before_it_was_another_is_not_filed(machine: Machine) -> None:
    async def story() -> None:
        async with machine.switch(file=False) as first:
            await first.close("one")
            await first.filing.mark()
        async with machine.switch() as second:
            await second.close("two")
            await second.filing.mark()
        machine.path = machine.path.with_name("other.jsonl")
        async with machine.switch() as third:
            await third.close("three")
        assert machine.filed() == ["three"]

    run(story())


def test_a_record_that_the_store_refused_to_the_end_is_closed_with_what_its_line_says(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be closed as that of a crash, with a second line that contradicts the first."""

    async def refuse(*_: object) -> None:
        raise StoreError("close_attempts: database or disk is full")

    async def story() -> None:
        async with machine.switch() as first:
            for call in ("one", "two", "cut"):
                await first.store.open_attempt(cdr(call))
            with monkeypatch.context() as patched:
                patched.setattr(first.store, "close_attempts", refuse)
                await first.close("one", "two")
            await first.filing.mark()  # tells nothing as long as that is so
        async with machine.switch() as second:
            assert [left.call_id for left in second.left_open] == ["cut"]
            writing = asyncio.create_task(second.writer.run())
            await asyncio.wait_for(second.writer.drain(), 20)
            await second.filing.mark()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert second.store.finished_since(0, 9, without=()) == [cdr("one"), cdr("two")]
        async with machine.switch() as third:
            assert [left.call_id for left in third.left_open] == ["cut"]
            assert machine.filed() == ["one", "two"]

    run(story())


def test_marks_cost_no_write_where_nothing_was_finished_and_come_later_the_longer_the_file_refuses(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    async def story() -> None:
        async with machine.switch() as switch:
            marks: list[int] = []
            monkeypatch.setattr(switch.store, "mark_filed", lambda ordinal, place: marks.append(ordinal))
            await switch.filing.mark()
            assert marks == []
            await switch.close("one")
            await switch.filing.mark()
            await switch.filing.mark()
            assert marks == [1]
            switch.writer.refused["sink"] = 1
            monkeypatch.setattr(switch.store, "filed", raise_store_error)
            monkeypatch.setattr(asyncio, "sleep", sleep)
            with pytest.raises(asyncio.CancelledError):
                await switch.filing.run()
        assert waited == [5.0, 10.0, 20.0]

    run(story())


def raise_store_error() -> None:
    raise StoreError("filed: database is locked")


def test_a_switch_that_failed_to_start_marks_nothing(machine: Machine) -> None:
    """What was left open may have lines that the next start must look for."""

    async def story() -> None:
        async with machine.switch() as first:
            await first.close_in_the_store_alone("one")
            mark = first.store.filed()
            await Filing(first.store, first.sink, first.writer, print).mark()
            assert first.store.filed() == mark

    run(story())


def test_a_stop_before_all_lines_were_looked_through_leaves_them_to_the_next_start(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a call with a line, open in a store that had refused it, would get another as that of a crash."""

    async def story() -> None:
        async with machine.switch() as first:
            await first.store.open_attempt(cdr("one"))
            assert first.sink is not None
            first.sink.write(cdr("one"))
        store, sink = open_sqlite(str(machine.database)), JsonLines(str(machine.path))
        second = Run(store, sink)
        with disk_stands_still(sink, monkeypatch, "filed_since") as reading:
            starting = asyncio.create_task(second.filing.begin(await second.writer.left_open()))
            await reading.wait()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        await asyncio.wait_for(second.filing.mark(), 20)
        store.close()
        sink.close()
        async with machine.switch() as third:
            assert third.left_open == []

    run(story())


@contextmanager
def disk_stands_still(sink: JsonLines, monkeypatch: pytest.MonkeyPatch, what: str) -> Iterator[asyncio.Event]:
    """Set when a thread stands there."""
    loop, stands, goes_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def stand(*_: object) -> None:
        loop.call_soon_threadsafe(stands.set)
        goes_on.wait()

    with monkeypatch.context() as patched:
        patched.setattr(sink, what, stand if what == "filed_since" else lambda: stand)
        try:
            yield stands
        finally:
            goes_on.set()


def test_a_process_ends_while_the_disk_of_the_file_stands_still(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of asyncio's own would be waited for."""

    async def story() -> None:
        async with machine.switch() as switch:
            assert switch.sink is not None
            await switch.close("one")
            with disk_stands_still(switch.sink, monkeypatch, "to_be_synced") as syncing:
                marking = asyncio.create_task(switch.filing.mark())
                await syncing.wait()
                standing = [one for one in threading.enumerate() if one.name == f"disk {filing.LINE}"]
                assert standing and all(one.daemon for one in standing)
                marking.cancel()
                await asyncio.gather(marking, return_exceptions=True)

    run(story())


def test_a_mark_that_gets_no_thread_is_made_later(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def story() -> None:
        async with machine.switch() as switch:
            await switch.close("one")
            with capture_logs() as logs, monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", no_thread)
                await switch.filing.mark()
            assert [(line["event"], line["error"]) for line in logs] == [("cdr_file_behind", "can't start new thread")]
            await switch.filing.mark()
            marked = switch.store.filed()
            assert marked is not None and marked[0] == 1

    run(story())


@pytest.mark.real_time
def test_a_whole_switch_files_what_an_earlier_run_has_not_and_marks_at_its_end(tmp_path: Path) -> None:
    async def earlier(machine: Machine) -> None:
        async with machine.switch() as first:
            await first.close_in_the_store_alone("one")

    async def story(switch: Switch, phone: Phone) -> None:
        assert [json.loads(line)["call_id"] for line in switch_file.read_text().splitlines()] == ["one"]
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        assert phone.session is not None
        phone.session.hang_up()
        await switch.registry.wait_empty()
        await switch.cdrs.drain()

    machine = Machine(tmp_path)
    switch_file = machine.path
    asyncio.run(earlier(machine))
    assert [line["ulFailReason"] for line in run_switch(tmp_path, story)] == [0, 0]
    store = open_sqlite(str(machine.database))
    marked = store.filed()
    assert marked is not None and (marked[0], marked[1].size) == (2, switch_file.stat().st_size)
    store.close()


@pytest.mark.real_time
def test_a_whole_switch_stops_while_the_disk_of_the_file_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        assert phone.session is not None and switch.sink is not None
        phone.session.hang_up()
        await switch.registry.wait_empty()
        monkeypatch.setattr(app, "MARKED_WITHIN_S", 0.1)
        monkeypatch.setattr(switch.sink, "to_be_synced", lambda: goes_on.wait)

    assert [line["ulFailReason"] for line in run_switch(tmp_path, story)] == [0]
    goes_on.set()
