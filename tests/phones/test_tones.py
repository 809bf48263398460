"""What a real phone hears of the switch itself: early media, ringback, refusals, the last minute (call treatment)."""

from __future__ import annotations

from functools import partial

import pytest

from demo import checks
from demo.cast import AXB_X, AXE_X, EXTENSION, SHORT_X
from demo.recognise import PAUSE_S, RATE, WORD_S, Samples, listen_for, tone_times
from demo.stage import Stage
from demo.story import unknown_caller
from tests.phones.conftest import RINGBACK_X, must

pytestmark = pytest.mark.phones
RINGBACK_HZ, RUNG_S = 450, 3.0  # one second of every five


def test_a_stranger_hears_no_binding_as_early_media_and_is_refused(stage: Stage) -> None:
    for check in unknown_caller(stage).checks:
        must(check)


def test_a_ringback_of_the_binding_is_heard_in_place_of_ringing(stage: Stage) -> None:
    with stage.call("ringback", stage.cast.driver, stage.cast.guest) as scene:
        scene.a.call(stage.uri(RINGBACK_X))
        scene.b.wait_for("incoming")
        scene.b.answer(180)
        scene.a.wait_for("media", hearing=True)
        scene.until_heard(scene.a, partial(checks.whole, prompt=stage.prompt("connecting")))
        scene.b.hang_up(486)
        assert scene.a.wait_for("disconnected")["status"] == 486
        scene.b.wait_for("disconnected")
    evidence = scene.evidence()
    must(checks.heard_prompt(evidence.caller, "connecting", stage.prompt("connecting")))
    must(checks.cdr_says(evidence, ulFailReason=8102, answered_at=None))


@pytest.mark.usefixtures("wire")
def test_a_callees_early_media_is_heard_and_the_announcement_still_comes_before_the_talk(stage: Stage) -> None:
    b = stage.cast.guest
    with stage.call("early-media", stage.cast.driver, b) as scene:
        scene.a.call(stage.uri(AXB_X))
        scene.b.wait_for("incoming")
        scene.b.answer(183)
        scene.a.wait_for("media", hearing=True)
        scene.until_spoken(scene.a, b)
        scene.b.answer(200)
        scene.a.wait_for("answered")
        scene.a.hang_up(after=5.0)
        scene.a.wait_for("disconnected")
        scene.b.wait_for("disconnected")
    heard, announcement = scene.evidence().caller, stage.prompt_bytes("announcement")
    must(checks.announced_from_first_packet(heard, announcement, early_media=True))
    announced_s = checks.announcement_s(heard, announcement)
    assert announced_s is not None
    assert heard.arrived is not None
    sound, begin, end = heard.arrived.sound(), *(round(at_s * RATE) for at_s in announced_s)
    before, meanwhile, after = (
        listen_for(part, stage.sentences[b.name], piece_s=WORD_S)
        for part in (sound[:begin], sound[begin:end], sound[end:])
    )
    assert before is not None, f"nothing of B in the {announced_s[0]:.2f} s before the announcement"
    assert after is not None, f"nothing of B in the {(len(sound) - end) / RATE:.2f} s after the announcement"
    assert meanwhile is None, f"B is heard in the announcement: {meanwhile}"


def test_a_caller_who_keyed_an_extension_hears_connecting_and_then_ringing_while_the_callee_rings(stage: Stage) -> None:
    with stage.call("ringing", stage.cast.stranger, stage.cast.driver) as scene:
        scene.a.call(stage.uri(AXE_X))
        scene.a.wait_for("media", hearing=True)
        scene.a.send_digits(EXTENSION, after=0.3)
        scene.b.wait_for("incoming")
        scene.b.answer(180)
        scene.until_heard(scene.a, partial(checks.whole, prompt=stage.prompt("connecting")))
        scene.until_heard(scene.a, rung)
        scene.b.hang_up(486)
        scene.a.wait_for("disconnected")
    evidence = scene.evidence()
    must(checks.heard_prompt(evidence.caller, "connecting", stage.prompt("connecting")))
    connected = listen_for(evidence.caller.heard, stage.prompt("connecting"), pause_s=PAUSE_S)
    assert connected is not None
    rings = tone_times(evidence.caller.heard, RINGBACK_HZ)
    assert rings
    assert rings[0][0] >= connected.to_s - 0.2
    once = [(begins, ends) for begins, ends in rings if begins < rings[0][0] + RUNG_S]  # pauses may tear it
    assert sum(ends - begins for begins, ends in once) == pytest.approx(1.0, abs=0.3)


def rung(heard: Samples) -> bool:
    """Whether the first ring is over."""
    rings = tone_times(heard, RINGBACK_HZ)
    return bool(rings) and len(heard) / RATE > rings[0][0] + RUNG_S


def test_the_last_minute_is_mixed_over_the_talk_and_an_unrecorded_call_ends_on_time(stage: Stage) -> None:
    with stage.call("maximum", stage.cast.driver, stage.cast.guest) as scene:
        scene.connect(SHORT_X)
        scene.a.wait_for("disconnected")
        scene.b.wait_for("disconnected")
    evidence = scene.evidence()
    assert evidence.recording is None
    assert evidence.callee is not None
    must(checks.cdr_says(evidence, ulFailReason=8010, ended_by="switch"))
    # To 100 ms by virtual time (tests/call/test_supervision.py); here not before, and the next second is too late.
    assert 7.99 <= (checks.seconds(evidence.cdr, "answered_at", "ended_at") or 0.0) < 9.0
    for me, other in ((evidence.caller, evidence.callee), (evidence.callee, evidence.caller)):
        must(checks.heard_prompt(me, "last_minute", stage.prompt("last_minute"), sure=0.4))
        must(checks.heard_voice(me, other.party.name, stage.sentences[other.party.name]))
