"""Digits by RFC 4733 between real phones: each press is told once, to the other phone or as an extension."""

from __future__ import annotations

from functools import partial

import pytest

from demo import checks
from demo.cast import AXB_X, AXE_X, EXTENSION
from demo.phone import PhoneFailed
from demo.stage import Stage
from tests.phones.conftest import must

pytestmark = pytest.mark.phones
PRESSED = "1159#0"


@pytest.mark.parametrize("presser", ["a", "b"])
def test_each_digit_pressed_in_talk_reaches_the_other_phone_once(stage: Stage, presser: str) -> None:
    with stage.call(f"digits-{presser}", stage.cast.driver, stage.cast.guest) as scene:
        scene.connect(AXB_X)
        sender, receiver = (scene.a, scene.b) if presser == "a" else (scene.b, scene.a)
        scene.until_spoken(receiver, stage.cast.driver if presser == "a" else stage.cast.guest)
        sender.send_digits(PRESSED)
        assert "".join(receiver.wait_for("digit")["digit"] for _ in PRESSED) == PRESSED
        with pytest.raises(PhoneFailed):
            receiver.wait_for("digit", 0.7)
        assert sender.all("digit") == []
        scene.end(scene.a)
    if stage.wire is not None:
        evidence = scene.evidence()
        assert evidence.callee is not None
        arrived = (evidence.callee if presser == "a" else evidence.caller).arrived
        assert arrived is not None
        assert arrived.digits() == PRESSED
        assert arrived.breaks() == []


def test_an_extension_keyed_while_the_prompt_plays_cuts_it_short_and_is_collected_once(stage: Stage) -> None:
    with stage.call("extension-early", stage.cast.stranger, stage.cast.driver) as scene:
        scene.a.call(stage.uri(AXE_X))
        scene.a.wait_for("media", hearing=True)
        scene.a.send_digits(EXTENSION, after=0.3)
        scene.b.wait_for("incoming")
        scene.b.hang_up(486)
        scene.a.wait_for("disconnected")
    evidence = scene.evidence()
    must(checks.cdr_says(evidence, mode="AXE", extendNum=EXTENSION, ulFailReason=8102))
    hearing = checks.heard_prompt(evidence.caller, "enter_extension", stage.prompt("enter_extension"))
    assert not hearing


def test_a_wrong_extension_is_told_and_asked_for_again(stage: Stage) -> None:
    with stage.call("extension-wrong", stage.cast.stranger, stage.cast.driver) as scene:
        scene.a.call(stage.uri(AXE_X))
        scene.a.wait_for("media", hearing=True)
        scene.a.send_digits("9999", after=0.5)
        scene.until_heard(scene.a, partial(checks.whole, prompt=stage.prompt("invalid_extension")))
        scene.a.send_digits(EXTENSION, after=0.5)
        scene.b.wait_for("incoming")
        scene.b.answer(200)
        scene.b.wait_for("media", hearing=True)
        scene.a.hang_up(after=2.0)
        scene.a.wait_for("disconnected")
        scene.b.wait_for("disconnected")
    evidence = scene.evidence()
    must(checks.heard_prompt(evidence.caller, "invalid_extension", stage.prompt("invalid_extension")))
    must(checks.cdr_says(evidence, extendNum=EXTENSION, ulFailReason=0))
