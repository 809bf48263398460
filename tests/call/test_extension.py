"""AXE: the caller of a shared X keys an extension (call treatment, "AXE collection"; provisioning interface 12)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from softswitch.call.services import CallSettings
from softswitch.errors import StoreError
from softswitch.interfaces import Binding, CallbackRecord
from softswitch.media_drivers.null import NullDriver, NullEndpoint
from softswitch.sip.message import SipRequest
from tests.support.calls import EPOCH, STRANGER, SWITCH, X_AXE, A, B, Lab, play, sdp


async def asked(lab: Lab) -> NullEndpoint:
    """The stranger dials X, is answered and hears the question; returns its endpoint."""
    lab.dial(X_AXE, by=STRANGER)
    await lab.caller_answered()
    await asyncio.sleep(1)
    return lab.media.endpoints[0]


def played(lab: Lab) -> list[tuple[str, ...]]:
    return [tuple(name.removesuffix(".wav") for name in c.files) for c in lab.media.commands if c.verb == "play"]


async def info(lab: Lab, content_type: str, body: bytes, status: int = 200) -> None:
    lab.caller.send(lab.caller.request("INFO", body=body, content_type=content_type))
    await lab.caller.receive_response(status)


async def connected(lab: Lab) -> SipRequest:
    """A rings and answers, talks 5 s, the caller hangs up; returns A's INVITE."""
    invite = await lab.ring()
    await lab.pick_up(invite)
    await asyncio.sleep(5)
    await lab.hang_up()
    return invite


@pytest.mark.parametrize(
    ("content_type", "bodies"),
    [
        ("application/dtmf-relay", [b"Signal=%d\r\nDuration=160\r\n" % digit for digit in (1, 2, 3, 4)]),
        ("application/dtmf", [b"1", b"2", b"3", b"4"]),
    ],
)
def test_digits_by_info(content_type: str, bodies: list[bytes]) -> None:
    async def story(lab: Lab) -> None:
        await asked(lab)
        for body in bodies:
            await info(lab, content_type, body)
        assert (await connected(lab)).uri == f"sip:{A}@10.0.0.21"
        assert (await lab.cdr()).extension == "1234"

    play(story)


@pytest.mark.parametrize("first", ["rtp", "info"])
def test_digits_sent_both_ways_count_once(first: str) -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        for digit in "1234":
            if first == "rtp":
                endpoint.press(digit)
            await info(lab, "application/dtmf", digit.encode())
            if first == "info":
                endpoint.press(digit)
        await connected(lab)
        assert (await lab.cdr()).extension == "1234"

    play(story)


def test_unknown_info_is_refused_and_counts_as_no_digit() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        await info(lab, "application/media_control+xml", b"<x/>", 415)
        await info(lab, "", b"")
        endpoint.press("1234")
        await connected(lab)

    play(story)


def test_the_first_digit_cuts_the_question_short() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        assert endpoint.playback is not None
        endpoint.press("1")
        await asyncio.sleep(0.01)
        assert endpoint.playback is None
        endpoint.press("234")
        await connected(lab)

    play(story)


def test_wrong_then_right() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("9999")
        await asyncio.sleep(4)
        endpoint.press("1234")
        await connected(lab)
        assert played(lab)[:2] == [("enter_extension",), ("invalid_extension", "enter_extension")]
        cdr = await lab.cdr()
        assert (cdr.extension, cdr.failure, cdr.destination) == ("1234", 0, A)

    play(story)


def test_three_wrong_ones_are_told_and_end_with_cause_1() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        for keyed in ("9999", "9998", "9997"):
            endpoint.press(keyed)
            await asyncio.sleep(0.5)
        bye = await lab.answer_bye(lab.caller)
        assert bye.headers.get("Reason") == 'Q.850;cause=1;text="extension unknown or expired"'
        assert played(lab) == [
            ("enter_extension",),
            ("invalid_extension", "enter_extension"),
            ("invalid_extension", "enter_extension"),
            ("invalid_extension",),
        ]
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.extension, cdr.x, cdr.caller) == (8022, "9997", X_AXE, STRANGER)
        assert (cdr.mode, cdr.answered_at, cdr.ended_by) == ("AXE", None, "switch")
        assert cdr.answered_in_at is not None
        assert lab.callee.pending() == []

    play(story)


def test_none_keyed_is_8033_after_three_questions() -> None:
    async def story(lab: Lab) -> None:
        await asked(lab)
        bye = await lab.answer_bye(lab.caller)
        assert bye.headers.get("Reason") == 'Q.850;cause=1;text="no extension keyed"'
        assert asyncio.get_running_loop().time() == pytest.approx(3 * (2 + 10) + 3, abs=0.01)
        assert played(lab) == [("enter_extension",)] * 3 + [("busy",)]
        assert (await lab.cdr()).failure == 8033

    play(story)


def test_hanging_up_while_collecting_is_7516() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("12")
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive_response(200)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.answered_at) == (7516, "caller", None)

    play(story)


def test_a_pause_between_digits_ends_the_try() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("12")
        await asyncio.sleep(3.9)
        assert len(played(lab)) == 1
        await asyncio.sleep(0.2)
        assert played(lab)[1] == ("invalid_extension", "enter_extension")
        endpoint.press("1234")
        await connected(lab)

    play(story)


def short(lab: Lab) -> None:
    lab.store.add(Binding("axe-2", "app-AXE", lab.axe.mode, X_AXE, B, extension="12"))


def test_the_number_sign_ends_a_shorter_extension() -> None:
    async def story(lab: Lab) -> None:
        short(lab)
        endpoint = await asked(lab)
        begin = asyncio.get_running_loop().time()
        endpoint.press("12#")
        invite = await lab.ring()
        assert asyncio.get_running_loop().time() == begin
        assert invite.uri == f"sip:{B}@10.0.0.21"
        await lab.pick_up(invite)
        await asyncio.sleep(1)
        await lab.hang_up()

    play(story)


def test_the_number_sign_after_the_last_digit_does_not_cost_the_next_try() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("9999#")
        await asyncio.sleep(0.1)
        assert endpoint.playback is not None
        endpoint.press("#")
        await asyncio.sleep(0.1)
        assert endpoint.playback is not None, "the second question was cut short"
        endpoint.press("9998#")
        await asyncio.sleep(0.1)
        endpoint.press("1234#")
        await connected(lab)
        assert len(played(lab)) == 4  # three questions, then the tone while A rings

    play(story)


def test_without_a_prompt_the_caller_may_still_key() -> None:
    async def story(lab: Lab) -> None:
        lab.prompts.missing = {"enter_extension", "connecting", "ringback"}
        endpoint = await asked(lab)
        endpoint.press("1234")
        await connected(lab)
        assert [verb for verb in lab.media.verbs() if verb == "play"] == []

    play(story)


@pytest.mark.parametrize("dialled", [f"{X_AXE}1234", f"{X_AXE},1234", f"{X_AXE};ext=1234", f"{X_AXE};isub=1234"])
def test_an_extension_in_the_dialled_number_needs_no_question(dialled: str) -> None:
    async def story(lab: Lab) -> None:
        number, _, parameter = dialled.partition(";")
        invite = lab.caller.invite(
            f"sip:{number}@{SWITCH[0]}{';' if parameter else ''}{parameter}",
            from_=f"<sip:{STRANGER}@10.0.0.9>",
            body=sdp("10.0.0.9"),
        )
        lab.caller.send(invite, to=SWITCH)
        out = await lab.ring()
        assert out.uri == f"sip:{A}@10.0.0.21"
        await lab.pick_up(out)
        await lab.caller_answered()
        await asyncio.sleep(1)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.extension, cdr.mode, cdr.direction, cdr.failure) == ("1234", "AXE", 0, 0)
        assert lab.store.records[X_AXE, A].caller == STRANGER

    play(story)


def test_an_unknown_extension_in_the_dialled_number_is_8022() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(f"{X_AXE}9999", by=STRANGER)
        await lab.refused(404)
        assert (await lab.cdr()).failure == 8022
        assert played(lab) == [("invalid_extension",)]

    play(story)


def test_calling_back_reaches_the_latest_caller_who_sees_x() -> None:
    async def story(lab: Lab) -> None:
        lab.store.records[X_AXE, A] = CallbackRecord(X_AXE, A, STRANGER, EPOCH - 10)
        invite = await lab.establish(X_AXE, by=A)
        assert invite.uri == f"sip:{STRANGER}@10.0.0.21"
        assert invite.from_.uri == f"sip:{X_AXE}@10.0.0.1"
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.direction, cdr.destination, cdr.failure) == (1, STRANGER, 0)
        assert lab.store.records[X_AXE, A].caller == STRANGER  # calling back is no new record

    play(story)


def test_nobody_to_call_back_is_the_callback_tone_and_8019() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axe, callback_tone="callback_tone")
        lab.dial(X_AXE, by=A)
        await lab.refused(480)
        assert played(lab) == [("callback_tone",)]
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.direction) == (8019, 1)

    play(story)


def test_an_expired_record_goes_to_the_callback_number() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axe, callback_lifetime_s=60, callback_number=B)
        lab.store.records[X_AXE, A] = CallbackRecord(X_AXE, A, STRANGER, EPOCH - 61)
        invite = await lab.establish(X_AXE, by=A)
        assert invite.uri == f"sip:{B}@10.0.0.21"
        await lab.hang_up()
        assert (await lab.cdr()).destination == B

    play(story)


def test_a_missed_call_can_be_returned() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(f"{X_AXE}1234", by=STRANGER)
        invite = await lab.ring()
        lab.callee.send(lab.callee.response(invite, 486))
        await lab.refused(486)
        record = lab.store.records[X_AXE, A]
        assert record.caller == STRANGER
        assert record.at == pytest.approx(EPOCH, abs=1)

    play(story)


def test_a_store_that_fails_while_collecting_is_a_service_fault() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)

        async def away(*_: object) -> None:
            raise StoreError("away")

        lab.store.axe_binding = away  # type: ignore[method-assign, assignment]
        endpoint.press("1234")
        bye = await lab.answer_bye(lab.caller)
        assert bye.headers.get("Reason") == 'Q.850;cause=41;text="internal fault"'
        assert played(lab)[-1] == ("service_fault",)
        assert (await lab.cdr()).failure == 8040

    play(story)


def test_a_call_in_collection_survives_the_beginning_of_a_drain() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        lab.admission.draining = True
        endpoint.press("1234")
        await connected(lab)
        assert (await lab.cdr()).failure == 0

    play(story)


def test_a_barred_number_behind_an_extension_is_not_asked_again() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axe, a="+4915112345678")
        endpoint = await asked(lab)
        endpoint.press("1234")
        await lab.answer_bye(lab.caller)
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.extension) == (8043, "1234")
        assert played(lab) == [("enter_extension",), ("busy",)]

    play(story)


@pytest.mark.parametrize("status", [486, 603])
def test_a_caller_who_keyed_hears_busy_where_the_callee_is_in_the_way(status: int) -> None:
    """ITU-T E.180: for three seconds, then the BYE."""

    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("1234")
        invite = await lab.callee.receive_request("INVITE")
        lab.callee.send(lab.callee.response(invite, status))
        told_at = asyncio.get_running_loop().time()
        await lab.answer_bye(lab.caller)
        assert asyncio.get_running_loop().time() - told_at == pytest.approx(3, abs=0.1)
        assert played(lab)[-1] == ("busy",)

    play(story)


def test_a_caller_who_keyed_hears_congestion_where_a_resource_is_missing() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("1234")
        await lab.answer_bye(lab.caller)
        assert played(lab)[-1] == ("congestion",)
        assert (await lab.cdr()).failure == 7109

    lab = Lab()
    lab.media = NullDriver(pairs=1)  # none is left for the callee
    play(story, lab)


def test_the_number_of_tries_is_a_setting() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("9999")
        await lab.answer_bye(lab.caller)
        assert played(lab) == [("enter_extension",), ("invalid_extension",)]

    play(story, settings=replace(CallSettings(identity_host=SWITCH[0]), extension_tries=1))


def test_a_caller_on_hold_while_keying_is_answered_alone_and_the_callee_is_told_when_it_answers() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        lab.caller.send(lab.caller.request("INVITE", body=sdp("10.0.0.9", direction="sendonly", version=2)))
        ok = await lab.caller.receive_response(200, ignoring=(100,))
        assert b"a=recvonly" in ok.body
        lab.caller.send(lab.caller.ack(ok))
        endpoint.press("1234")
        await lab.pick_up(await lab.ring())
        hold = await lab.callee.receive_request("INVITE")
        assert b"a=sendonly" in hold.body
        lab.callee.send(lab.callee.response(hold, 200, body=sdp("10.0.0.21", 41000, direction="recvonly", version=2)))
        await lab.callee.receive("ACK")
        await lab.hang_up()

    play(story)


QUESTION = ("enter_extension",)


@pytest.mark.parametrize("away_s", [0.0, 3.0])
def test_a_question_in_which_media_dies_is_asked_once_more_when_media_is_back(away_s: float) -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        lab.media.die()
        await asyncio.sleep(away_s)
        lab.media.revive()
        await asyncio.sleep(1.9)
        assert played(lab) == [QUESTION, QUESTION]
        endpoint.press("1234")
        assert (await connected(lab)).uri.startswith(f"sip:{A}@")

    play(story)


def test_a_question_in_which_media_dies_twice_is_asked_again_with_the_next_try() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        for _ in range(2):
            lab.media.die()
            await asyncio.sleep(0.5)
            lab.media.revive()
            await asyncio.sleep(0.5)
        await asyncio.sleep(5)
        assert played(lab) == [QUESTION, QUESTION]
        await asyncio.sleep(5)
        assert played(lab) == [QUESTION, QUESTION, QUESTION]
        endpoint.press("1234")
        await connected(lab)

    play(story)


def test_media_that_dies_after_the_first_digit_or_the_hang_up_asks_nothing_more() -> None:
    async def story(lab: Lab) -> None:
        endpoint = await asked(lab)
        endpoint.press("1")
        lab.media.die()
        lab.media.revive()
        await asyncio.sleep(1)
        lab.caller.send(lab.caller.request("BYE"))
        await lab.caller.receive(200)
        await asyncio.sleep(30)
        assert played(lab) == [QUESTION]

    play(story)


def test_a_question_that_cannot_be_played_is_asked_once_a_try() -> None:
    async def story(lab: Lab) -> None:
        del lab.media._durations["enter_extension.wav"]
        endpoint = await asked(lab)
        assert played(lab) == [QUESTION]
        endpoint.press("1234")
        await connected(lab)

    play(story)
