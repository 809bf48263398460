"""RFC 4028 on each leg of a call by itself: signs of life, and the end where there are none."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.message import SipRequest
from softswitch.sip.timing import Timing
from softswitch.sip.user_agent import UserAgent
from tests.support.calls import STRANGER, X_AXE, Lab, play, sdp
from tests.support.pair import Pair, both_sides
from tests.support.peer import Pairs, Peer

KNOWS = ("Supported", "timer")
TAKES_UPDATE = ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE")
DAY: Pairs = [KNOWS, ("Session-Expires", "86400;refresher=uac")]


def timed() -> Lab:
    lab = Lab()
    timing = Timing(session_expires=86400)
    lab.user_agent = UserAgent(transport_factory=lab.wire.open, supported=["timer"], timing=timing)
    return lab


async def talk(lab: Lab, side: str, headers: Pairs) -> Pair:
    """The call up to the talk; `side` says these headers, the other has no timer to speak of."""
    for phone in (lab.caller, lab.callee):
        phone.patience = 1000
    lab.dial(headers=headers if side == "caller" else DAY)
    invite = await lab.ring()
    said = headers if side == "callee" else ()
    lab.callee.send(lab.callee.response(invite, 200, headers=said, body=sdp("10.0.0.21", 41000)))
    await lab.callee.receive("ACK")
    await lab.caller_answered()
    await asyncio.sleep(2)
    return Pair(lab, side)


def ours(side: str, seconds: int = 600) -> Pairs:
    """What `side` says so that we are the ones who refresh."""
    return [KNOWS, ("Session-Expires", f"{seconds};refresher={'uas' if side == 'caller' else 'uac'}")]


def theirs(side: str, seconds: int = 600) -> Pairs:
    """What `side` says so that it is the one who refreshes."""
    return [KNOWS, ("Session-Expires", f"{seconds};refresher={'uac' if side == 'caller' else 'uas'}")]


def refreshed(phone: Peer, request: SipRequest) -> None:
    body = sdp(phone.address[0], 41000) if request.method == "INVITE" else b""
    phone.send(phone.response(request, 200, headers=[("Session-Expires", "600;refresher=uac")], body=body))


@both_sides
def test_a_side_that_gives_no_sign_of_life_ends_the_call_before_its_session_expires(side: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, theirs(side, 300))
        before = asyncio.get_running_loop().time()
        for phone in (lab.callee, lab.caller):
            bye = await lab.answer_bye(phone)
            assert "cause=102" in (bye.headers.get("Reason") or "")
        assert asyncio.get_running_loop().time() - before == pytest.approx(266, abs=1)  # 300 less 32 (10) less the talk
        assert pair.asks is not pair.told
        assert ((await lab.cdr()).ended_by, (await lab.cdr()).cause) == (side, 102)

    play(story, timed())


@both_sides
@pytest.mark.parametrize("rtp_goes_on_s", [0, 30])
def test_who_was_gone_before_the_session_expired_has_talked_until_the_last_sign_of_life(
    side: str, rtp_goes_on_s: int
) -> None:
    """Call treatment, "signalling dead": that was a message, or RTP, whose silence media tells 60 s late."""

    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, theirs(side, 300))
        await asyncio.sleep(100)
        pair.asks.send(pair.asks.request("UPDATE", headers=[KNOWS, ("Session-Expires", "300;refresher=uac")]))
        await pair.answered()
        gone_at = lab.now() + rtp_goes_on_s
        await asyncio.sleep(59.8 + rtp_goes_on_s)
        pair.mine.fall_silent()
        for phone in (lab.callee, lab.caller):
            await lab.answer_bye(phone)
        cdr = await lab.cdr()
        assert cdr.ended_at == pytest.approx(gone_at, abs=0.3)
        assert cdr.answered_at is not None
        ((*_, talk_s),) = lab.metrics.ended
        assert talk_s == pytest.approx(gone_at - cdr.answered_at, abs=0.3)

    play(story, timed())


@both_sides
def test_of_who_was_on_hold_when_it_went_only_messages_were_signs_of_life(side: str) -> None:
    """Call treatment, "signalling dead": nobody expects RTP of it, so that there is none says nothing."""

    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, theirs(side, 300))
        await asyncio.sleep(20)
        body = pair.body(pair.asks, "inactive")
        pair.asks.send(
            pair.asks.request("INVITE", headers=[KNOWS, ("Session-Expires", "300;refresher=uac")], body=body)
        )
        await pair.tell("inactive")
        await pair.answered()
        gone_at = lab.now()
        for phone in (lab.callee, lab.caller):
            await lab.answer_bye(phone)
        assert lab.now() - gone_at > 200
        assert (await lab.cdr()).ended_at == pytest.approx(gone_at, abs=0.3)

    play(story, timed())


@both_sides
def test_a_proxy_that_says_503_to_each_refresh_is_no_sign_of_life_of_the_phone(side: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, [*ours(side), TAKES_UPDATE])
        pair.mine.fall_silent()
        talked_until = lab.now()
        for _ in range(4):
            update = await pair.asks.receive_request("UPDATE")
            pair.asks.send(pair.asks.response(update, 503))
        for phone in (lab.callee, lab.caller):
            await lab.answer_bye(phone)
        assert (await lab.cdr()).ended_at == pytest.approx(talked_until, abs=2.5)

    play(story, timed())


@both_sides
def test_who_is_still_heard_when_the_session_expires_has_talked_until_then(side: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, theirs(side, 300))
        await asyncio.sleep(100)
        pair.mine.fall_silent()
        pair.mine.resume()
        await lab.answer_bye(lab.callee)
        ended_at = lab.now()
        await lab.answer_bye(lab.caller)
        assert (await lab.cdr()).ended_at == pytest.approx(ended_at, abs=0.3)

    play(story, timed())


@both_sides
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_side_that_refreshes_keeps_the_call_up_and_the_other_hears_nothing_of_it(side: str, method: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, theirs(side, 300))
        for _ in range(4):
            await asyncio.sleep(150)
            body = pair.body(pair.asks) if method == "INVITE" else b""
            timer = [KNOWS, ("Session-Expires", "300;refresher=uac")]
            pair.asks.send(pair.asks.request(method, headers=timer, body=body))
            assert (await pair.answered()).headers.get("Session-Expires") == "300;refresher=uac"
            await pair.told.silence(1)
        await lab.hang_up(pair.asks)

    play(story, timed())


@both_sides
def test_we_refresh_by_update_where_it_is_taken_and_the_other_side_hears_nothing_of_it(side: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, [*ours(side), TAKES_UPDATE])
        for _ in range(3):
            update = await pair.asks.receive_request("UPDATE")
            assert update.body == b""
            refreshed(pair.asks, update)
        await pair.told.silence(1)
        await lab.hang_up(pair.asks)

    play(story, timed())


@both_sides
def test_we_refresh_by_a_reinvite_where_update_is_not_taken(side: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, ours(side))
        for _ in range(3):
            invite = await pair.asks.receive_request("INVITE")
            assert b"a=sendrecv" in invite.body
            refreshed(pair.asks, invite)
            await pair.asks.receive("ACK")
        await pair.told.silence(1)
        await lab.hang_up(pair.asks)

    play(story, timed())


@both_sides
def test_a_refresh_during_a_hold_keeps_it(side: str) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, ours(side))
        other = Pair(lab, "callee" if side == "caller" else "caller")
        other.ask("sendonly")
        invite = await pair.asks.receive_request("INVITE")  # also a refresh: the time starts anew
        assert invite.headers.get("Session-Expires") == "600;refresher=uac"
        timer = ("Session-Expires", "600;refresher=uac")
        pair.asks.send(pair.asks.response(invite, 200, headers=[timer], body=other.body(pair.asks, "recvonly")))
        await pair.asks.receive("ACK")
        await other.answered()
        invite = await pair.asks.receive_request("INVITE")
        assert b"a=sendonly" in invite.body
        pair.asks.send(pair.asks.response(invite, 200, headers=[timer], body=other.body(pair.asks, "recvonly")))
        await pair.asks.receive("ACK")
        await pair.told.silence(1)
        await lab.hang_up(pair.asks)

    play(story, timed())


def test_a_refresh_that_crosses_a_hold_of_the_same_side_is_tried_again_after_491() -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, "callee", ours("callee"))
        refresh = await lab.callee.receive_request("INVITE")
        hold = pair.ask("sendonly")
        pending = await lab.callee.receive_response(491)
        lab.callee.send(lab.callee.ack(pending))
        lab.callee.send(lab.callee.response(refresh, 491))
        await lab.callee.receive("ACK")
        refresh = await lab.callee.receive_request("INVITE")
        refreshed(lab.callee, refresh)
        await lab.callee.receive("ACK")
        assert hold.cseq.number > 0
        await lab.hang_up()

    play(story, timed())


@both_sides
@pytest.mark.parametrize("status", [481, 408])
def test_a_refresh_that_finds_nobody_ends_the_call(side: str, status: int) -> None:
    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, [*ours(side), TAKES_UPDATE])
        update = await pair.asks.receive_request("UPDATE")
        pair.asks.send(pair.asks.response(update, status))
        await lab.answer_bye(pair.told)
        if status == 408:
            await lab.answer_bye(pair.asks)
        assert (await lab.cdr()).ended_by == side

    play(story, timed())


def test_a_refresh_that_crosses_a_bye_changes_nothing() -> None:
    async def story(lab: Lab) -> None:
        await talk(lab, "callee", ours("callee"))
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.request("BYE"))
        await lab.callee.receive(200)
        lab.callee.send(lab.callee.response(invite, 487))
        await lab.callee.receive("ACK")
        await lab.answer_bye(lab.caller)
        assert (await lab.cdr()).cause == 16

    play(story, timed())


@pytest.mark.parametrize("outcome", ["200", "488", "theirs", "gone"])
def test_before_there_is_a_callee_the_callers_leg_refreshes_itself(outcome: str) -> None:
    """While the caller keys an extension, a long tone plays, or the callee is rung."""

    async def story(lab: Lab) -> None:
        lab.caller.patience = 1000
        lab.dial(X_AXE, by=STRANGER, headers=[KNOWS, ("Session-Expires", "90;refresher=uas")])
        await lab.caller_answered()
        await asyncio.sleep(0.1)
        leg = next(iter(lab.user_agent.core.sessions.values()))
        assert leg.listener is not None
        if outcome == "theirs":
            lab.caller.send(lab.caller.request("INVITE", body=b""))
            await lab.caller.receive(200)
            leg.listener.on_refresh_due()  # their own INVITE, not yet acknowledged, is sign enough
            assert "INVITE" not in lab.caller.pending()
        else:
            leg.listener.on_refresh_due()
            invite = await lab.caller.receive_request("INVITE")
            if outcome == "gone":
                lab.caller.send(lab.caller.request("BYE"))
                await lab.caller.receive(200)
            if outcome == "488":
                lab.caller.send(lab.caller.response(invite, 488))
            else:
                body = sdp("10.0.0.9", 45000)
                lab.caller.send(lab.caller.response(invite, 200, body=body))
            await lab.caller.receive("ACK")
            if outcome != "gone":
                remote = lab.media.endpoints[0].remote
                assert remote is not None
                assert remote.port == (45000 if outcome == "200" else 40000)
        if outcome != "gone":
            lab.caller.send(lab.caller.request("BYE"))
            await lab.caller.receive(200, ignoring=(200,))

    play(story, timed())


def test_a_hold_waits_for_a_refresh_that_began_while_the_callee_rang() -> None:
    """RFC 3261 14.1: one INVITE at a time; the caller of an AXE call is answered long before the callee is."""

    async def story(lab: Lab) -> None:
        lab.change(lab.axe, announcement=None)
        for phone in (lab.caller, lab.callee):
            phone.patience = 100
        lab.dial(X_AXE, by=STRANGER, headers=ours("caller", 90))
        await lab.caller_answered()
        await asyncio.sleep(3)
        for digit in b"1234":
            lab.caller.send(lab.caller.request("INFO", body=bytes([digit]), content_type="application/dtmf"))
            await lab.caller.receive_response(200)
        invite = await lab.ring()
        refresh = await lab.caller.receive_request("INVITE")
        lab.caller.send(lab.caller.response(refresh, 100))
        await lab.pick_up(invite)
        await asyncio.sleep(1)
        pair = Pair(lab, "callee")
        pair.ask("sendonly")
        await asyncio.sleep(3)
        lab.caller.send(lab.caller.response(refresh, 200, body=sdp("10.0.0.9", 41000, version=2)))
        await lab.caller.receive("ACK")
        await pair.tell("sendonly")
        await pair.answered()
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story, timed())


@both_sides
def test_a_hold_that_meets_422_is_asked_again_with_a_longer_interval(side: str) -> None:
    """RFC 4028 7.4: also in mid-call somebody on the way may want fewer signs of life; one is enough for both ends."""

    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, DAY)
        pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        pair.told.send(pair.told.response(invite, 422, headers=[("Min-SE", "86401")]))
        await pair.told.receive("ACK")
        await pair.answered(488)  # more than a day is more than we follow: a refusal like any other
        pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        pair.told.send(pair.told.response(invite, 422, headers=[("Min-SE", "3600")]))
        await pair.told.receive("ACK")
        again = await pair.tell("sendonly")
        assert (again.headers.get("Min-SE"), again.body) == ("3600", invite.body)
        await pair.answered()
        await pair.told.silence(30)
        await lab.hang_up()

    lab = Lab()
    lab.user_agent = UserAgent(transport_factory=lab.wire.open, supported=["timer"])
    play(story, lab)


@both_sides
def test_a_hold_that_meets_422_is_repeated_alone_where_update_is_taken_too(side: str) -> None:
    """The repeated re-INVITE is sign of life enough: an UPDATE beside it says nothing and may be taken for glare."""

    async def story(lab: Lab) -> None:
        pair = await talk(lab, side, [*DAY, TAKES_UPDATE])
        pair = Pair(lab, "callee" if side == "caller" else "caller")
        pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        pair.told.send(pair.told.response(invite, 422, headers=[("Min-SE", "3600")]))
        await pair.told.receive("ACK")
        await pair.tell("sendonly")
        await pair.answered()
        await pair.told.silence(30)
        await lab.hang_up()

    lab = Lab()
    lab.user_agent = UserAgent(transport_factory=lab.wire.open, supported=["timer"])
    play(story, lab)


def test_a_refresh_before_the_talk_that_is_repeated_after_422_holds_up_what_the_callee_wishes_then() -> None:
    """RFC 3261 14.1: no re-INVITE while another one is under way; the callee's hold waits for the answer to ours."""

    async def story(lab: Lab) -> None:
        for phone in (lab.caller, lab.callee):
            phone.patience = 1000
        lab.dial(X_AXE, by=STRANGER, headers=ours("caller", 90))
        await lab.caller_answered()
        await asyncio.sleep(1)
        lab.media.endpoints[0].press("1234")
        ringing = await lab.ring()
        first = await lab.caller.receive_request("INVITE")
        lab.caller.send(lab.caller.response(first, 422, headers=[("Min-SE", "100")]))
        await lab.caller.receive("ACK")
        again = await lab.caller.receive_request("INVITE")
        await lab.pick_up(ringing)
        await asyncio.sleep(0.1)
        pair = Pair(lab, "callee")
        pair.ask("sendonly")
        await asyncio.sleep(0.1)
        refreshed(lab.caller, again)
        await lab.caller.receive("ACK")
        await pair.tell("sendonly")
        await pair.answered()
        await asyncio.sleep(2)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    lab = Lab()
    lab.user_agent = UserAgent(transport_factory=lab.wire.open, supported=["timer"])
    play(story, lab)
