"""One record for every attempt: open first, closed once, late reports waited for, nothing ever lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from softswitch.call.cdr import MOST_TOGETHER, TOGETHER_S, CallRecord, CdrWriter
from softswitch.errors import FAILURES
from softswitch.interfaces import Cdr, PlayReport, RecordingReport
from softswitch.stores.sqlite import open_sqlite
from tests.support.calls import CALLER, STRANGER, SWITCH, X_AXB, A, B, CdrMemory, Lab, play, sdp
from tests.support.virtual_time import run


class Broken(CdrMemory):
    """A sink that fails in a way nobody foresaw."""

    def write(self, cdr: Cdr) -> None:
        raise OSError("no space left on device")


async def written(memory: CdrMemory, *records: CallRecord, sinks: tuple[CdrMemory, ...] = ()) -> float:
    """Write the records; returns how long it took."""
    writer = CdrWriter(memory, sinks)
    task = asyncio.create_task(writer.run())
    begin = asyncio.get_running_loop().time()
    for record in records:
        writer.close(record)
    await asyncio.wait_for(writer.drain(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return asyncio.get_running_loop().time() - begin


def record(name: str = "one") -> CallRecord:
    return CallRecord(name, asyncio.get_running_loop().time)


def test_every_attempt_is_open_in_the_store_before_it_is_routed_and_again_when_answered() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        first, second = lab.records.opened
        assert (first.call_id, first.caller, first.answered_at) == (second.call_id, A, None)
        assert (second.caller, second.destination) == (A, B) and second.answered_at is not None
        assert lab.records.closed == []
        await lab.hang_up()
        closed = await lab.cdr()
        assert closed.call_id == first.call_id
        assert lab.records.written == lab.records.closed
        assert second.answered_at == closed.answered_at

    play(story)


def test_the_record_of_a_refused_attempt_tells_why() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER)
        await lab.refused(404)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.words, cdr.ended_by) == (8014, "no binding for this caller", "switch")
        assert (cdr.x, cdr.caller, cdr.callee, cdr.direction) == (X_AXB, STRANGER, X_AXB, 2)
        assert cdr.failed_at is not None and cdr.ended_at is not None and cdr.answered_at is None
        assert (cdr.a.trunk, cdr.a.sip_status, cdr.b.trunk, cdr.b.sip_status) == ("in", 404, "", 0)
        assert len(lab.records.opened) == 1

    play(story)


def test_a_refused_callee_leaves_its_status_and_cause() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, 486, headers=[("Reason", "Q.850;cause=34")]))
        await lab.refused(486)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.b.sip_status, cdr.b.cause, cdr.b.trunk) == (8102, 486, 34, "first")
        assert cdr.forward_at is not None and cdr.alerting_at is not None

    play(story)


def test_times_have_milliseconds() -> None:
    async def story() -> None:
        one = CallRecord("one", lambda: 1.23456789)
        assert one.snapshot().call_in_at == 1.235

    run(story())


def test_reports_that_never_come_are_waited_for_two_seconds() -> None:
    async def story() -> None:
        memory, late = CdrMemory(), record()
        late.recording = asyncio.get_running_loop().create_future()
        late.moment("ended_at")
        late.announcement = asyncio.get_running_loop().create_future()
        late.announcement.set_result((PlayReport(75, 1, 2, True),))
        assert await written(memory, late) == 2.0 + TOGETHER_S
        assert [cdr.call_id for cdr in memory.closed] == ["one"]
        late.recording.set_result(RecordingReport("x.wav", 1.0, 8058, "sha"))  # nobody listens any more
        assert memory.closed[0].recording_sha256 == ""
        assert memory.closed[0].recording_truncated

    run(story())


def test_reports_that_come_late_are_in_the_record() -> None:
    async def story() -> None:
        memory, late = CdrMemory(), record()
        loop = asyncio.get_running_loop()
        recording: asyncio.Future[RecordingReport] = loop.create_future()
        announcement: asyncio.Future[tuple[PlayReport, ...]] = loop.create_future()
        late.recording, late.announcement = recording, announcement
        loop.call_later(0.5, recording.set_result, RecordingReport("x.wav", 1.0, 8058, "sha"))
        loop.call_later(1.0, announcement.set_exception, RuntimeError("lost"))
        assert await written(memory, late) == 1.0 + TOGETHER_S
        assert (memory.closed[0].recording, memory.closed[0].recording_sha256) == ("x.wav", "sha")

    run(story())


def test_a_record_whose_reports_came_early_is_written_once() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.caller.send(lab.caller.request("BYE"))
        await asyncio.sleep(0.001)
        await lab.callee.receive("BYE")
        await asyncio.sleep(10)
        assert len(lab.records.closed) == len(lab.records.written) == 1

    play(story)


def test_reports_that_come_within_the_time_are_waited_for_once() -> None:
    async def story() -> None:
        memory, late = CdrMemory(), record()
        writer = CdrWriter(memory)
        task = asyncio.create_task(writer.run())
        recording: asyncio.Future[RecordingReport] = asyncio.get_running_loop().create_future()
        late.recording = recording
        writer.close(late)
        await asyncio.sleep(1)
        recording.set_result(RecordingReport("x.wav", 1.0, 8058, "sha"))
        await asyncio.sleep(5)
        assert len(memory.closed) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story())


def test_a_report_that_comes_in_the_moment_in_which_the_time_is_up_writes_no_second_record() -> None:
    async def story() -> None:
        memory, late = CdrMemory(), record()
        loop = asyncio.get_running_loop()
        recording: asyncio.Future[RecordingReport] = loop.create_future()
        late.recording = recording
        loop.call_later(2.0, recording.set_result, RecordingReport("x.wav", 1.0, 8058, "sha"))
        await written(memory, late)
        await asyncio.sleep(5)
        assert len(memory.closed) == 1

    run(story())


def test_records_without_reports_are_written_at_once_and_together() -> None:
    class Counting(CdrMemory):
        async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
            self.opened += cdrs[:1]  # the first of each lot
            await super().close_attempts(cdrs)

    async def story() -> None:
        memory, several = Counting(), [record(f"call-{n}") for n in range(MOST_TOGETHER + 2)]
        assert await written(memory, *several) == TOGETHER_S
        assert [cdr.call_id for cdr in memory.closed] == [one.call_id for one in several]
        assert [cdr.call_id for cdr in memory.opened] == ["call-0", f"call-{MOST_TOGETHER}"]

    run(story())


class Running:
    """A writer at work, with all it has said."""

    def __init__(self, store: CdrMemory, *sinks: CdrMemory) -> None:
        self.store, self.writer = store, CdrWriter(store, sinks)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.writer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def close(self, *names: str) -> None:
        for name in names:
            self.writer.close(record(name))

    def stored(self) -> list[str]:
        return [cdr.call_id for cdr in self.store.closed]


def refused(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The records that stand whole in the log."""
    return [entry["cdr"]["call_id"] for entry in logs if entry["event"] == "cdr_not_stored"]


def test_what_the_store_refuses_goes_to_the_log_and_the_sinks_at_once_and_to_the_store_when_it_takes_it() -> None:
    """Left open, it would be closed as that of a crashed call at the next start: two records that contradict."""

    async def story() -> None:
        sink = CdrMemory()
        async with Running(CdrMemory(fail=True), sink) as running:
            with capture_logs() as logs:
                running.close("one", "two")
                await asyncio.sleep(0.5)
                assert [entry["call_ids"] for entry in logs if entry["event"] == "store_refuses"] == [["one", "two"]]
                assert [cdr.call_id for cdr in sink.written] == ["one", "two"]
                assert refused(logs) == ["one", "two"]
                await asyncio.sleep(100)
                running.store.fail = False
                running.close("three")
                await asyncio.wait_for(running.writer.drain(), 31)
                running.close("four")
                await asyncio.wait_for(running.writer.drain(), 1)
        assert sorted(running.stored()[:3]) == ["one", "three", "two"] and running.stored()[3:] == ["four"]
        assert [cdr.call_id for cdr in sink.written] == ["one", "two", "three", "four"]
        assert refused(logs) == ["one", "two", "three"]

    run(story())


def test_a_store_that_is_away_is_asked_ever_less_often() -> None:
    """SQLite waits for a locked file in the thread of all calls, a second each time."""

    async def story() -> None:
        async with Running(CdrMemory(fail=True)) as running:
            running.close(*(f"call-{n}" for n in range(100)))
            with capture_logs() as logs:
                await asyncio.sleep(1000)
        assert 30 < len([entry for entry in logs if entry["event"] == "store_refuses"]) < 40

    run(story())


def test_a_record_that_the_store_never_takes_does_not_keep_back_the_others() -> None:
    class Picky(CdrMemory):
        async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
            self.fail = any(cdr.call_id == "one" for cdr in cdrs)
            await super().close_attempts(cdrs)

    async def story() -> None:
        async with Running(Picky()) as running:
            running.close("one", "two", "three")
            await asyncio.sleep(10)
            assert running.stored() == ["two", "three"]

    run(story())


def test_what_the_store_can_never_take_is_not_offered_again() -> None:
    class Wrong(CdrMemory):
        async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
            if any(cdr.call_id == "one" for cdr in cdrs):
                raise TypeError("not to be encoded")
            await super().close_attempts(cdrs)

    async def story() -> None:
        store = Wrong()
        with capture_logs() as logs:
            assert await written(store, record("one"), record("two")) == TOGETHER_S
        assert refused(logs) == ["one"]
        assert [cdr.call_id for cdr in store.closed] == ["two"]  # which came together with it

    run(story())


def test_only_so_many_records_wait_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softswitch.call.cdr.UNSTORED_AT_MOST", 2)

    async def story() -> None:
        async with Running(CdrMemory(fail=True)) as running:
            with capture_logs() as logs:
                running.close("one", "two", "three")
                await asyncio.sleep(0.5)
            assert refused(logs) == ["one", "two", "three"]
            running.store.fail = False
            await asyncio.wait_for(running.writer.drain(), 2)
            assert running.stored() == ["one", "two"] and not running.writer.settled

    run(story())


def test_nothing_is_settled_while_the_store_takes_its_time_or_once_a_record_was_given_up_for_it() -> None:
    """The sinks have a line of it, which the next start must find."""

    class Slow(CdrMemory):
        async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
            if any(cdr.call_id == "wrong" for cdr in cdrs):
                raise TypeError("not to be encoded")
            await asyncio.sleep(3)

    async def story() -> None:
        async with Running(Slow()) as running:
            for name, settled in (("one", True), ("wrong", False)):
                running.close(name)
                await asyncio.sleep(1)
                assert not running.writer.settled
                await running.writer.drain()
                assert running.writer.settled is settled

    run(story())


def test_a_stop_offers_the_store_for_the_last_time_what_it_has_refused() -> None:
    async def story() -> None:
        async with Running(CdrMemory(fail=True)) as running:
            running.close("one", "two")
            await asyncio.sleep(40)  # in the middle of a long pause
            running.store.fail = False
        assert sorted(running.stored()) == ["one", "two"]

    run(story())


def test_a_stop_writes_what_a_slow_store_has_kept_waiting() -> None:
    class Slow(CdrMemory):
        async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
            await asyncio.sleep(3)
            await super().close_attempts(cdrs)

    async def story() -> None:
        sink = CdrMemory()
        with capture_logs() as logs:
            async with Running(Slow(), sink) as running:
                running.close("one")
                await asyncio.sleep(1)
                running.close("two")
                await asyncio.sleep(3)
                running.close("three")
        assert [cdr.call_id for cdr in sink.written] == ["one", "two", "three"]
        assert running.stored() == ["one", "two", "three"]
        assert refused(logs) == ["two"]  # it was under way

    run(story())


@pytest.mark.parametrize("broken", [CdrMemory(fail=True), Broken()])
def test_a_sink_that_fails_hurts_neither_the_store_nor_the_other_sinks_nor_the_next_record(broken: CdrMemory) -> None:
    async def story() -> None:
        sink = CdrMemory()
        with capture_logs() as logs:
            async with Running(CdrMemory(), broken, sink) as running:
                running.close("one", "two")
                await running.writer.drain()
        assert len(running.stored()) == len(sink.written) == 2
        assert [entry["event"] for entry in logs] == ["cdr_not_written"] * 2
        assert running.writer.refused == {"sink": 2, "store": 0}

    run(story())


def test_calls_that_a_sink_has_refused_are_known_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softswitch.call.cdr.UNFILED_AT_MOST", 2)

    async def story() -> None:
        async with Running(CdrMemory(), CdrMemory(fail=True)) as running:
            running.close("one", "two", "three")
            await running.writer.drain()
        assert running.writer.unfiled == {"one", "two"}
        assert not running.writer.knows_unfiled
        assert running.writer.refused["sink"] == 3

    run(story())


def test_a_record_that_cannot_be_made_is_logged_and_holds_up_nothing() -> None:
    async def story() -> None:
        store, broken = CdrMemory(), record("one")
        broken.note(nonsense="there is no such field")
        with capture_logs() as logs:
            await written(store, broken, record("two"))
        assert [cdr.call_id for cdr in store.closed] == ["two"]
        (entry,) = (entry for entry in logs if entry["event"] == "cdr_not_made")
        assert (entry["call_id"], entry["known"]["nonsense"]) == ("one", "there is no such field")

    run(story())


def test_a_call_id_that_is_no_utf8_keeps_nobody_from_a_record(tmp_path: Path) -> None:
    async def story(lab: Lab) -> None:
        store = open_sqlite(str(tmp_path / "s.db"))
        lab.cdrs._store = store
        invite = lab.caller.invite(
            f"sip:{X_AXB}@{SWITCH[0]}", from_=f"<sip:{STRANGER}@{CALLER[0]}>", body=sdp("10.0.0.9")
        )
        lab.caller.send(invite.encode().replace(b"Call-ID: ", b"Call-ID: \xff"), to=SWITCH)
        await asyncio.sleep(5)
        assert await store.unfinished_attempts() == []
        (cdr,) = lab.records.written
        assert (cdr.failure, cdr.a.sip_call_id) == (8014, f"?{lab.caller.call_id}")
        store.close()

    play(story)


def test_the_first_who_ended_it_stands() -> None:
    async def story() -> None:
        one = record()
        one.ended("callee", FAILURES[0])
        one.ended("switch", FAILURES[8040])
        cdr = one.snapshot()
        assert (cdr.ended_by, cdr.failure) == ("callee", 0)
        assert one.talk_s is None

    run(story())


def test_a_store_that_is_away_refuses_the_call_with_service_fault() -> None:
    async def story(lab: Lab) -> None:
        lab.records.fail = True
        lab.dial()
        await lab.caller.receive_response(183, ignoring=(100,))
        lab.records.fail = False
        assert lab.media.commands[-1].files == ("service_fault.wav",)
        response = await lab.refused(500)
        assert response.headers.get("Reason") == 'Q.850;cause=41;text="internal fault"'
        assert (await lab.cdr()).failure == 8040

    play(story)


def test_a_store_that_goes_away_before_the_answer_does_not_part_those_who_talk() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.records.fail = True
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(20)
        lab.records.fail = False
        await lab.hang_up()
        cdr = await lab.cdr()
        assert cdr.failure == 0 and cdr.answered_at is not None

    play(story)


def test_a_recording_that_could_not_begin_is_not_claimed() -> None:
    async def story(lab: Lab) -> None:
        record = CallRecord("c1", lab.now)
        record.note(recording="/full/disk.wav", record_started_at=lab.now())
        record.recording = asyncio.get_running_loop().create_future()
        record.recording.set_result(RecordingReport("", 0.0, 0, "", truncated=True))
        cdr = record.snapshot()
        assert (cdr.recording, cdr.record_started_at, cdr.recording_sha256) == ("", None, "")
        assert cdr.recording_truncated

    play(story)
