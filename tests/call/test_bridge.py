"""The answered call: announcement to both before they hear each other, recording, digits, the last minute."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.interfaces import EndpointStatistics
from softswitch.media_drivers.null import Command
from tests.support.calls import EPOCH, STRANGER, X_AXB, X_AXE, A, Lab, play

MEDIA = ("record", "disconnect", "play", "connect", "voices", "close_recording")


def commands(lab: Lab, verb: str) -> list[Command]:
    return [command for command in lab.media.commands if command.verb == verb]


def test_both_hear_the_announcement_before_they_hear_each_other() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        caller, callee = lab.endpoints()
        await asyncio.sleep(1.4)
        assert caller.peer is None and callee.peer is None
        await asyncio.sleep(0.2)
        assert caller.peer is callee
        assert lab.verbs(*MEDIA) == ["record", "disconnect", "play", "connect", "voices"]
        [announcement] = commands(lab, "play")
        assert announcement.endpoints == (caller, callee)  # one command: they start on one tick
        assert (announcement.files, announcement.loop, announcement.mix) == (("announcement.wav",), False, False)
        assert commands(lab, "connect")[0].at == pytest.approx(announcement.at + 1.5)
        await lab.hang_up()
        assert lab.verbs(*MEDIA)[-1] == "close_recording"
        cdr = await lab.cdr()
        assert cdr.announcement_to is not None and cdr.announcement_from is not None
        assert cdr.announcement_to - cdr.announcement_from == pytest.approx(1.5)
        assert cdr.recording.endswith(f"/app-AXB/20231114/20231114221320_{cdr.call_id}.wav")

    play(story)


def test_the_announcement_starts_at_the_callees_answer() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        await asyncio.sleep(7)
        await lab.pick_up(invite)
        await lab.caller_answered()
        assert commands(lab, "play")[0].at == 7
        await lab.hang_up()
        cdr = await lab.cdr()
        assert cdr.answered_at == EPOCH + 7

    play(story)


def test_without_an_announcement_they_are_joined_at_once() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, announcement=None, record=False)
        await lab.establish(talk=False)
        assert lab.verbs(*MEDIA) == ["connect"]
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.announcement, cdr.recording, cdr.record) == ("", "", False)
        assert lab.metrics.bytes == []

    play(story)


def test_a_recording_is_stereo_where_the_dialplan_says_so_and_its_size_is_counted() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        assert commands(lab, "record")[0].stereo
        caller, callee = lab.endpoints()
        assert commands(lab, "record")[0].endpoints == (caller, callee)
        await lab.hang_up()
        await lab.cdr()
        assert lab.metrics.bytes == [58 + 16000 * 1.6]

    play(story, dialplan="[treatment.AXB]\nstereo = true\n")


@pytest.mark.parametrize("announcement", ["nonsense", "unapproved"])
def test_a_missing_or_unapproved_announcement_places_no_call(announcement: str) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, announcement=announcement)
        lab.dial()
        response = await lab.refused(500)
        assert (response.headers.get("Reason") or "").startswith("Q.850;cause=31;")
        assert lab.callee.pending() == lab.second.pending() == []
        assert (await lab.cdr()).failure == 7107

    play(story)


def test_a_mandated_announcement_that_nobody_has_places_no_call() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, announcement=None)
        lab.dial()
        await lab.refused(500)
        assert (await lab.cdr()).failure == 7107

    play(story, dialplan="[treatment.AXB]\nannouncement_mandatory = true\n")


@pytest.mark.parametrize("away_s", [0.0, 0.3, 4.9])
def test_media_that_dies_in_the_announcement_and_comes_back_plays_it_again_from_its_start(away_s: float) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        await asyncio.sleep(1)
        lab.media.die()
        await asyncio.sleep(away_s)
        lab.media.revive()
        await asyncio.sleep(1.4)
        assert lab.verbs("play", "connect") == ["play", "play"]
        await asyncio.sleep(0.2)
        assert lab.verbs("play", "connect") == ["play", "play", "connect"]
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.a.announcement_frames) == (0, 75)

    play(story)


def test_an_announcement_whose_media_does_not_come_back_ends_the_call_unheard() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        await asyncio.sleep(1)
        lab.media.die()
        for phone in (lab.caller, lab.callee):
            bye = await lab.answer_bye(phone)
            assert (bye.headers.get("Reason") or "").startswith("Q.850;cause=31;")
        assert asyncio.get_running_loop().time() == pytest.approx(1 + 1.5 + 5)
        assert lab.verbs("connect") == []
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.announcement_to) == (7107, "switch", None)

    play(story)


def test_an_announcement_in_which_media_dies_twice_ends_the_call_unheard() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        for _ in range(2):
            await asyncio.sleep(1)
            lab.media.die()
            await asyncio.sleep(0.3)
            lab.media.revive()
        for phone in (lab.caller, lab.callee):
            await lab.answer_bye(phone)
        assert lab.verbs("play", "connect") == ["play", "play"]
        assert (await lab.cdr()).failure == 7107

    play(story)


def test_hanging_up_while_the_announcement_waits_for_media_leaves_nothing_behind() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        await asyncio.sleep(1)
        lab.media.die()
        await asyncio.sleep(0.3)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.failure, cdr.ended_by, cdr.a.announcement_frames) == (0, "caller", 0)
        lab.media.revive()
        await lab.caller.silence(20)
        assert lab.verbs("play", "connect") == ["play", "play"]

    play(story)


def test_an_announcement_whose_file_is_broken_ends_the_call() -> None:
    async def story(lab: Lab) -> None:
        lab.media = lab.services.media  # type: ignore[assignment]
        del lab.media._durations["announcement.wav"]
        await lab.establish(talk=False)
        for phone in (lab.caller, lab.callee):
            await lab.answer_bye(phone)
        assert (await lab.cdr()).failure == 7107

    play(story)


def test_hanging_up_during_the_announcement_joins_nobody() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish(talk=False)
        await asyncio.sleep(0.5)
        await lab.hang_up(lab.callee)
        cdr = await lab.cdr()
        await asyncio.sleep(5)
        assert lab.verbs("connect", "play") == ["play"]
        assert (cdr.failure, cdr.ended_by, cdr.a.announcement_frames) == (0, "callee", 25)
        assert cdr.recording_s == pytest.approx(0.5)

    play(story)


def test_the_last_minute_is_told_to_both_over_the_talk() -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=100)
        await lab.establish()
        await asyncio.sleep(50)
        warning = commands(lab, "play")[-1]
        assert warning.endpoints == lab.endpoints()
        assert (warning.files, warning.mix) == (("last_minute.wav",), True)
        assert warning.at == pytest.approx(40.0)
        assert lab.verbs("connect", "disconnect") == ["disconnect", "connect"]  # no gap in the talk
        await lab.hang_up()

    play(story)


@pytest.mark.parametrize("tone", ["callback_tone", "nonsense"])
def test_the_bindings_own_tone_warns(tone: str) -> None:
    async def story(lab: Lab) -> None:
        lab.change(lab.axb, max_duration_s=100, last_minute_tone=tone)
        await lab.establish()
        await asyncio.sleep(50)
        heard = [command.files[0] for command in commands(lab, "play")]
        assert heard == ["announcement.wav", *(["callback_tone.wav"] if tone == "callback_tone" else [])]
        await lab.hang_up()

    play(story)


@pytest.mark.parametrize(
    ("content_type", "body"), [("application/dtmf", b"5"), ("application/dtmf-relay", b"Signal=5")]
)
def test_a_digit_by_info_is_passed_on_made_anew(content_type: str, body: bytes) -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        extra = [("Subject", A), ("X-Number", A)]
        lab.caller.send(lab.caller.request("INFO", body=body, content_type=content_type, headers=extra))
        await lab.caller.receive_response(200)
        passed = await lab.callee.receive_request("INFO")
        assert (passed.content_type, passed.body) == ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
        assert passed.headers.get("Subject") is None and passed.headers.get("X-Number") is None
        lab.callee.send(lab.callee.response(passed, 415))  # that it does not like it is its own affair
        await lab.hang_up()

    play(story)


def test_a_digit_in_the_media_travels_with_the_media() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        assert commands(lab, "connect")[0].digits
        lab.media.endpoints[0].press("5")
        await lab.callee.silence(1)
        await lab.hang_up()

    play(story)


def test_a_phone_that_sends_each_digit_both_ways_is_heard_once() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        for _ in range(2):
            lab.media.endpoints[0].press("5")
            lab.caller.send(lab.caller.request("INFO", body=b"5", content_type="application/dtmf"))
            await lab.caller.receive_response(200)
        await lab.callee.silence(1)
        await lab.hang_up()

    play(story)


def test_hanging_up_while_an_info_is_under_way_hurts_nobody() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.caller.send(lab.caller.request("INFO", body=b"5", content_type="application/dtmf"))
        await lab.caller.receive_response(200)
        await lab.callee.receive_request("INFO")
        await lab.hang_up()
        assert (await lab.cdr()).failure == 0

    play(story)


def test_the_figures_of_both_legs_are_in_the_record() -> None:
    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.endpoints()[0].told_statistics = EndpointStatistics(
            packets_received=990, packets_lost=10, jitter_ms=1.23456
        )
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.a.packets_received, cdr.a.packets_lost, cdr.a.jitter_ms, cdr.a.codec) == (990, 10, 1.235, "PCMA")
        assert 3.5 < cdr.a.mos < 4.0
        assert (cdr.b.packets_received, cdr.b.mos, cdr.x) == (0, 0.0, X_AXB)

    play(story)


def test_an_announcement_that_a_reload_takes_away_while_it_rings_is_played_all_the_same() -> None:
    async def story(lab: Lab) -> None:
        lab.dial()
        invite = await lab.ring()
        lab.prompts.missing.add("announcement")
        await lab.pick_up(invite)
        await lab.caller_answered()
        await asyncio.sleep(5)
        await lab.hang_up()
        cdr = await lab.cdr()
        assert (cdr.announcement, cdr.a.announcement_frames) == ("announcement", 75)

    play(story)


def test_a_digit_by_info_in_the_talk_passes_although_the_extension_came_by_rtp() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(X_AXE, by=STRANGER)
        await lab.caller_answered()
        lab.media.endpoints[0].press("1234")
        await lab.pick_up(await lab.ring())
        await asyncio.sleep(1)
        lab.caller.send(lab.caller.request("INFO", body=b"Signal=7\r\n", content_type="application/dtmf-relay"))
        await lab.caller.receive(200)
        info = await lab.callee.receive_request("INFO")
        assert b"Signal=7" in info.body
        lab.callee.send(lab.callee.response(info, 200))
        await lab.hang_up()

    play(story)
