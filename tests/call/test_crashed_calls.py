"""Calls that a crash has cut: each is closed once, with its recording, and ends at the last sign of life."""

from __future__ import annotations

import asyncio

from softswitch.call.cdr import CdrWriter
from softswitch.interfaces import Cdr, RecordingReport
from tests.call.test_cdr import Running
from tests.support.calls import A, CdrMemory
from tests.support.virtual_time import run


def test_what_an_earlier_run_left_open_is_closed() -> None:
    async def story() -> None:
        ringing = Cdr("older", call_in_at=2.0, forward_at=3.0, alerting_at=4.0)
        memory = CdrMemory(unfinished=[Cdr("old", caller=A, answered_at=5.0), ringing])
        writer = CdrWriter(memory)
        task = asyncio.create_task(writer.run())
        lost = await writer.left_open()
        assert [cdr.call_id for cdr in lost] == ["old", "older"]
        await writer.recover(lost)
        await writer.drain()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        old, older = memory.closed
        assert (old.call_id, old.caller, old.answered_at) == ("old", A, 5.0)
        assert (old.failure, old.sip_status, old.ended_by) == (8040, 500, "switch")
        assert (old.ended_at, old.failed_at) == (5.0, None)  # the last that is known of it
        assert (older.ended_at, older.failed_at) == (4.0, 4.0)

    run(story())


def test_what_an_earlier_run_left_open_tells_of_its_recording() -> None:
    async def recording_of(cdr: Cdr) -> RecordingReport | None:
        return RecordingReport("old.wav", 1.0, 8058, "sha", truncated=True) if cdr.call_id == "old" else None

    async def story() -> None:
        memory = CdrMemory(unfinished=[Cdr("old", answered_at=5.0), Cdr("older", answered_at=5.0)])
        writer = CdrWriter(memory)
        task = asyncio.create_task(writer.run())
        await writer.recover(await writer.left_open(), recording_of)
        await writer.drain()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told = [
            (cdr.recording, cdr.recording_sha256, cdr.recording_s, cdr.recording_truncated) for cdr in memory.closed
        ]
        assert told == [("old.wav", "sha", 1.0, True), ("", "", 0.0, False)]
        assert [cdr.ended_at for cdr in memory.closed] == [6.0, 5.0]

    run(story())


def test_a_call_without_a_recording_was_up_as_long_as_the_switch_lived() -> None:
    """A carrier bills what we took for no talk at all."""

    reports = {
        "recorded": RecordingReport("a.wav", 43.5, 348058, "sha", truncated=True),
        "on a full disk": RecordingReport("c.wav", 1.0, 8058, "sha", truncated=True),
        "unreadable": RecordingReport("b.wav", 0.0, 0, "", truncated=True),
    }

    async def recording_of(cdr: Cdr) -> RecordingReport | None:
        return reports.get(cdr.call_id)

    async def story() -> None:
        lost = [Cdr(name, call_in_at=4.0, answered_at=5.0) for name in ("plain", *reports)]
        lost += [Cdr("late", call_in_at=60.0, answered_at=61.0), Cdr("ringing", call_in_at=2.0, alerting_at=3.0)]
        async with Running(CdrMemory()) as running:
            await running.writer.recover(lost, recording_of, lambda begun: 50.0 if begun < 60 else 0.0)
            await running.writer.drain()
        ended = {cdr.call_id: (cdr.ended_at, cdr.failed_at) for cdr in running.store.closed}
        assert ended == {
            "plain": (50.0, None),
            "recorded": (48.5, None),
            "on a full disk": (47.0, None),
            "unreadable": (50.0, None),
            "late": (61.0, None),
            "ringing": (50.0, 50.0),
        }

    run(story())


def test_what_an_earlier_run_has_filed_is_offered_to_the_store_alone_and_all_is_settled_when_it_takes_it() -> None:
    async def story() -> None:
        sink = CdrMemory()
        async with Running(CdrMemory(fail=True), sink) as running:
            assert running.writer.settled
            running.writer.store_filed([])
            running.writer.store_filed([Cdr("one"), Cdr("two")])
            await asyncio.sleep(100)
            assert not running.writer.settled
            running.store.fail = False
            await asyncio.wait_for(running.writer.drain(), 31)
            assert sorted(running.stored()) == ["one", "two"] and sink.written == []
            assert running.writer.settled

    run(story())
