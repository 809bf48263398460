"""Races and accidents between the legs, and a stop of the switch at every stage: no call lost, nothing left over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.calls import CALLER, FIRST, STRANGER, SWITCH, X_AXE, Lab, play, sdp


def test_a_cancel_before_the_callee_rings_is_7501() -> None:
    """RFC 3261 9.1: no CANCEL before a provisional response; it goes out with the first one."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.caller.send(lab.caller.cancel(), to=SWITCH)
        await lab.caller.receive(200, ignoring=(100,))
        await lab.refused(487)
        assert lab.callee.pending() == []
        lab.callee.send(lab.callee.response(invite, 180))
        cancel = await lab.callee.receive_request("CANCEL")
        lab.callee.send(lab.callee.response(cancel, 200))
        lab.callee.send(lab.callee.response(invite, 487))
        await lab.callee.receive("ACK")
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.alerting_at) == (7501, "caller", None)

    play(story)


def test_a_cancel_tells_the_callee_the_callers_cause() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.ring()
        await lab.caller.receive(180, ignoring=(100,))
        lab.caller.send(lab.caller.cancel(headers=[("Reason", "Q.850;cause=31")]))
        cancel = await lab.callee.receive_request("CANCEL")
        assert (cancel.headers.get("Reason") or "").startswith("Q.850;cause=31;")
        lab.callee.send(lab.callee.response(cancel, 200))
        assert (await lab.cdr()).a.cause == 31

    play(story)


def test_a_200_of_the_callee_that_crosses_our_cancel_is_acked_and_byed() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.caller.receive(180, ignoring=(100,))
        lab.caller.send(lab.caller.cancel())
        await lab.callee.receive_request("CANCEL")
        lab.callee.send(lab.callee.response(invite, 200, body=sdp("10.0.0.21", 41000)))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        await lab.caller.receive(200)
        await lab.refused(487)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.answered_at) == (7502, None)

    play(story)


def test_a_cancel_that_crosses_our_200_has_no_effect() -> None:
    """RFC 3261 9.2: the caller gets the 200 and must hang up by BYE."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.caller.receive(180, ignoring=(100,))
        cancel = lab.caller.cancel()
        await lab.pick_up(invite)
        lab.caller.send(cancel)
        await lab.caller_answered(ignoring=(100, 180))
        assert lab.caller.pending() in ([], [200])
        await asyncio.sleep(2)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


def test_a_cancel_in_one_batch_with_the_callees_200_ends_the_call_unanswered() -> None:
    """The caller is told 487, so the record must not say that it was answered."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.caller.receive(180, ignoring=(100,))
        lab.callee.send(lab.callee.response(invite, 200, body=sdp("10.0.0.21", 41000)))
        lab.caller.send(lab.caller.cancel())
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        await lab.caller.receive(200)
        await lab.refused(487)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.a.sip_status) == (7502, "caller", 487)
        assert (cdr.answered_at, cdr.answered_in_at, cdr.announcement) == (None, None, "")
        assert lab.verbs("play", "record") == []

    play(story)


def test_both_hang_up_at_once() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        for phone in (lab.caller, lab.callee):
            phone.send(phone.request("BYE"))
        await asyncio.sleep(5)
        for phone in (lab.caller, lab.callee):
            assert set(phone.pending()) <= {200, "BYE"}
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (0, "caller")

    play(story)


def test_a_repeated_invite_is_one_call() -> None:
    async def story(lab: Lab) -> None:
        invite = lab.dial()
        for _ in range(3):
            lab.caller.send(invite, to=SWITCH)
        await lab.ring()
        lab.caller.send(invite, to=SWITCH)
        await asyncio.sleep(0.1)
        assert len(lab.wire.sent("INVITE", source=SWITCH)) == 1
        assert lab.callee.pending() == []
        lab.caller.send(lab.caller.cancel())
        await asyncio.sleep(1)
        assert len(lab.records.opened) == 1
        assert (await lab.cdr()).failure == 7502

    play(story)


def test_a_late_200_of_a_target_that_was_given_up_is_hung_up_while_the_next_one_talks() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        lost = await lab.callee.receive_request("INVITE")
        invite = await lab.ring(lab.second)
        await lab.pick_up(invite, lab.second)
        await lab.caller_answered()
        lab.callee.pending()
        lab.callee.send(lab.callee.response(lost, 200, body=sdp("10.0.0.21", 41000)))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        await lab.caller.silence(5)
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        await lab.answer_bye(lab.second)
        assert (await lab.cdr()).b.trunk == "second"

    play(story)


def test_a_fork_that_answers_too_is_hung_up() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.pick_up(invite)
        await lab.caller_answered()
        lab.callee.send(lab.callee.response(invite, 200, tag="fork", body=sdp("10.0.0.21", 42000)))
        assert (await lab.callee.receive_request("ACK")).to.tag == "fork"
        bye = await lab.answer_bye(lab.callee)
        assert bye.to.tag == "fork"
        await asyncio.sleep(2)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


async def _ringing(lab: Lab) -> None:
    lab.dial()
    await lab.ring()


async def _invited(lab: Lab) -> None:
    lab.dial()
    await lab.callee.receive_request("INVITE")


async def _hearing_a_tone(lab: Lab) -> None:
    lab.dial(by=STRANGER)
    await lab.caller.receive(183, ignoring=(100,))


async def _keying(lab: Lab) -> None:
    lab.dial(X_AXE, by=STRANGER)
    await lab.caller_answered()


async def _connecting(lab: Lab) -> None:
    await _keying(lab)
    lab.media.endpoints[0].press("1234")
    await lab.ring()


async def _without_the_late_answer(lab: Lab) -> None:
    lab.dial(body=b"")
    await lab.pick_up(await lab.ring())
    await lab.caller.receive(200, ignoring=(100, 180))


async def _without_an_ack(lab: Lab) -> None:
    lab.dial()
    await lab.pick_up(await lab.ring())
    await lab.caller.receive(200, ignoring=(100, 180))


async def _announcing(lab: Lab) -> None:
    await lab.establish(talk=False)


async def _talking(lab: Lab) -> None:
    await lab.establish()


async def _holding(lab: Lab) -> None:
    await lab.establish()
    lab.caller.send(lab.caller.request("INVITE", body=sdp("10.0.0.9", direction="sendonly")))
    await lab.callee.receive_request("INVITE")


# The last thing that the caller hears of its call.
STAGES = [
    (_invited, "503"),
    (_ringing, "503"),
    (_hearing_a_tone, "404"),
    (_keying, "BYE"),
    (_connecting, "BYE"),
    (_without_the_late_answer, "200"),  # no BYE before the ACK (RFC 3261 15)
    (_without_an_ack, "200"),
    (_announcing, "BYE"),
    (_talking, "BYE"),
    (_holding, "BYE"),
]


@pytest.mark.parametrize(("stage", "last"), STAGES, ids=[stage.__name__.strip("_") for stage, _ in STAGES])
def test_a_stop_of_the_switch_at_any_stage_leaves_a_record_and_nothing_else(
    stage: Callable[[Lab], Awaitable[None]], last: str
) -> None:
    async def story(lab: Lab) -> None:
        await stage(lab)
        await asyncio.sleep(0.1)
        await lab.user_agent.stop()
        await lab.cdrs.drain()
        cdr = await lab.cdr()
        assert cdr.ended_at is not None and cdr.ended_by == "switch"
        assert lab.admission.active("switch") == 0
        told = [sent.label for sent in lab.wire.trace if sent.source == SWITCH and sent.destination == CALLER]
        assert told[-1] == last
        if stage in (_announcing, _talking, _holding):
            assert (cdr.failure, cdr.words) == (8040, "the switch is shutting down")
            assert {sent.destination for sent in lab.wire.sent("BYE", source=SWITCH)} == {CALLER, FIRST}

    play(story)


@pytest.mark.parametrize("seed", range(6))
def test_a_call_over_a_wire_that_loses_doubles_and_reorders_ends_whole(seed: int) -> None:
    async def story(lab: Lab) -> None:
        lab.wire.loss, lab.wire.duplication, lab.wire.delay = 0.0, 0.0, (0.0, 0.0)
        await lab.establish()
        lab.wire._random.seed(seed)
        lab.wire.loss, lab.wire.duplication, lab.wire.delay = 0.2, 0.2, (0.0, 0.3)
        bye = lab.caller.request("BYE")
        for _ in range(8):
            lab.caller.send(bye)
            await asyncio.sleep(1)
        for _ in range(10):
            await asyncio.sleep(3)
            while not lab.callee.inbox.empty():
                message = await lab.callee.receive_any()
                if getattr(message, "method", "") == "BYE":
                    lab.callee.send(lab.callee.response(message, 200))  # type: ignore[arg-type]
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (0, "caller")

    play(story)
