"""Re-INVITEs that collide: with each other (491), with a CANCEL, with the end of the call (RFC 3261 14.1, 9.1, 15)."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.message import SipRequest
from tests.support.calls import Lab, play
from tests.support.pair import Pair, both_sides


@both_sides
def test_glare_is_waited_out(side: str) -> None:
    """RFC 3261 14.1: the owner of the Call-ID (that is us towards the callee) waits 2.1 to 4 s, the other 0 to 2 s."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly", 491)
        begin = asyncio.get_running_loop().time()
        await pair.tell("sendonly")
        waited = asyncio.get_running_loop().time() - begin
        assert 2.1 <= waited <= 4.0 if side == "caller" else waited <= 2.0
        await pair.answered()
        await lab.hang_up()

    play(story)


@both_sides
def test_glare_without_end_is_given_up(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        for _ in range(3):
            await pair.tell("sendonly", 491)
        await pair.answered(491)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


def test_both_sides_hold_at_once() -> None:
    """The second is told 491 and asks again: it is neither a crash nor a deadlock."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        one, two = Pair(lab, "caller"), Pair(lab, "callee")
        one.ask("sendonly")
        invite = await one.told.receive_request("INVITE")
        two.ask("sendonly")
        await two.answered(491)
        one.told.send(one.told.response(invite, 200, body=one.body(one.told, "recvonly")))
        await one.told.receive("ACK")
        await one.answered()
        two.ask("inactive")
        await two.tell("inactive")
        await two.answered()
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


@both_sides
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_who_asks_while_we_wait_after_its_491_is_served_and_then_asked_again(side: str, method: str) -> None:
    """RFC 3261 14.1: our INVITE is not in progress while it waits for its time, and its own retry comes first."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly", 491)
        pair.told.send(pair.told.request(method, body=pair.body(pair.told, "sendonly")))
        answer = await pair.told.receive_response(200, ignoring=(100,))
        assert b"a=recvonly\r\n" in answer.body
        if method == "INVITE":
            pair.told.send(pair.told.ack(answer))
        await pair.tell("sendonly")
        await pair.answered()
        told = await pair.asks.receive_request("INVITE")  # what the other side wants since
        assert b"a=sendonly\r\n" in told.body
        pair.asks.send(pair.asks.response(told, 200, body=pair.body(pair.asks, "inactive")))
        await pair.asks.receive("ACK")
        await pair.told.silence(40)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


@both_sides
def test_what_changes_nothing_is_answered_while_ours_waits_and_nobody_is_told(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly", 491)
        pair.told.send(pair.told.request("UPDATE", body=pair.body(pair.told)))
        await pair.told.receive_response(200)
        pair.told.send(pair.told.request("UPDATE", body=b"v=nonsense"))
        await pair.told.receive_response(400)
        await pair.tell("sendonly")
        await pair.answered()
        await pair.asks.silence(40)
        await lab.hang_up()

    play(story)


@both_sides
def test_ours_waits_for_the_ack_of_an_asking_without_an_offer_that_came_first(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly", 491)
        pair.told.send(pair.told.request("INVITE"))
        offer = await pair.told.receive_response(200, ignoring=(100,))
        await pair.told.silence(0.4)
        pair.told.send(pair.told.ack(offer, body=pair.body(pair.told)))
        await pair.tell("sendonly")
        await pair.answered()
        await pair.asks.silence(40)
        await lab.hang_up()

    play(story)


@both_sides
def test_a_hold_that_is_cancelled_while_it_waits_after_a_491_is_not_asked_again(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        hold = pair.ask("sendonly")
        await pair.tell("sendonly", 491)
        await cancelled(pair, hold)
        await pair.told.silence(40)
        await lab.hang_up()

    play(story)


def test_who_asks_before_we_have_sent_ours_is_served() -> None:
    """Both ask at once, and neither has heard of the other: ours is not on its way yet, so no one has to wait."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        one, two = Pair(lab, "caller"), Pair(lab, "callee")
        one.ask("sendonly")
        two.ask("inactive")
        await two.answered()
        await one.tell("sendonly")
        await one.answered()
        await two.tell("inactive")
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


@both_sides
def test_an_update_that_meets_our_offer_is_491(side: str) -> None:
    """RFC 3311 5.2."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        pair.told.send(pair.told.request("UPDATE", body=pair.body(pair.told, "sendonly")))
        await pair.told.receive_response(491)
        pair.told.send(pair.told.response(invite, 200, body=pair.body(pair.told, "recvonly")))
        await pair.told.receive("ACK")
        await pair.answered()
        await lab.hang_up()

    play(story)


@both_sides
def test_an_offer_on_the_heels_of_the_answer_to_ours_is_491(side: str) -> None:
    """We have not read that answer yet: taken after the new offer it would undo it."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        pair.told.send(pair.told.response(invite, 200, body=pair.body(pair.told, "recvonly")))
        pair.told.send(pair.told.request("UPDATE", body=pair.body(pair.told, "sendonly")))
        await pair.told.receive_response(491, ignoring=("ACK",))
        await pair.answered()
        await lab.hang_up()

    play(story)


def test_one_who_asks_twice_at_once_is_told_to_wait() -> None:
    """RFC 3311 5.2: its first offer is still without our answer."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, "caller")
        pair.ask("sendonly")
        pair.ask("sendrecv", "UPDATE")
        refused = await pair.asks.receive_response(500, ignoring=(100,))
        assert 0 <= int(refused.headers.get("Retry-After") or -1) <= 10
        await pair.tell("sendonly")
        await pair.answered()
        pair.ask("sendrecv", "UPDATE")
        await pair.tell("sendrecv")
        await pair.answered()
        await lab.hang_up()

    play(story)


async def cancelled(pair: Pair, request: SipRequest) -> None:
    """The one who asks thinks better of it (RFC 3261 9); no other INVITE may have been sent meanwhile."""
    pair.asks.invite_sent = request
    pair.asks.send(pair.asks.cancel())
    await pair.asks.receive_response(200, ignoring=(100,))
    await pair.answered(487)


@both_sides
def test_a_hold_that_is_cancelled_is_taken_back_at_the_other_side(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        hold = pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        await cancelled(pair, hold)
        pair.told.send(pair.told.response(invite, 200, body=pair.body(pair.told, "recvonly")))
        await pair.told.receive("ACK")
        await pair.tell("sendrecv")
        for endpoint in lab.endpoints():
            assert endpoint.remote is not None
            assert endpoint.remote.sending and endpoint.remote.receiving
        pair.ask("sendonly")  # it is a change, as before
        await pair.tell("sendonly")
        await pair.answered()
        await lab.hang_up()

    play(story)


@both_sides
def test_a_hold_that_is_cancelled_and_that_the_other_side_refuses_is_forgotten(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        hold = pair.ask("sendonly")
        invite = await pair.told.receive_request("INVITE")
        await cancelled(pair, hold)
        pair.told.send(pair.told.response(invite, 488))
        await pair.told.receive("ACK")
        await pair.told.silence(5)
        await lab.hang_up()

    play(story)


@both_sides
@pytest.mark.parametrize("direction", ["", "sendonly"])
def test_a_reinvite_that_is_cancelled_while_it_waits_its_turn_is_not_carried_out(side: str, direction: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        update = pair.asks.request("UPDATE", body=pair.body(pair.asks, "inactive"))
        pair.asks.send(update)
        invite = await pair.told.receive_request("INVITE")
        waiting = pair.asks.request("INVITE", body=pair.body(pair.asks, direction) if direction else b"")
        pair.asks.send(waiting)
        await cancelled(pair, waiting)
        pair.told.send(pair.told.response(invite, 200, body=pair.body(pair.told, "inactive")))
        await pair.told.receive("ACK")
        await pair.answered()
        await pair.told.silence(1)
        pair.ask("sendrecv")  # its ACK is not taken for the one of the cancelled
        await pair.tell("sendrecv")
        await pair.answered()
        await pair.told.silence(40)
        await lab.hang_up()

    play(story)


@both_sides
def test_hanging_up_while_a_hold_is_under_way(side: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.told.receive_request("INVITE")
        pair.told.send(pair.told.request("BYE"))
        await pair.told.receive_response(200)
        assert await pair.answered(487)
        await lab.answer_bye(pair.asks)
        assert (await lab.cdr()).failure == 0

    play(story)


@both_sides
@pytest.mark.parametrize("status", [481, 408])
def test_a_dialog_that_turns_out_dead_ends_the_call(side: str, status: int) -> None:
    """RFC 3261 12.2.1.2."""

    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, side)
        pair.ask("sendonly")
        await pair.tell("sendonly", status)
        await pair.answered(487)
        bye = await lab.answer_bye(pair.asks)
        assert (bye.headers.get("Reason") or "").startswith("Q.850;cause=38;")
        cdr = await lab.cdr()
        assert cdr.ended_by == ("callee" if side == "caller" else "caller")

    play(story)


def test_a_hold_that_is_never_answered_ends_the_call() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, "caller")
        pair.ask("sendonly")
        begin = asyncio.get_running_loop().time()
        await lab.caller.receive_response(100)
        await pair.answered(487)
        await lab.answer_bye(lab.caller)
        assert asyncio.get_running_loop().time() - begin == pytest.approx(32, abs=0.1)  # 64*T1
        assert "BYE" in lab.callee.pending()
        assert (await lab.cdr()).ended_by == "callee"

    play(story)


def test_a_hold_of_which_nothing_but_100_is_heard_ends_the_call() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        pair = Pair(lab, "caller")
        pair.ask("sendonly")
        hold = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(hold, 100))
        await lab.caller.receive_response(100)
        lab.caller.patience = 210
        await pair.answered(487)
        await lab.answer_bye(lab.caller)
        await lab.answer_bye(lab.callee)
        assert (await lab.cdr()).ended_by == "callee"

    play(story)
