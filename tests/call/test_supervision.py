"""The clock of an answered call: exact to 100 ms from the callee's answer, whatever happens in between."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.calls import PROMPT_LENGTHS, STRANGER, X_AXE, Lab, play, sdp
from tests.support.peer import Peer


def now() -> float:
    return asyncio.get_running_loop().time()


async def time_is_up(lab: Lab) -> float:
    """Both are hung up on; returns when."""
    bye = await lab.answer_bye(lab.caller)
    at = now()
    assert bye.headers.get("Reason") == 'Q.850;cause=102;text="maximum duration reached"'
    await lab.answer_bye(lab.callee)
    assert now() == at
    return at


async def renegotiated(asks: Peer, told: Peer, direction: str) -> None:
    asks.send(asks.request("INVITE", body=sdp(asks.address[0], direction=direction, version=int(now()) + 2)))
    invite = await told.receive_request("INVITE")
    told.send(told.response(invite, 200, body=sdp(told.address[0], 41000, version=int(now()) + 2)))
    await told.receive("ACK")
    ok = await asks.receive_response(200, ignoring=(100,))
    asks.send(asks.ack(ok))


def test_the_talk_ends_at_its_maximum_counted_from_the_callees_answer() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=90)
        lab.dial()
        invite = await lab.ring()
        await asyncio.sleep(20)
        answered = now()
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(10)
        await renegotiated(lab.caller, lab.callee, "sendonly")
        await asyncio.sleep(10)
        await renegotiated(lab.caller, lab.callee, "sendrecv")
        await asyncio.sleep(10)
        await renegotiated(lab.callee, lab.caller, "sendonly")
        assert await time_is_up(lab) - answered == pytest.approx(90.0, abs=0.1)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.cause) == (8010, "switch", 102)
        assert cdr.answered_at is not None and cdr.ended_at is not None
        assert cdr.ended_at - cdr.answered_at == pytest.approx(90.0, abs=0.1)

    play(story)


@pytest.mark.parametrize("set_by_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_in_mid_call_changes_neither_the_talk_nor_what_its_record_says(set_by_s: float) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=30)
        lab.dial()
        began = lab.now()
        invite = await lab.ring()
        lab.epoch += set_by_s
        await lab.pick_up(invite)
        await lab.caller_answered()
        lab.epoch += set_by_s
        await time_is_up(lab)
        cdr = await lab.cdr()
        assert cdr.answered_at is not None and cdr.ended_at is not None and cdr.announcement_to is not None
        assert cdr.ended_at - cdr.answered_at == pytest.approx(30.0, abs=0.1)
        assert began <= cdr.call_in_at <= cdr.answered_at <= cdr.announcement_to <= cdr.ended_at
        assert lab.metrics.ended[0][-1] == pytest.approx(30.0, abs=0.1)

    play(story)


def test_a_late_ack_does_not_lengthen_the_talk() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=30)
        lab.dial(body=b"")
        invite = await lab.ring()
        await lab.pick_up(invite)
        answered = now()
        ok = await lab.caller.receive_response(200, ignoring=(100, 180))
        await asyncio.sleep(3)
        lab.caller.pending()
        lab.caller.send(lab.caller.ack(ok, body=sdp("10.0.0.9")))
        assert await time_is_up(lab) - answered == pytest.approx(30.0, abs=0.1)

    play(story)


def test_the_time_is_up_also_while_the_answer_to_our_late_offer_is_awaited() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=10)
        lab.dial(body=b"")
        invite = await lab.ring()
        await lab.pick_up(invite)
        await lab.answer_bye(lab.callee)
        assert now() == pytest.approx(10.0, abs=0.1)
        assert (await lab.cdr()).failure == 8010
        await asyncio.sleep(30)
        assert lab.caller.pending()[-1] == "BYE"  # after 64*T1 without its ACK (RFC 3261 15)

    play(story)


@pytest.mark.parametrize(("seconds", "warned"), [(59, False), (60, False), (61, True)])
def test_there_is_no_warning_where_the_talk_is_no_longer_than_it(seconds: int, warned: bool) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=seconds)
        await lab.establish()
        await time_is_up(lab)
        assert [c.mix for c in lab.media.commands if c.verb == "play"] == [False, *([True] if warned else [])]

    play(story)


def test_the_switch_has_a_maximum_for_bindings_without_one() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        assert await time_is_up(lab) == pytest.approx(40.0, abs=0.1)

    play(story, max_duration_s=40)


def test_both_silent_ends_the_call() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        caller, callee = lab.endpoints()
        caller.fall_silent()
        await lab.caller.silence(100)
        callee.fall_silent()
        for phone in (lab.caller, lab.callee):
            bye = await lab.answer_bye(phone)
            assert (bye.headers.get("Reason") or "").startswith("Q.850;cause=41;")
        cdr = await lab.cdr()
        assert (cdr.words, cdr.ended_by) == ("no media from either side", "switch")

    play(story)


def test_a_silence_that_began_before_the_talk_counts() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.media.endpoints[0].press("1234")
        invite = await lab.ring()
        await asyncio.sleep(45)
        lab.media.endpoints[0].fall_silent()
        await lab.pick_up(invite)
        await lab.caller.silence(60)
        lab.endpoints()[1].fall_silent()
        for phone in (lab.caller, lab.callee):
            await lab.answer_bye(phone)
        assert (await lab.cdr()).words == "no media from either side"

    play(story)


def test_two_who_were_silent_before_the_talk_do_not_begin_it() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.media.endpoints[0].press("1234")
        invite = await lab.ring()
        for endpoint in lab.endpoints():
            endpoint.fall_silent()
        await lab.pick_up(invite)
        for phone in (lab.caller, lab.callee):
            await lab.answer_bye(phone)
        assert (await lab.cdr()).words == "no media from either side"

    play(story)


def test_a_side_that_is_heard_again_keeps_the_call() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        caller, callee = lab.endpoints()
        caller.fall_silent()
        caller.resume()
        callee.fall_silent()
        await lab.caller.silence(100)
        await lab.hang_up()

    play(story)


def test_silence_on_hold_ends_nothing() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        await renegotiated(lab.caller, lab.callee, "sendonly")
        for endpoint in lab.endpoints():
            endpoint.fall_silent()
        await lab.caller.silence(1000)
        await renegotiated(lab.caller, lab.callee, "sendrecv")
        for endpoint in lab.endpoints():
            endpoint.resume()
            endpoint.fall_silent()
        await lab.answer_bye(lab.caller)
        await lab.answer_bye(lab.callee)
        assert (await lab.cdr()).words == "no media from either side"

    play(story)


def test_of_two_ends_at_one_moment_one_stands() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=30)
        await lab.establish()
        await asyncio.sleep(30 - now() - 1e-6)
        caller, callee = lab.endpoints()
        loop = asyncio.get_running_loop()
        loop.call_at(30.0, caller.fall_silent)
        loop.call_at(30.0, callee.fall_silent)
        await lab.answer_bye(lab.caller)
        await lab.answer_bye(lab.callee)
        assert (await lab.cdr()).ended_by == "switch"

    play(story)


@pytest.mark.parametrize("seconds", [30, 600])
def test_a_silence_that_outlasts_its_hold_ends_the_call_but_not_at_once(seconds: int) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        await renegotiated(lab.caller, lab.callee, "sendonly")
        for endpoint in lab.endpoints():
            endpoint.fall_silent()
        await lab.caller.silence(seconds)
        await renegotiated(lab.caller, lab.callee, "sendrecv")
        resumed = now()
        lab.caller.patience = 130
        await lab.answer_bye(lab.caller)
        await lab.answer_bye(lab.callee)
        assert 60 <= now() - resumed <= 120
        assert (await lab.cdr()).words == "no media from either side"

    play(story)


def test_media_that_comes_back_after_a_hold_keeps_the_call() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        await renegotiated(lab.callee, lab.caller, "inactive")
        for endpoint in lab.endpoints():
            endpoint.fall_silent()
        await lab.caller.silence(59)
        await renegotiated(lab.callee, lab.caller, "sendrecv")
        await lab.caller.silence(30)
        lab.endpoints()[0].resume()
        await lab.caller.silence(500)
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


@pytest.mark.parametrize(("binding", "switch", "seconds"), [(0, 90, 90), (300, 90, 90), (90, 300, 90)])
def test_the_switch_caps_every_call_and_warns_before(binding: int, switch: int, seconds: int) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=binding)
        await lab.establish()
        answered = now() - PROMPT_LENGTHS["announcement"] - 0.1
        lab.caller.patience = 200
        assert await time_is_up(lab) - answered == pytest.approx(seconds, abs=0.1)
        (warning,) = [command for command in lab.media.commands if command.mix]
        assert warning.at - answered == pytest.approx(seconds - 60, abs=0.1)

    play(story, max_duration_s=switch)
