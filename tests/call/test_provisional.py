"""RFC 3262 on each leg of a call by itself: reliable ringing and early media."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.user_agent import UserAgent
from tests.support.calls import Lab, play, sdp
from tests.support.peer import Pairs, Peer

SUPPORTED: Pairs = [("Supported", "100rel")]
REQUIRED: Pairs = [("Require", "100rel")]


def lab() -> Lab:
    made = Lab()
    made.user_agent = UserAgent(transport_factory=made.wire.open, supported=["100rel"])
    return made


async def prack(phone: Peer, response: SipResponse, body: bytes = b"") -> SipResponse:
    """Acknowledge it; the 200 to that."""
    rack = ("RAck", f"{response.headers.get('RSeq')} 1 INVITE")
    phone.send(phone.request("PRACK", headers=[rack], body=body))
    ok = await phone.receive_response(200)
    assert ok.cseq.method == "PRACK"
    return ok


async def early_media(lab: Lab, *, caller: Pairs = (), callee: Pairs = ()) -> tuple[SipRequest, SipResponse]:
    """The callee's INVITE and the 183 that the caller got."""
    lab.dial(headers=caller)
    invite = await lab.callee.receive_request("INVITE")
    lab.callee.send(lab.callee.response(invite, 183, headers=callee, body=sdp("10.0.0.21", 41000)))
    return invite, await lab.caller.receive_response(183, ignoring=(100,))


RELIABLY: Pairs = [("Require", "100rel"), ("RSeq", "5")]


@pytest.mark.parametrize("caller", [SUPPORTED, ()], ids=["caller", "caller-without"])
@pytest.mark.parametrize("callee", [RELIABLY, ()], ids=["callee", "callee-without"])
def test_each_leg_has_reliable_early_media_or_not_as_its_far_end_takes_it(caller: Pairs, callee: Pairs) -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await early_media(lab, caller=caller, callee=callee)
        assert ("RSeq" in progress.headers) == bool(caller)
        if callee:
            request = await lab.callee.receive_request("PRACK")
            assert request.headers.get("RAck") == "5 1 INVITE"
            lab.callee.send(lab.callee.response(request, 200))
        if caller:
            await prack(lab.caller, progress)
        lab.callee.send(lab.callee.response(invite, 200))  # the answer came in the 183 already
        await lab.callee.receive("ACK")
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story, lab())


def test_ringing_is_reliable_where_the_caller_requires_it() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(headers=REQUIRED)
        invite = await lab.ring()
        await prack(lab.caller, await lab.caller.receive_response(180, ignoring=(100,)))
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story, lab())


def test_an_answer_of_the_callee_waits_for_the_prack_of_the_caller() -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await early_media(lab, caller=SUPPORTED)
        await lab.pick_up(invite)
        await lab.caller.silence(0.2)
        await prack(lab.caller, progress)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story, lab())


def test_an_offer_in_the_prack_moves_the_callers_media() -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await early_media(lab, caller=SUPPORTED)
        ok = await prack(lab.caller, progress, body=sdp("10.0.0.9", 45000, version=2))
        assert b"m=audio" in ok.body
        remote = lab.endpoints()[0].remote
        assert remote is not None
        assert remote.port == 45000
        await lab.pick_up(invite)
        assert (await lab.caller_answered()).body == ok.body != progress.body
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story, lab())


@pytest.mark.parametrize("answered", [False, True])
def test_a_caller_that_never_acknowledges_gets_504_and_the_callee_is_released(answered: bool) -> None:
    async def story(lab: Lab) -> None:
        invite, _ = await early_media(lab, caller=SUPPORTED)
        if answered:
            await lab.pick_up(invite)
            await lab.answer_bye(lab.callee)
        else:
            cancel = await lab.callee.receive_request("CANCEL")
            lab.callee.send(lab.callee.response(cancel, 200))
            lab.callee.send(lab.callee.response(invite, 487))
            await lab.callee.receive("ACK")
        response = await lab.refused(504)
        assert "cause=38" in (response.headers.get("Reason") or "")
        assert ((await lab.cdr()).a.sip_status, (await lab.cdr()).failure) == (504, 7505)

    play(story, lab())


def test_a_call_that_is_cancelled_while_its_prack_is_awaited_ends_on_both_sides() -> None:
    async def story(lab: Lab) -> None:
        invite, _ = await early_media(lab, caller=SUPPORTED)
        await lab.pick_up(invite)
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.a.sip_status) == (7502, "caller", 487)
        assert (cdr.answered_at, cdr.answered_in_at, cdr.announcement) == (None, None, "")
        assert lab.verbs("play", "record") == []

    play(story, lab())


def test_a_callee_that_hangs_up_while_a_prack_is_awaited_was_not_heard() -> None:
    async def story(lab: Lab) -> None:
        invite, _ = await early_media(lab, caller=SUPPORTED)
        await lab.pick_up(invite)
        lab.callee.send(lab.callee.request("BYE"))
        await lab.callee.receive(200)
        await lab.refused(480)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.answered_at) == (7506, "callee", None)

    play(story, lab())


def test_a_call_whose_time_is_up_while_a_prack_is_awaited_is_refused_in_its_record_as_on_the_wire() -> None:
    async def story(lab: Lab) -> None:
        invite, _ = await early_media(lab, caller=SUPPORTED)
        await lab.pick_up(invite)
        await lab.refused(480)
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status, cdr.a.sip_status, cdr.answered_at) == (8010, 480, 480, None)

    made = lab()
    made.max_duration_s = 10
    play(story, made)


def test_a_stop_of_the_switch_while_a_prack_is_awaited_leaves_no_answered_call() -> None:
    async def story(lab: Lab) -> None:
        invite, _ = await early_media(lab, caller=SUPPORTED)
        await lab.pick_up(invite)
        stopping = asyncio.create_task(lab.user_agent.stop())
        await lab.refused(503)
        await lab.answer_bye(lab.callee)
        await stopping
        cdr = await lab.cdr()
        assert (cdr.ended_by, cdr.answered_at, cdr.a.sip_status) == ("switch", None, 503)

    play(story, lab())


def test_an_offer_in_the_prack_that_the_answer_waits_for_moves_the_callers_media_too() -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await early_media(lab, caller=SUPPORTED)
        await lab.pick_up(invite)
        ok = await prack(lab.caller, progress, body=sdp("10.0.0.9", 45000, version=2))
        assert (await lab.caller_answered()).body == ok.body
        remote = lab.endpoints()[0].remote
        assert remote is not None and remote.port == 45000
        await asyncio.sleep(2)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story, lab())
