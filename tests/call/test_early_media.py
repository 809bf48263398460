"""RFC 5009: early media is relayed where the callee's network lets it, and authorised to a caller's that asks."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.call.early_media import authorisation, may_be_heard
from softswitch.sip.message import Headers, SipRequest, SipResponse
from tests.support.calls import Lab, play, sdp
from tests.support.peer import Pairs

ASKS: Pairs = [("P-Early-Media", "supported")]


@pytest.mark.parametrize(
    ("values", "heard"),
    [
        ([], True),
        (["supported"], True),
        (["sendrecv"], True),
        (["SendOnly; x=y"], True),
        (["inactive"], False),
        (["recvonly, gated"], False),
        (["inactive, sendonly"], True),  # one for each stream
    ],
)
def test_the_callees_network_may_forbid_early_media(values: list[str], heard: bool) -> None:
    headers = Headers([("P-Early-Media", value) for value in values])
    assert may_be_heard(SipResponse(183, "Session Progress", headers, b"")) == heard


def test_only_a_network_that_asks_gets_an_authorisation() -> None:
    assert authorisation(SipRequest("INVITE", "sip:x", Headers(ASKS)), "sendonly") == [("P-Early-Media", "sendonly")]
    assert authorisation(SipRequest("INVITE", "sip:x"), "sendonly") == []


@pytest.mark.parametrize("asks", [ASKS, ()])
def test_relayed_early_media_is_authorised_both_ways(asks: Pairs) -> None:
    async def story(lab: Lab) -> None:
        lab.dial(headers=asks)
        invite = await lab.callee.receive_request("INVITE")
        assert invite.headers.get("P-Early-Media") == "supported"
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        progress = await lab.caller.receive_response(183, ignoring=(100,))
        assert progress.headers.get("P-Early-Media") == ("sendrecv" if asks else None)
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


def test_our_own_tone_is_authorised_towards_the_caller() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, caller_ringback="waiting")
        lab.dial(headers=ASKS)
        invite = await lab.ring()
        progress = await lab.caller.receive_response(183, ignoring=(100,))
        assert progress.headers.get("P-Early-Media") == "sendonly"
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


def test_early_media_that_is_forbidden_is_not_heard_and_its_180_is_a_180() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        forbidden = [("P-Early-Media", "inactive")]
        for status in (183, 180):
            lab.callee.send(lab.callee.response(invite, status, headers=forbidden, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive(180, ignoring=(100,))
        assert "connect" not in lab.media.verbs()
        lab.callee.send(lab.callee.response(invite, 200))  # the answer that came early still counts
        await lab.callee.receive("ACK")
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)
