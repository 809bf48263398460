"""The story of a call, end to end: call treatment's tables over a real SIP core, under virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softswitch.call.cdr import TOGETHER_S
from softswitch.call.services import CallSettings
from softswitch.errors import MediaError, StoreError
from softswitch.interfaces import Cdr, Decision, Router
from tests.support.calls import EPOCH, FIXED, STRANGER, X_AX, X_AXB, X_AXE, A, B, Lab, play
from tests.support.peer import Peer


def test_an_answered_call_that_the_caller_ends() -> None:
    async def story(lab: Lab) -> None:
        invite = await lab.establish()
        assert invite.uri == f"sip:{B}@10.0.0.21"
        assert invite.from_.uri == f"sip:{X_AXB}@10.0.0.1"
        assert invite.headers.get("P-Asserted-Identity") == f"<sip:{X_AXB}@10.0.0.1>"
        await asyncio.sleep(30)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.mode, cdr.direction) == (0, "caller", "AXB", 1)
        assert cdr.answered_at is not None and cdr.ended_at is not None
        assert cdr.ended_at - cdr.answered_at == pytest.approx(31.6, abs=0.01)
        assert (cdr.caller, cdr.x, cdr.destination, cdr.display) == (A, X_AXB, B, X_AXB)
        assert cdr.recording.endswith(f"_{cdr.call_id}.wav") and cdr.recording_s == pytest.approx(31.6, abs=0.01)
        assert (cdr.announcement, cdr.announcement_sha256) == ("announcement", "sha-announcement")
        assert cdr.a.announcement_frames == cdr.b.announcement_frames == 75
        assert cdr.user_data == "order-7"

    play(story)


def test_the_caller_hears_x_ring_and_sees_nothing_of_the_callee() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        await lab.hang_up(lab.callee)
        await lab.cdr()
        for sent in lab.wire.trace:
            if sent.destination == ("10.0.0.9", 5060):
                assert b"13900000002" not in sent.data and b"10.0.0.21" not in sent.data
            if sent.destination == ("10.0.0.21", 5060):
                assert b"13800000001" not in sent.data and b"10.0.0.9" not in sent.data

    play(story)


def test_an_unknown_caller_hears_no_binding_and_gets_404() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER)
        await lab.caller.receive(183, ignoring=(100,))
        response = await lab.refused(404)
        assert response.headers.get("Reason") == 'Q.850;cause=1;text="no binding for this caller"'
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.cause) == (8014, 404, 1)

    play(story)


def test_axe_collects_by_rfc_4733_and_reaches_a() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        await asyncio.sleep(1)
        lab.media.endpoints[0].press("1234")
        invite = await lab.ring()
        assert invite.uri == f"sip:{A}@10.0.0.21"
        await lab.pick_up(invite)
        await asyncio.sleep(5)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.mode, cdr.extension, cdr.failure, cdr.destination) == ("AXE", "1234", 0, A)
        record = await lab.store.latest_caller(X_AXE, A)
        assert record is not None and record.caller == STRANGER

    play(story)


def test_cancel_while_ringing_is_7502() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.ring()
        await lab.caller.receive(180, ignoring=(100,))
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)
        cancel = await lab.callee.receive_request("CANCEL")
        lab.callee.send(lab.callee.response(cancel, 200))
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.ended_by) == (7502, 487, "caller")

    play(story)


async def talk_and_hang_up(lab: Lab, dialled: str, by: str, reaches: str) -> Cdr:
    invite = await lab.establish(dialled, by=by)
    assert invite.uri == f"sip:{reaches}@10.0.0.21"
    assert invite.from_.uri == f"sip:{dialled}@10.0.0.1"
    await lab.hang_up()
    return await lab.cdr()


async def refused(lab: Lab, dialled: str, by: str, status: int) -> Cdr:
    lab.dial(dialled, by=by)
    await lab.refused(status)
    assert lab.callee.pending() == lab.second.pending() == []
    return await lab.cdr()


def heard(lab: Lab) -> list[str]:
    return [file.removesuffix(".wav") for command in lab.media.commands for file in command.files]


@pytest.mark.parametrize(("by", "reaches", "direction"), [(A, B, 1), (B, A, 0)])
def test_axb_joins_a_and_b_in_both_directions(by: str, reaches: str, direction: int) -> None:
    async def story(lab: Lab) -> None:
        cdr = await talk_and_hang_up(lab, X_AXB, by, reaches)
        assert (cdr.mode, cdr.direction, cdr.binding_id, cdr.app_key) == ("AXB", direction, "axb-1", "app-AXB")
        [(mode, told, outcome, talk_s)] = lab.metrics.ended
        assert (mode, told, outcome) == ("AXB", direction, "0")
        assert talk_s == pytest.approx(1.6)
        assert len(lab.metrics.setups) == 1

    play(story)


@pytest.mark.parametrize(("only", "by", "allowed"), [(1, A, True), (1, B, False), (2, A, False), (2, B, True)])
def test_axb_in_a_direction_that_is_not_allowed_is_8016(only: int, by: str, allowed: bool) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, call_direction=only)
        if allowed:
            await talk_and_hang_up(lab, X_AXB, by, B if by == A else A)
        else:
            cdr = await refused(lab, X_AXB, by, 403)
            assert (cdr.failure, cdr.cause, cdr.binding_id) == (8016, 21, "axb-1")

    play(story)


def test_a_fixed_line_may_only_be_called() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, a=FIXED)
        assert (await refused(lab, X_AXB, FIXED, 403)).failure == 8023
        lab.records.closed.clear()
        lab.callee.fresh()
        lab.caller.fresh()
        assert (await talk_and_hang_up(lab, X_AXB, B, FIXED)).failure == 0

    play(story)


@pytest.mark.parametrize(
    ("dialled", "by", "code", "status"),
    [
        ("+8617099999999", A, 8025, 404),
        ("nonsense", A, 8025, 404),
        (X_AXB, "+4915112345678", 8042, 403),
        (X_AXB, "anonymous", 8014, 404),
        (X_AX, A, 8013, 480),
        (X_AXE, A, 8019, 480),
    ],
)
def test_who_reaches_nobody(dialled: str, by: str, code: int, status: int) -> None:
    async def story(lab: Lab) -> None:
        assert (await refused(lab, dialled, by, status)).failure == code

    play(story)


def test_ax_brings_everybody_to_a() -> None:
    async def story(lab: Lab) -> None:
        cdr = await talk_and_hang_up(lab, X_AX, STRANGER, A)
        assert (cdr.mode, cdr.direction) == ("AX", 0)

    play(story)


def test_ax_brings_a_to_the_temporary_callee_once() -> None:
    async def story(lab: Lab) -> None:
        lab.store.set_callee("ax-1", B, user_data="errand-3")
        cdr = await talk_and_hang_up(lab, X_AX, A, B)
        assert (cdr.direction, cdr.destination, cdr.user_data) == (1, B, "errand-3")
        assert lab.store.callees == {}

    play(story)


def test_a_temporary_callee_that_does_not_answer_is_not_used_up() -> None:
    async def story(lab: Lab) -> None:
        lab.store.set_callee("ax-1", B)
        lab.dial(X_AX, by=A)
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, 486))
        await lab.refused(486)
        assert "ax-1" in lab.store.callees

    play(story)


def test_a_temporary_callee_set_while_the_one_before_rings_is_not_used_up() -> None:
    async def story(lab: Lab) -> None:
        lab.store.set_callee("ax-1", B)
        lab.dial(X_AX, by=A)
        invite = await lab.ring()
        lab.store.set_callee("ax-1", STRANGER)  # for A's next call
        await lab.pick_up(invite)
        await lab.caller_answered()
        await lab.hang_up()
        assert (await lab.cdr()).destination == B
        assert lab.store.callees["ax-1"].callee == STRANGER

    play(story)


def test_a_temporary_callee_is_used_up_although_the_answer_cannot_be_recorded() -> None:
    async def story(lab: Lab) -> None:
        lab.store.set_callee("ax-1", B)
        lab.dial(X_AX, by=A)
        invite = await lab.ring()
        lab.records.fail = True
        await lab.pick_up(invite)
        await lab.caller_answered()
        lab.records.fail = False
        assert lab.store.callees == {}
        await lab.hang_up()

    play(story)


def test_an_expired_temporary_callee_is_8013() -> None:
    async def story(lab: Lab) -> None:
        lab.store.set_callee("ax-1", B, expires_at=EPOCH - 1)
        assert (await refused(lab, X_AX, A, 480)).failure == 8013

    play(story)


@pytest.mark.parametrize(("only", "by"), [(1, STRANGER), (2, A)])
def test_ax_in_a_direction_that_is_not_allowed_is_8016(only: int, by: str) -> None:
    async def story(lab: Lab) -> None:
        lab.store.set_callee("ax-1", B)
        lab.change(lab.ax, call_direction=only)
        assert (await refused(lab, X_AX, by, 403)).failure == 8016

    play(story)


def test_a_number_that_is_turned_off_says_so() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.ax, turned_on=False)
        cdr = await refused(lab, X_AX, STRANGER, 480)
        assert (cdr.failure, heard(lab)) == (8104, ["powered_off"])

    play(story)


def test_a_stranger_hears_the_whole_tone_before_the_final_status() -> None:
    async def story(lab: Lab) -> None:
        await refused(lab, X_AXB, STRANGER, 404)
        assert heard(lab) == ["no_binding"]
        assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=2 * TOGETHER_S)

    play(story)


def test_a_caller_without_an_offer_is_refused_without_a_tone() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER, body=b"")
        await lab.refused(404)
        assert heard(lab) == []

    play(story)


def test_a_tone_that_nobody_can_play_does_not_keep_the_refusal() -> None:
    async def story(lab: Lab) -> None:
        lab.media.die()
        lab.dial(by=STRANGER)
        await lab.refused(404)

    play(story)


def test_a_tone_that_never_ends_is_given_three_seconds_more() -> None:
    async def story(lab: Lab) -> None:
        real = lab.media.play
        lab.media.play = lambda *args, **_: real(*args, loop=True)  # type: ignore[method-assign]
        lab.dial(by=STRANGER)
        await lab.refused(404)
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)

    play(story)


def test_hanging_up_during_the_tone_ends_it() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER)
        await lab.caller.receive(183, ignoring=(100,))
        await asyncio.sleep(0.5)
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)
        assert asyncio.get_running_loop().time() == pytest.approx(0.5)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.a.sip_status) == (8014, 487)

    play(story)


def test_a_source_that_is_no_trunk_hears_nothing() -> None:
    async def story(lab: Lab) -> None:
        stranger = Peer(lab.wire, ("10.9.9.9", 5060))
        lab.dial(via=stranger)
        await stranger.silence(5)
        assert lab.records.opened == []

    play(story)


def test_a_draining_switch_refuses_new_calls_and_keeps_those_it_has() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.admission.draining = True
        other = Peer(lab.wire, ("10.0.0.9", 5062))
        lab.dial(via=other)
        response = await other.receive_response(503, ignoring=(100,))
        other.send(other.ack(response))
        assert response.headers.get("Retry-After") == "5"
        await asyncio.sleep(30)
        await lab.hang_up()
        await asyncio.sleep(1)
        assert [cdr.failure for cdr in lab.records.closed] == [7109, 0]

    play(story)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"max_calls": 1}, 7109),
        ({"max_calls_per_app": 1}, 7002),
        ({"max_calls_per_x": 1}, 8049),
        ({"calls_per_second": 0.5}, 7109),
    ],
)
def test_limits_are_503_with_retry_after(settings: dict[str, Any], code: int) -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        other = Peer(lab.wire, ("10.0.0.9", 5062))
        lab.dial(via=other)
        response = await other.receive_response(503, ignoring=(100,))
        other.send(other.ack(response))
        assert response.headers.get("Retry-After") == "5"
        assert (await lab.cdr()).failure == code
        lab.callee.send(lab.callee.response(invite, 486))
        await lab.refused(486)

    play(story, settings=CallSettings(identity_host="10.0.0.1", **settings))


class Crashing:
    """A router with a bug."""

    def __init__(self, good: Router) -> None:
        self.good = good

    async def resolve(
        self, dialled: str, caller: str, *, digits: str | None = None, trunk: str | None = None
    ) -> Decision:
        if caller == STRANGER:
            raise ZeroDivisionError
        return await self.good.resolve(dialled, caller, digits=digits, trunk=trunk)


def test_a_crash_is_500_and_a_record_and_hurts_no_other_call() -> None:
    async def story(lab: Lab) -> None:
        object.__setattr__(lab.services, "router", Crashing(lab.services.router))
        await lab.establish()
        other = Peer(lab.wire, ("10.0.0.9", 5062))
        lab.dial(by=STRANGER, via=other)
        response = await other.receive_response(500, ignoring=(100,))
        other.send(other.ack(response))
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.words) == (8040, 500, "internal fault")
        await asyncio.sleep(10)
        await lab.hang_up()

    play(story)


def test_a_store_that_is_away_is_a_service_fault() -> None:
    async def story(lab: Lab) -> None:
        async def away(*_: object) -> None:
            raise StoreError("away")

        lab.store.axb_binding = away  # type: ignore[method-assign, assignment]
        cdr = await refused(lab, X_AXB, A, 500)
        assert (cdr.failure, heard(lab)) == (8040, ["service_fault"])

    play(story)


def test_a_recording_that_fails_is_not_counted() -> None:
    async def story(lab: Lab) -> None:
        real = lab.media.record

        def record(*args: Any, **options: Any) -> Any:
            recording = real(*args, **options)
            recording.finished = asyncio.get_running_loop().create_future()
            recording.finished.set_exception(MediaError("disk full"))
            return recording

        lab.media.record = record  # type: ignore[method-assign]
        await lab.establish()
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert (lab.metrics.bytes, cdr.recording_sha256, cdr.failure) == ([], "", 0)

    play(story)


def test_a_call_counts_until_its_last_tone_is_over() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER)
        await lab.caller.receive(183, ignoring=(100,))
        assert len(lab.registry) == 1
        assert lab.admission.active("switch") == 1
        await lab.refused(404)
        assert lab.admission.active("switch") == 0

    play(story)


def test_a_refused_arrival_still_tells_who_called_whom() -> None:
    async def story(lab: Lab) -> None:
        lab.admission.draining = True
        lab.dial()
        await lab.refused(503)
        cdr = await lab.cdr()
        assert (cdr.caller, cdr.callee, cdr.failure) == (A, X_AXB, 7109)

    play(story)


def test_a_refused_arrival_leaves_a_trace_before_its_status_goes_out() -> None:
    """A crash before its record is written, a tenth of a second later, loses no attempt."""

    async def story(lab: Lab) -> None:
        lab.admission.draining = True
        lab.dial()
        await lab.refused(503)
        assert lab.records.closed == []
        (opened,) = lab.records.opened
        assert opened.caller == A
        assert (await lab.cdr()).call_id == opened.call_id

    play(story)


def test_a_store_that_is_away_changes_nothing_for_a_refused_arrival() -> None:
    async def story(lab: Lab) -> None:
        lab.admission.draining, lab.records.fail = True, True
        lab.dial()
        response = await lab.refused(503)
        assert response.headers.get("Retry-After") == "5"
        lab.records.fail = False
        assert (await lab.cdr()).failure == 7109

    play(story)


def test_setup_time_is_that_of_the_200_also_where_the_extension_took_long() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        await asyncio.sleep(8)
        lab.media.endpoints[0].press("1234")
        await lab.pick_up(await lab.ring())
        await lab.hang_up()
        assert lab.metrics.setups == [pytest.approx(0.0, abs=0.01)]

    play(story)
