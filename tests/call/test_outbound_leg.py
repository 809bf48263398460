"""A callee's leg: what several forks say before one of them answers (RFC 3261 13.2), how far our INVITE may go."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.call.outbound_leg import MOST_WAITING, OutboundLeg
from softswitch.sip.message import SipRequest, SipResponse, parse_message
from softswitch.sip.user_agent import UserAgent
from tests.support.calls import Lab, play, sdp


async def two_early_dialogs(lab: Lab) -> SipRequest:
    """Both forks of the callee's INVITE send early media, the second last."""
    lab.dial()
    invite = await lab.callee.receive_request("INVITE")
    for tag, port in (("one", 41000), ("two", 42000)):
        lab.callee.send(lab.callee.response(invite, 183, tag=tag, body=sdp("10.0.0.21", port)))
    await asyncio.sleep(0.1)
    return invite


def port_of_the_callee(lab: Lab) -> int:
    remote = lab.endpoints()[1].remote
    assert remote is not None
    return remote.port


@pytest.mark.parametrize(("tag", "port"), [("one", 41000), ("two", 42000)])
def test_a_200_without_an_answer_takes_that_of_its_own_fork(tag: str, port: int) -> None:
    """RFC 3261 13.2.2.4: each early dialog has its own answer; the media goes where the one that answered wants it."""

    async def story(lab: Lab) -> None:
        invite = await two_early_dialogs(lab)
        assert port_of_the_callee(lab) == 42000
        lab.callee.tag = tag
        await lab.pick_up(invite, body=b"")
        assert port_of_the_callee(lab) == port
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


def test_a_200_without_an_answer_of_a_fork_that_never_gave_one_is_useless() -> None:
    async def story(lab: Lab) -> None:
        invite = await two_early_dialogs(lab)
        lab.callee.tag = "three"
        lab.callee.send(lab.callee.response(invite, 200))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        invite = await lab.second.receive_request("INVITE")
        lab.second.send(lab.second.response(invite, 486))
        await lab.refused(486)

    play(story)


def test_forks_without_end_are_not_remembered() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        for number in range(20):
            lab.callee.send(lab.callee.response(invite, 183, tag=f"fork-{number}", body=sdp("10.0.0.21", 41000)))
        await asyncio.sleep(0.1)
        lab.callee.tag = "fork-19"
        lab.callee.send(lab.callee.response(invite, 200))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200, ignoring=(100, 183))
        await lab.refused(487)
        await lab.second.receive("INVITE")

    play(story)


@pytest.mark.parametrize(("came", "goes"), [("30", "29"), ("1", "0"), ("255", "70"), ("", "70")])
def test_the_callees_invite_may_go_one_hop_less_far_than_the_callers(came: str, goes: str) -> None:
    """RFC 7332 4: a call that others send back to us must come to its end."""

    async def story(lab: Lab) -> None:
        invite = lab.caller.invite(
            f"sip:{lab.axb.x}@10.0.0.1", from_=f"<sip:{lab.axb.a}@10.0.0.9>", body=sdp("10.0.0.9")
        )
        invite.headers.remove("Max-Forwards")
        if came:
            invite.headers.add("Max-Forwards", came)
        lab.caller.send(invite, to=("10.0.0.1", 5060))
        forwarded = await lab.callee.receive_request("INVITE")
        assert forwarded.headers.all("Max-Forwards") == [goes]
        lab.callee.send(lab.callee.response(forwarded, 486))
        await lab.refused(486)

    play(story)


def test_a_flood_of_provisional_responses_does_not_pile_up() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        await asyncio.sleep(0.1)
        (record,) = lab.registry
        assert isinstance(record.b, OutboundLeg)
        for _ in range(1000):
            record.b.on_provisional(parsed_response(lab.callee.response(invite, 180)))
        assert len(record.b.responses) == MOST_WAITING
        await lab.pick_up(invite)
        await lab.caller_answered()
        await lab.hang_up()

    play(story)


def parsed_response(response: SipResponse) -> SipResponse:
    message = parse_message(response.encode())
    assert isinstance(message, SipResponse)
    return message


def test_an_answer_of_which_nothing_can_be_read_is_acknowledged_and_ended() -> None:
    """RFC 3261 13.2.2.4: every 2xx gets its ACK."""

    async def story(lab: Lab) -> None:
        lab.dial()
        ok = lab.callee.response(await lab.ring(), 200, body=sdp("10.0.0.21", 41000))
        ok.headers.set("Content-Type", "multipart/mixed; bound ary=cut")
        lab.callee.send(ok)
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.callee)
        await lab.refused(502)

    play(story)


def test_an_ack_of_which_nothing_can_be_read_is_one() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.pick_up(await lab.ring())
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        ack = lab.caller.ack(ok, body=b"--cut--")
        ack.headers.set("Content-Type", "multipart/mixed; bound ary=cut")
        lab.caller.send(ack)
        await asyncio.sleep(40)  # 64*T1 are over
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


@pytest.mark.parametrize("body", [b"", sdp("10.0.0.21", 41000)])
def test_an_update_of_the_callee_before_its_answer_outlasts_what_its_200_repeats(body: bytes) -> None:
    """RFC 3261 13.2.1, RFC 3311 5.1: so a network goes from its own tune to the callee's phone."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        reliably = [("Require", "100rel"), ("RSeq", "5")]
        lab.callee.send(lab.callee.response(invite, 183, headers=reliably, body=sdp("10.0.0.21", 41000)))
        lab.callee.send(lab.callee.response(await lab.callee.receive_request("PRACK"), 200))
        lab.callee.send(lab.callee.request("UPDATE", body=sdp("10.0.0.21", 45000, version=2)))
        await lab.callee.receive(200)
        lab.callee.send(lab.callee.response(invite, 180, body=body))
        await lab.pick_up(invite, body=body)
        await lab.caller_answered()
        await asyncio.sleep(2)
        remote = lab.endpoints()[1].remote
        assert remote is not None and remote.port == 45000
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    lab = Lab()
    lab.user_agent = UserAgent(transport_factory=lab.wire.open, supported=["100rel"])
    play(story, lab)


def test_an_update_of_one_fork_says_nothing_of_another_that_answers() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive(183, ignoring=(100,))
        lab.callee.send(lab.callee.request("UPDATE", body=sdp("10.0.0.21", 45000, version=2)))
        await lab.callee.receive(200)
        lab.callee.send(lab.callee.response(invite, 200, tag="other", body=sdp("10.0.0.21", 46000)))
        await lab.callee.receive("ACK")
        await lab.caller_answered()
        remote = lab.endpoints()[1].remote
        assert remote is not None and remote.port == 46000
        await asyncio.sleep(2)
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive(200)
        lab.callee.send(lab.callee.response(await lab.callee.receive_request("BYE"), 200, tag="other"))

    play(story)


def asked_by(lab: Lab, tag: str, port: int, direction: str = "") -> SipRequest:
    """A fork's own offer, by UPDATE."""
    lab.callee.tag = tag
    update = lab.callee.request("UPDATE", body=sdp("10.0.0.21", port, version=2, direction=direction))
    update.headers.set("From", f"{lab.callee.local.partition(';tag=')[0]};tag={tag}")
    return update


@pytest.mark.parametrize(("tag", "port", "told"), [("one", 43000, "recvonly"), ("two", 44000, "")])
def test_each_fork_may_move_its_media_before_one_answers(tag: str, port: int, told: str) -> None:
    """RFC 3311 5.1: a network's own tune and the phone are two early dialogs; what one says counts for that alone."""

    async def story(lab: Lab) -> None:
        invite = await two_early_dialogs(lab)
        lab.callee.response(invite, 180)  # its side of the dialog
        lab.callee.send(asked_by(lab, "three", 45000))
        await lab.callee.receive(481)  # nobody who has rung
        lab.callee.send(lab.callee.response(invite, 180, tag="three"))
        lab.callee.send(asked_by(lab, "three", 45000))
        await lab.callee.receive(491)  # it has yet to answer our offer (5.2)
        for fork, at, direction in (("one", 43000, "sendonly"), ("two", 44000, "")):
            lab.callee.send(asked_by(lab, fork, at, direction))
            await lab.callee.receive(200)
            assert port_of_the_callee(lab) == at
        lab.callee.tag = tag
        await lab.pick_up(invite, body=b"")
        await lab.caller_answered()
        assert port_of_the_callee(lab) == port
        if told:  # the one that holds the caller has answered
            hold = await lab.caller.receive_request("INVITE")
            assert b"a=sendonly" in hold.body
            lab.caller.send(lab.caller.response(hold, 200, body=sdp("10.0.0.9", direction=told)))
            await lab.caller.receive("ACK")
        await asyncio.sleep(2)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)
