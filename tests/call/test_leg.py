"""The two legs: offers early, late and useless; acknowledgements that never come; requests in an early dialog."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.call.hangup import GONE
from softswitch.call.outbound_leg import OutboundLeg
from softswitch.sip.message import SipResponse
from tests.support.calls import FIRST, STRANGER, SWITCH, X_AXE, Lab, play, sdp


async def late_offer(lab: Lab) -> SipResponse:
    """A call whose INVITE brought no offer, up to the 200 that brings ours."""
    lab.dial(body=b"")
    invite = await lab.ring()
    await lab.pick_up(invite)
    return await lab.caller.receive_response(200, ignoring=(100, 180))


def test_an_invite_without_an_offer_gets_ours_in_the_200() -> None:
    """RFC 3261 13.2.1, 13.3.1.4: the ACK brings the answer; nobody hears anything before it is here."""

    async def story(lab: Lab) -> None:
        ok = await late_offer(lab)
        assert b"m=audio" in ok.body and b"RTP/AVP 8 0 101" in ok.body
        await asyncio.sleep(0.2)
        assert lab.verbs("play", "record") == []
        lab.caller.send(lab.caller.ack(ok, body=sdp("10.0.0.9", 45000, codecs="0 101")))
        await asyncio.sleep(2)
        caller, callee = lab.endpoints()
        assert caller.remote is not None and (caller.remote.port, caller.remote.payload_type) == (45000, 0)
        assert caller.peer is callee
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.a.codec, cdr.b.codec) == (0, "PCMU", "PCMA")

    play(story)


def test_our_late_offer_names_the_callees_codec_first() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=b"")
        invite = await lab.ring()
        await lab.pick_up(invite, body=sdp("10.0.0.21", 41000, codecs="0 101"))
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        assert b"RTP/AVP 0 8 101" in ok.body
        lab.caller.send(lab.caller.ack(ok, body=sdp("10.0.0.9", codecs="0 101")))
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp("10.0.0.9", 0), sdp("10.0.0.9", codecs="18")])
def test_an_ack_without_a_usable_answer_ends_the_call(body: bytes) -> None:
    async def story(lab: Lab) -> None:
        ok = await late_offer(lab)
        lab.caller.send(lab.caller.ack(ok, body=body))
        bye = await lab.answer_bye(lab.caller)
        assert (bye.headers.get("Reason") or "").startswith("Q.850;cause=88;")
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (7505, "caller")
        assert lab.verbs("play", "connect") == []

    play(story)


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_hanging_up_while_the_late_answer_is_awaited(side: str) -> None:
    async def story(lab: Lab) -> None:
        await late_offer(lab)
        await asyncio.sleep(0.1)
        if side == "caller":
            lab.caller.send(lab.caller.request("BYE"))
            await lab.caller.receive_response(200)
            await lab.answer_bye(lab.callee)
        else:
            lab.callee.send(lab.callee.request("BYE"))
            await lab.callee.receive_response(200)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (0, side)
        assert cdr.answered_at is not None

    play(story)


@pytest.mark.parametrize("body", [b"", None])
def test_an_ack_that_never_comes_ends_both_legs_after_64_t1(body: bytes | None) -> None:
    """RFC 3261 13.3.1.4."""

    async def story(lab: Lab) -> None:
        lab.dial(body=body)
        invite = await lab.ring()
        await lab.pick_up(invite)
        await asyncio.sleep(33)
        bye = await lab.callee.receive_request("BYE")
        assert (bye.headers.get("Reason") or "").startswith("Q.850;cause=38;")
        lab.callee.send(lab.callee.response(bye, 200))
        assert set(lab.caller.pending()) == {100, 180, 200, "BYE"}
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (7505, "caller")

    play(story)


def test_who_never_acknowledged_and_is_not_heard_has_not_talked() -> None:
    """Call treatment, "signalling dead": its last sign of life, the INVITE, was before the callee's answer."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await asyncio.sleep(20)
        lab.endpoints()[0].fall_silent()
        await lab.pick_up(invite)
        await asyncio.sleep(33)
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert cdr.ended_at == cdr.answered_at

    play(story)


def test_who_never_answered_our_offer_has_not_talked() -> None:
    """Nothing was agreed on with it, so media expects no RTP of it and tells of no silence."""

    async def story(lab: Lab) -> None:
        await late_offer(lab)
        await lab.answer_bye(lab.callee)
        cdr = await lab.cdr()
        assert cdr.words == GONE["caller"].words
        assert cdr.ended_at == cdr.answered_at

    play(story)


def test_a_lost_ack_is_asked_for_again() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.pick_up(invite)
        lab.wire.lose("ACK")
        ok = await lab.caller_answered()
        again = await lab.caller.receive_response(200)
        assert again.body == ok.body
        lab.caller.send(lab.caller.ack(again))
        await lab.caller.silence(10)
        await lab.hang_up()

    play(story)


def test_a_callee_that_repeats_its_200_gets_its_ack_again() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        ok = lab.callee.response(invite, 200, body=sdp("10.0.0.21", 41000))
        lab.wire.lose("200", source=FIRST)
        lab.callee.send(ok)
        await lab.callee.silence(0.5)
        for _ in range(2):
            lab.callee.send(ok)
            await lab.callee.receive("ACK")
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert cdr.answered_at == pytest.approx(cdr.call_in_at + 0.5)

    play(story)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"nonsense", 400),
        (sdp("10.0.0.9", codecs="18"), 488),
        (sdp("10.0.0.9", 0), 488),
        (b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nt=0 0\r\nm=video 4000 RTP/AVP 96\r\n", 488),
    ],
)
def test_an_offer_that_nobody_can_take_bothers_nobody(body: bytes, status: int) -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=body)
        await lab.refused(status)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.sip_status) == (7505, status)
        assert lab.callee.pending() == []

    play(story)


def test_a_bad_offer_is_found_before_the_caller_is_asked_for_an_extension() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER, body=b"nonsense")
        await lab.refused(400)

    play(story)


def test_the_callers_codec_is_kept_where_the_callee_takes_another() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(body=sdp("10.0.0.9", codecs="0 101"))
        invite = await lab.ring()
        await lab.pick_up(invite, body=sdp("10.0.0.21", 41000, codecs="8 101"))
        ok = await lab.caller_answered()
        assert b"RTP/AVP 0 101" in ok.body
        await asyncio.sleep(2)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.a.codec, cdr.b.codec) == ("PCMU", "PCMA")

    play(story)


def test_an_update_before_the_offer_is_answered_is_500_where_that_was_theirs_and_491_where_it_was_ours() -> None:
    """RFC 3311 5.2."""

    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await lab.caller.receive_response(180, ignoring=(100,))
        lab.caller.send(lab.caller.request("UPDATE", body=sdp("10.0.0.9", 45000, version=2)))
        refused = await lab.caller.receive_response(500)
        assert 0 <= int(refused.headers.get("Retry-After") or -1) <= 10
        lab.caller.send(lab.caller.request("UPDATE"))
        await lab.caller.receive_response(200)
        lab.callee.send(lab.callee.request("UPDATE", body=sdp("10.0.0.21", 45000)))
        await lab.callee.receive_response(491)
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(2)
        await lab.hang_up()

    play(story)


def test_an_update_of_early_media_is_answered_by_its_own_leg() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive_response(183, ignoring=(100,))
        lab.callee.send(lab.callee.request("UPDATE", body=b"nonsense"))
        await lab.callee.receive_response(400)
        lab.callee.send(lab.callee.request("UPDATE", body=sdp("10.0.0.21", 43000, version=2)))
        answer = await lab.callee.receive_response(200)
        assert b"m=audio" in answer.body
        configured = [command.remote for command in lab.media.commands if command.verb == "configure"]
        assert configured[-1] is not None and configured[-1].port == 43000
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)

    play(story)


def test_digits_that_nobody_waits_for_are_dropped() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, 183, body=sdp("10.0.0.21", 41000)))
        await lab.caller.receive_response(183, ignoring=(100,))
        lab.endpoints()[1].press("5")
        lab.caller.send(lab.caller.cancel())
        await lab.caller.receive(200)
        await lab.refused(487)

    play(story)


def test_a_reinvite_without_an_offer_while_keying_is_answered_by_its_own_leg() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.caller.send(lab.caller.request("INVITE"))
        ok = await lab.caller.receive_response(200, ignoring=(100,))
        assert b"m=audio" in ok.body
        lab.caller.send(lab.caller.ack(ok, body=sdp("10.0.0.9", 45000, direction="sendonly")))
        await asyncio.sleep(0.1)
        [caller] = lab.media.endpoints
        assert caller.remote is not None and (caller.remote.port, caller.remote.sending) == (45000, False)
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)

    play(story)


def test_an_update_that_comes_before_the_answer_to_our_offer_is_491() -> None:
    """RFC 3311 5.2: the ACK that brings it was overtaken."""

    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.caller.send(lab.caller.request("INVITE"))
        ok = await lab.caller.receive_response(200, ignoring=(100,))
        ack = lab.caller.ack(ok, body=sdp("10.0.0.9", 45000))
        lab.caller.send(lab.caller.request("UPDATE", body=sdp("10.0.0.9", 46000, version=2)))
        await lab.caller.receive_response(491)
        lab.caller.send(ack)
        await asyncio.sleep(0.1)
        [caller] = lab.media.endpoints
        assert caller.remote is not None and caller.remote.port == 45000
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)

    play(story)


def test_the_version_of_our_description_grows_only_with_a_change() -> None:
    """RFC 3264 8."""

    async def story(lab: Lab) -> None:
        invite = await lab.establish()

        def origin(body: bytes) -> list[str]:
            return body.decode().split("o=")[1].split("\r\n")[0].split()

        async def offered(direction: str) -> bytes:
            lab.caller.send(lab.caller.request("INVITE", body=sdp("10.0.0.9", direction=direction, version=2)))
            request = await lab.callee.receive_request("INVITE")
            lab.callee.send(lab.callee.response(request, 200, body=sdp("10.0.0.21", 41000)))
            await lab.callee.receive("ACK")
            ok = await lab.caller.receive_response(200, ignoring=(100,))
            lab.caller.send(lab.caller.ack(ok))
            return request.body

        first, hold = origin(invite.body), origin(await offered("sendonly"))
        resume = origin(await offered("sendrecv"))
        assert first[1] == hold[1] == resume[1]
        assert [int(one[2]) - int(first[2]) for one in (first, hold, resume)] == [0, 1, 2]
        await lab.hang_up()

    play(story)


def test_the_cause_of_who_hangs_up_reaches_the_other_side() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.callee.send(lab.callee.request("BYE", headers=[("Reason", 'Q.850;cause=31;text="+8613900000002"')]))
        bye = await lab.answer_bye(lab.caller)
        assert bye.headers.get("Reason") == 'Q.850;cause=31;text="normal clearing"'
        cdr = await lab.cdr()
        assert (cdr.b.cause, cdr.ended_by) == (31, "callee")

    play(story)


def test_an_absurd_cause_does_not_keep_the_call_up() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.caller.send(lab.caller.request("BYE", headers=[("Reason", "Q.850;cause=" + "9" * 5000)]), to=SWITCH)
        await lab.caller.receive_response(200)
        bye = await lab.answer_bye(lab.callee)
        assert (bye.headers.get("Reason") or "").startswith("Q.850;cause=16;")

    play(story)


def test_a_callee_that_hangs_up_in_the_moment_of_its_answer() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, 200, body=sdp("10.0.0.21", 41000)))
        lab.callee.send(lab.callee.request("BYE"))
        await asyncio.sleep(1)
        assert set(lab.callee.pending()) == {"ACK", 200}
        assert (await lab.cdr()).ended_by == "callee"
        for status in lab.caller.pending():
            assert status in (100, 180, 200, "BYE", 480, 502)

    play(story)


def test_of_two_ends_at_once_the_first_stands() -> None:
    async def story(lab: Lab) -> None:
        ok = await late_offer(lab)
        lab.caller.send(lab.caller.ack(ok))  # without the answer, and the BYE right behind it
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        await lab.answer_bye(lab.callee)
        assert (await lab.cdr()).failure == 7505

    play(story)


def test_a_leg_that_never_began_can_be_hung_up_any_number_of_times() -> None:
    async def story(lab: Lab) -> None:
        leg = OutboundLeg("call", lab.media)
        assert not leg.started
        leg.hang_up()
        await leg.open_media()
        leg.hang_up()
        assert lab.verbs("close") == []
        assert leg.endpoint is not None
        leg.endpoint.close()

    play(story)
