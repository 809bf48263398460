"""The caller's leg where the INVITE brought no offer and wants reliable responses: RFC 3262 5, RFC 3261 13.2.1."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.errors import SoftswitchError
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.user_agent import ServerSession
from tests.call.test_provisional import RELIABLY, REQUIRED, SUPPORTED, lab, prack
from tests.support.calls import STRANGER, Lab, play, sdp
from tests.support.peer import Pairs

ANSWER = sdp("10.0.0.9", 45000)


async def callee_sends_early_media(lab: Lab, headers: Pairs = SUPPORTED) -> tuple[SipRequest, SipResponse]:
    """A call without an offer up to the 183 with ours."""
    lab.dial(body=b"", headers=headers)
    invite = await lab.callee.receive_request("INVITE")
    lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
    progress = await lab.caller.receive_response(183, ignoring=(100,))
    assert b"m=audio" in progress.body
    assert progress.headers.get("Require") == "100rel"
    return invite, progress


async def talk_and_hang_up(lab: Lab, invite: SipRequest, *, offered: bool) -> None:
    """The callee answers; whether our 200 made an offer."""
    await lab.pick_up(invite)
    ok = await lab.caller.receive_response(200, ignoring=(100, 180))
    assert bool(ok.body) == offered
    lab.caller.send(lab.caller.ack(ok, body=ANSWER if offered else b""))
    await asyncio.sleep(2)
    await lab.hang_up()
    assert (await lab.cdr()).failure == 0


@pytest.mark.parametrize("headers", [SUPPORTED, REQUIRED], ids=["supported", "required"])
def test_our_offer_goes_in_the_183_its_prack_answers_and_the_200_says_nothing_more(headers: Pairs) -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await callee_sends_early_media(lab, headers)
        assert lab.verbs("connect") == []  # nobody is heard before the answer
        await prack(lab.caller, progress, body=ANSWER)
        await asyncio.sleep(0.1)
        caller, callee = lab.endpoints()
        assert caller.remote is not None and caller.remote.port == 45000
        assert caller.peer is callee
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))  # once more: nothing new
        await talk_and_hang_up(lab, invite, offered=False)

    play(story, lab())


def test_a_reliable_180_makes_the_offer_that_is_due() -> None:
    """RFC 3261 13.2.1: the offer is in "the first reliable non-failure message"."""

    async def story(lab: Lab) -> None:
        lab.dial(body=b"", headers=REQUIRED)
        invite = await lab.ring()
        ringing = await lab.caller.receive_response(180, ignoring=(100,))
        assert b"m=audio" in ringing.body
        await prack(lab.caller, ringing, body=ANSWER)
        await talk_and_hang_up(lab, invite, offered=False)

    play(story, lab())


def test_a_180_that_is_not_reliable_makes_none() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=b"", headers=SUPPORTED)
        invite = await lab.ring()
        ringing = await lab.caller.receive_response(180, ignoring=(100,))
        assert not ringing.body
        assert "RSeq" not in ringing.headers
        await talk_and_hang_up(lab, invite, offered=True)

    play(story, lab())


@pytest.mark.parametrize("body", [b"", b"nonsense"])
def test_a_prack_that_forgets_the_answer_leaves_it_to_the_ack(body: bytes) -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await callee_sends_early_media(lab)
        await prack(lab.caller, progress, body=body)
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await asyncio.sleep(0.1)
        assert lab.verbs("connect") == []
        await talk_and_hang_up(lab, invite, offered=True)

    play(story, lab())


def test_an_answer_of_the_callee_waits_for_the_prack_that_answers_our_offer() -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await callee_sends_early_media(lab)
        await lab.pick_up(invite)
        await lab.caller.silence(0.2)
        await prack(lab.caller, progress, body=ANSWER)
        ok = await lab.caller.receive_response(200)
        assert not ok.body
        lab.caller.send(lab.caller.ack(ok))
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story, lab())


def test_after_the_answer_a_prack_may_bring_a_new_offer() -> None:
    """RFC 3262 5: the next reliable response's PRACK may offer anew."""

    async def story(lab: Lab) -> None:
        lab.dial(body=b"", headers=REQUIRED)
        invite = await lab.ring()
        await prack(lab.caller, await lab.caller.receive_response(180, ignoring=(100,)), body=ANSWER)
        live = next(iter(lab.registry))
        assert live.a is not None and isinstance(live.a.session, ServerSession)
        live.a.session.progress(182)
        queued = await lab.caller.receive_response(182)
        moved = await prack(lab.caller, queued, body=sdp("10.0.0.9", 46000, version=2))
        assert b"m=audio" in moved.body
        remote = lab.endpoints()[0].remote
        assert remote is not None and remote.port == 46000
        await talk_and_hang_up(lab, invite, offered=False)

    play(story, lab())


def test_a_caller_on_hold_from_the_first_is_told_so_to_the_callee() -> None:
    async def story(lab: Lab) -> None:
        invite, progress = await callee_sends_early_media(lab)
        await prack(lab.caller, progress, body=sdp("10.0.0.9", 45000, direction="sendonly"))
        await lab.pick_up(invite)
        ok = await lab.caller.receive_response(200)
        lab.caller.send(lab.caller.ack(ok))
        held = await lab.callee.receive_request("INVITE")
        assert b"a=sendonly" in held.body
        lab.callee.send(lab.callee.response(held, 200, body=sdp("10.0.0.21", 41000, direction="recvonly")))
        await lab.callee.receive("ACK")
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story, lab())


def test_a_caller_without_an_offer_hears_a_refusals_tone_by_our_offer() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(by=STRANGER, body=b"", headers=SUPPORTED)
        progress = await lab.caller.receive_response(183, ignoring=(100,))
        await prack(lab.caller, progress, body=ANSWER)
        await asyncio.sleep(0.1)
        assert lab.verbs("play") == ["play"]
        await lab.refused(404)

    play(story, lab())


def test_an_offer_that_the_guard_withholds_is_not_waited_for() -> None:
    def refuses_progress(data: bytes) -> bytes:
        if data.startswith(b"SIP/2.0 183"):
            raise SoftswitchError("it leaks")
        return data

    async def story(lab: Lab) -> None:
        lab.dial(body=b"", headers=SUPPORTED)
        invite = await lab.callee.receive_request("INVITE")
        live = next(iter(lab.registry))
        assert live.a is not None
        live.a.session.guard = refuses_progress
        lab.callee.send(lab.callee.response(invite, 183, headers=RELIABLY[:0], body=sdp("10.0.0.21", 41000)))
        await asyncio.sleep(0.1)
        await talk_and_hang_up(lab, invite, offered=True)

    play(story, lab())
