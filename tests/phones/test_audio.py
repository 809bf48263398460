"""What real phones hear of an announced, recorded call, and what its recording holds (call treatment)."""

from __future__ import annotations

import pytest

from demo import checks
from demo.stage import Evidence, Stage
from demo.story import answered_call
from tests.phones.conftest import must
from tests.support.stalls import Inexcusable

pytestmark = pytest.mark.phones
SIDES = ("caller", "callee")


@pytest.fixture(scope="module")
def talk(stage: Stage) -> Evidence:
    """A calls X, B answers, both talk from their first packet on, A hangs up."""
    return answered_call(stage, "talk", stage.cast.driver, stage.cast.guest)


@pytest.mark.parametrize("side", SIDES)
def test_both_sides_hear_the_announcement_whole(stage: Stage, talk: Evidence, side: str) -> None:
    must(checks.heard_prompt(getattr(talk, side), "announcement", stage.prompt("announcement")))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.usefixtures("wire")
def test_the_announcement_begins_with_the_first_packet_and_nothing_is_mixed_in(
    stage: Stage, talk: Evidence, side: str
) -> None:
    must(checks.announced_from_first_packet(getattr(talk, side), stage.prompt_bytes("announcement")))


@pytest.mark.parametrize(("side", "other"), [SIDES, SIDES[::-1]])
def test_no_talk_leaks_before_the_announcement_ends(stage: Stage, talk: Evidence, side: str, other: str) -> None:
    me, speaker = getattr(talk, side), getattr(talk, other).party
    chirp, sentence = speaker.voice.chirp(), stage.sentences[speaker.name]
    must(checks.no_voice_before_announcement_ends(me, speaker.name, chirp, sentence, stage.prompt("announcement")))


@pytest.mark.parametrize(("side", "other"), [SIDES, SIDES[::-1]])
def test_then_they_hear_each_other_and_not_themselves(stage: Stage, talk: Evidence, side: str, other: str) -> None:
    me, speaker = getattr(talk, side), getattr(talk, other).party
    must(checks.heard_voice(me, speaker.name, stage.sentences[speaker.name]))
    must(checks.heard_nothing_of(me, me.party.name, me.party.voice.chirp(), stage.sentences[me.party.name]))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.usefixtures("wire")
def test_each_phone_gets_one_unbroken_rtp_stream(talk: Evidence, side: str) -> None:
    must(checks.continuous(getattr(talk, side)))


@pytest.mark.usefixtures("wire")
def test_no_message_tells_a_phone_the_other_ones_number(talk: Evidence) -> None:
    assert talk.callee is not None
    check = checks.nobody_learns(talk, (talk.caller, talk.callee))
    if not check:
        raise Inexcusable(check.found)


def test_the_recording_begins_with_the_announcement_and_no_voice_is_in_it_before(stage: Stage, talk: Evidence) -> None:
    chirps = {party.name: party.voice.chirp() for party in (stage.cast.driver, stage.cast.guest)}
    must(checks.recording_begins_with_announcement(talk, stage.prompt("announcement"), chirps))


@pytest.mark.usefixtures("wire")
def test_both_voices_are_in_the_recording_within_40_ms_of_when_they_were_said(stage: Stage, talk: Evidence) -> None:
    must(checks.recording_has_both_voices(talk, stage))


def test_the_recording_is_as_long_as_the_call_was_answered(talk: Evidence) -> None:
    must(checks.recording_is_complete(talk))
