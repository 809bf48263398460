"""Hold, resume and other re-offers in the talk, asked for by either side (RFC 3261 14, RFC 3311, RFC 3264 8.4)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.calls import CALLER, SWITCH, Lab, play, sdp
from tests.support.pair import MIRROR, Pair, both_sides


@both_sides
@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_hold_and_resume(side: str, direction: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask(direction)
        await pair.tell(direction)
        ok = await pair.answered()
        assert f"a={MIRROR[direction]}\r\n".encode() in ok.body
        assert pair.mine.remote is not None and not pair.mine.remote.sending
        assert pair.theirs.remote is not None and not pair.theirs.remote.receiving
        await asyncio.sleep(30)
        pair.ask("sendrecv")
        await pair.tell("sendrecv")
        assert b"a=sendrecv\r\n" in (await pair.answered()).body
        assert pair.mine.remote.sending and pair.mine.remote.receiving
        assert pair.theirs.remote.sending and pair.theirs.remote.receiving
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


@both_sides
def test_a_hold_before_there_was_anybody_to_tell_is_told_when_the_talk_begins(side: str) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, announcement=None)
        lab.dial(body=b"")
        await lab.pick_up(await lab.ring())
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        if side == "callee":
            pair = Pair(lab, side)
            pair.ask("sendonly")
            await pair.answered()
        body = sdp("10.0.0.9", direction="sendonly" if side == "caller" else "")
        lab.caller.send(lab.caller.ack(ok, body=body))
        pair = Pair(lab, side)
        await pair.tell("sendonly")
        assert pair.mine.remote is not None and not pair.mine.remote.sending
        assert pair.theirs.remote is not None and not pair.theirs.remote.receiving
        await lab.hang_up()

    play(story)


def test_what_the_caller_is_offered_anew_has_the_callers_own_numbers() -> None:
    """RFC 3264 8.3.2: 102 is its Opus, and can't become events of ours."""

    async def story(lab: Lab) -> None:
        lab.set_trunk("in", codecs=("opus", "PCMA"))
        opus = b"a=rtpmap:102 opus/48000/2\r\na=rtpmap:103 telephone-event/48000\r\n"
        lab.dial(body=sdp("10.0.0.9", codecs="102 8 103") + opus)
        await lab.pick_up(await lab.ring())
        await lab.caller_answered()
        await asyncio.sleep(5)
        pair = Pair(lab, "callee")
        pair.ask("sendonly")
        invite = await pair.tell("sendonly")
        assert b" RTP/AVP 102 8 101 103\r\n" in invite.body and opus[:27] in invite.body
        await pair.answered()
        await lab.hang_up()

    play(story)


def test_hold_as_rfc_2543_knew_it() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, "caller")
        lab.caller.send(lab.caller.request("INVITE", body=sdp("0.0.0.0", version=2)))
        await pair.tell("sendonly")
        await pair.answered()
        assert pair.mine.remote is not None and not pair.mine.remote.sending
        await lab.hang_up()

    play(story)


@both_sides
def test_hold_by_update(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly", "UPDATE")
        await pair.tell("sendonly")
        assert b"a=recvonly\r\n" in (await pair.answered()).body
        await lab.hang_up()

    play(story)


@both_sides
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_or_a_new_address_is_this_legs_own_affair(side: str, method: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        body = sdp(pair.asks.address[0], 45678, version=5)
        pair.asks.send(pair.asks.request(method, body=body))
        await pair.answered()
        assert pair.mine.remote is not None and pair.mine.remote.port == 45678
        await pair.told.silence(1)
        await lab.hang_up()

    play(story)


@both_sides
def test_an_update_without_a_body_only_refreshes_even_behind_a_slow_reinvite(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        first = pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        pair.asks.send(pair.asks.request("UPDATE"))
        ok = await pair.asks.receive_response(200, ignoring=(100,))
        assert (ok.cseq.method, ok.body) == ("UPDATE", b"")
        pair.told.send(pair.told.response(invite, 200, body=pair.body(pair.told, "recvonly")))
        await pair.told.receive("ACK")
        ok = await pair.answered()
        assert ok.cseq.number == first.cseq.number
        await lab.hang_up()

    play(story)


@both_sides
def test_a_reinvite_without_an_offer_gets_ours_and_tells_the_other_only_what_changed(side: str) -> None:
    """RFC 3261 14.2: the 200 makes the offer, the ACK brings the answer."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.asks.send(pair.asks.request("INVITE"))
        ok = await pair.asks.receive_response(200, ignoring=(100,))
        assert b"m=audio" in ok.body and b"a=sendrecv" in ok.body
        pair.asks.send(pair.asks.ack(ok, body=pair.body(pair.asks)))
        await pair.told.silence(1)
        pair.asks.send(pair.asks.request("INVITE"))
        ok = await pair.asks.receive_response(200, ignoring=(100,))
        pair.asks.send(pair.asks.ack(ok, body=pair.body(pair.asks, "sendonly")))
        await pair.tell("sendonly")
        assert pair.mine.remote is not None and not pair.mine.remote.sending
        await lab.hang_up()

    play(story)


def test_a_late_ack_of_the_first_200_is_not_taken_as_the_answer_to_an_offer_made_since() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, announcement=None)
        lab.dial()
        await lab.pick_up(await lab.ring())
        lab.wire.lose("ACK")
        await lab.caller_answered()
        lab.caller.send(lab.caller.request("INVITE"))  # without an offer: asks for ours
        second = await lab.caller.receive_response(200, ignoring=(100,))
        first = await lab.caller.receive_response(200)  # again, for want of its ACK
        assert (first.cseq.number, second.cseq.number) == (1, 2)
        lab.caller.send(lab.caller.ack(first))
        lab.caller.send(lab.caller.ack(second, body=sdp("10.0.0.9", 45678, version=2)))
        await asyncio.sleep(1)
        assert lab.caller.pending() == [200]  # the second one's turn to be repeated came in that moment too
        remote = lab.endpoints()[0].remote
        assert remote is not None and remote.port == 45678
        await lab.hang_up()

    play(story)


@both_sides
def test_a_late_answer_to_our_offer_is_not_taken_once_the_other_side_has_made_its_own(side: str) -> None:
    """The ACK with the answer got lost, and the phone moved before our 200 came again and brought another."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        phone = pair.asks
        phone.send(phone.request("INVITE"))  # without an offer: asks for ours
        first = await phone.receive_response(200, ignoring=(100,))
        phone.send(phone.request("INVITE", body=sdp(phone.address[0], 45678, version=9)))
        second = await phone.receive_response(200, ignoring=(100,))
        phone.send(phone.ack(second))
        phone.send(phone.ack(first, body=sdp(phone.address[0], 42000, direction="sendonly", version=8)))
        await asyncio.sleep(1)
        assert pair.mine.remote is not None and pair.mine.remote.port == 45678
        assert pair.told.pending() == []  # nor is a hold passed on that is over
        await lab.hang_up()

    play(story)


def test_nobody_is_asked_before_it_has_acknowledged_our_200() -> None:
    """RFC 3261 14.1: the caller's phone still rings, so to say."""

    async def story(lab: Lab) -> None:
        lab.change(lab.axb, announcement=None)
        lab.dial()
        invite = await lab.ring()
        lab.wire.lose("200", source=SWITCH)
        await lab.pick_up(invite)
        await asyncio.sleep(0.1)
        pair = Pair(lab, "callee")
        pair.ask("sendonly")
        await asyncio.sleep(0.3)
        assert [sent.at for sent in lab.wire.sent("INVITE", source=SWITCH) if sent.destination == CALLER] == []
        await lab.caller_answered()
        await pair.tell("sendonly")
        await pair.answered()
        await lab.hang_up()

    play(story)


@both_sides
def test_nobody_is_asked_before_it_has_acknowledged_our_200_to_its_own_asking(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair, other = Pair(lab, side), Pair(lab, "callee" if side == "caller" else "caller")
        pair.ask("sendonly")
        await pair.tell("sendonly")
        ok = await pair.asks.receive_response(200, ignoring=(100,))
        other.ask("inactive")
        await pair.asks.silence(0.4)
        pair.asks.send(pair.asks.ack(ok))
        await other.tell("inactive")
        await other.answered()
        await lab.hang_up()

    play(story)


@both_sides
def test_who_only_listens_because_the_other_holds_does_not_hold_it(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly")
        await pair.answered()
        pair.told.send(pair.told.request("INVITE"))  # without an offer: asks for ours
        ok = await pair.told.receive_response(200, ignoring=(100,))
        assert b"a=sendonly\r\n" in ok.body
        pair.told.send(pair.told.ack(ok, body=pair.body(pair.told, "recvonly")))
        await pair.asks.silence(1)
        pair.ask("sendrecv")
        await pair.tell("sendrecv")
        await pair.answered()
        pair.ask("sendrecv")  # a refresh
        assert b"a=sendrecv\r\n" in (await pair.answered()).body
        assert pair.mine.remote is not None and pair.mine.remote.sending
        await lab.hang_up()

    play(story)


@both_sides
def test_a_late_answer_that_is_no_answer_ends_the_call(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.asks.send(pair.asks.request("INVITE"))
        ok = await pair.asks.receive_response(200, ignoring=(100,))
        pair.asks.send(pair.asks.ack(ok))
        await lab.answer_bye(pair.asks)
        await lab.answer_bye(pair.told)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by) == (7505 if side == "caller" else 7506, side)

    play(story)


@both_sides
@pytest.mark.parametrize(("refused", "answered"), [(488, 488), (606, 606), (500, 488), (403, 488)])
def test_what_the_other_side_refuses_is_refused_and_changes_nothing(side: str, refused: int, answered: int) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly", refused)
        await pair.answered(answered)
        assert pair.mine.remote is not None and pair.mine.remote.sending
        pair.ask("sendonly")  # still a change
        await pair.tell("sendonly")
        await pair.answered()
        await lab.hang_up()

    play(story)


@both_sides
def test_an_offer_that_nobody_can_take_is_488_and_the_other_side_hears_nothing_of_it(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.asks.send(pair.asks.request("INVITE", body=sdp(pair.asks.address[0], codecs="18", direction="sendonly")))
        assert (await pair.answered(488)).headers.all("Warning")[0].startswith("305 softswitch ")
        pair.asks.send(pair.asks.request("INVITE", body=b"nonsense"))
        await pair.answered(400)
        await pair.told.silence(1)
        await lab.hang_up()

    play(story)


@both_sides
def test_a_useless_answer_of_the_other_side_refuses_the_hold_and_leaves_its_media_as_it_was(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        before = pair.theirs.remote
        for useless in (b"nonsense", sdp("10.0.0.21", 0)):
            pair.ask("sendonly")
            invite = await pair.told.receive_request("INVITE")
            pair.told.send(pair.told.response(invite, 200, body=useless))
            await pair.told.receive("ACK")
            await pair.answered(488)
        assert before is not None and pair.theirs.remote is not None
        assert pair.theirs.remote.sending and pair.theirs.remote.receiving
        await lab.hang_up()

    play(story)


def test_other_requests_are_refused_each_in_its_way() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        for phone, other in ((lab.caller, lab.callee), (lab.callee, lab.caller)):
            phone.send(phone.request("REFER", headers=[("Refer-To", "<sip:+8613700000009@10.0.0.9>")]))
            await phone.receive_response(603)
            phone.send(phone.request("MESSAGE", body=b"hello", content_type="text/plain"))
            refused = await phone.receive_response(405)
            assert "INFO" in (refused.headers.get("Allow") or "") and "REFER" not in (
                refused.headers.get("Allow") or ""
            )
            phone.send(phone.request("INFO", body=b"<x/>", content_type="application/media_control+xml"))
            await phone.receive_response(415)
            phone.send(phone.request("INFO"))
            await phone.receive_response(200)
            phone.send(phone.request("OPTIONS"))
            await phone.receive_response(200)
            await other.silence(0.5)
        await lab.hang_up()

    play(story)
