"""Hold by a real phone's re-INVITE (RFC 3264 8.4): passed to the other side, and the talk goes on after it."""

from __future__ import annotations

import itertools

import pytest

from demo import checks
from demo.cast import AXB_X
from demo.phone import PhoneEvent
from demo.stage import Evidence, Stage
from tests.phones.conftest import must

pytestmark = pytest.mark.phones
HELD_S, TALK_S = 2.0, 4.5
STILL_S = HELD_S / 2  # the end of the hold, when all that was on its way before it has come
REMOTE_HOLD, ACTIVE = 3, 1  # pjsua_call_media_status


@pytest.fixture(scope="module")
def held(stage: Stage) -> tuple[Evidence, PhoneEvent]:
    """A holds B for HELD_S and longer: the evidence, and when A was told of the hold."""
    with stage.call("hold", stage.cast.driver, stage.cast.guest) as scene:
        scene.connect(AXB_X)
        scene.a.hold(after=1.5)
        scene.b.wait_for("media", status=REMOTE_HOLD)
        begins = scene.a.wait_for("media", hearing=False)
        scene.a.unhold(after=HELD_S)
        scene.b.wait_for("media", status=ACTIVE)
        scene.a.wait_for("media", hearing=True)
        scene.talk(TALK_S)
        scene.end(scene.a)
    return scene.evidence(), begins


Held = tuple[Evidence, PhoneEvent]


@pytest.mark.usefixtures("wire")
def test_the_holding_phone_gets_no_voice_while_it_holds(held: Held) -> None:
    evidence, begins = held
    assert evidence.caller.arrived is not None
    still = begins.at + HELD_S - STILL_S, begins.at + HELD_S
    assert [packet for packet in evidence.caller.arrived.voice if still[0] < packet.at < still[1]] == []


@pytest.mark.usefixtures("wire")
def test_the_stream_after_a_hold_is_the_one_from_before(held: Held) -> None:
    evidence, _ = held
    assert evidence.callee is not None
    for ear in (evidence.caller, evidence.callee):
        assert ear.arrived is not None
        assert len({packet.ssrc for packet in ear.arrived.packets}) == 1
        numbers = [packet.sequence_number for packet in ear.arrived.packets]
        assert all((later - earlier) & 0xFFFF == 1 for earlier, later in itertools.pairwise(numbers))


def test_after_the_hold_both_hear_each_other_again(stage: Stage, held: Held) -> None:
    evidence, _ = held
    assert evidence.callee is not None
    for me, other in ((evidence.caller, evidence.callee), (evidence.callee, evidence.caller)):
        must(checks.heard_voice(me, other.party.name, stage.sentences[other.party.name]))


def test_the_recording_runs_on_through_the_hold_and_keeps_the_voices_together(stage: Stage, held: Held) -> None:
    evidence, _ = held
    must(checks.recording_is_complete(evidence))
    if stage.wire is not None:
        must(checks.recording_has_both_voices(evidence, stage))
