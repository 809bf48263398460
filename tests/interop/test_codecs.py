"""Calls of real phones that speak G.722 or Opus alone, with one that speaks G.711 or another of their kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.phone import Phone
from media import _native
from tests.interop.baresip import Baresip
from tests.interop.rig import Rig
from tests.interop.talk import begin, both_hear, dialled, hold_and_resume
from tests.interop.tones import SAID, write_tone
from tests.interop.world import LINES, PORTS, A, national

pytestmark = [
    pytest.mark.interop,
    pytest.mark.phones,
    pytest.mark.skipif(len(_native.CODECS) < 2, reason="the media core is built without G.722 or Opus"),
]


@pytest.mark.parametrize(("caller_codec", "callee_codec"), [("", "G722"), ("G722", ""), ("G722", "G722")])
def test_a_call_of_g722_with_sound_both_ways_also_after_a_hold(
    rig: Rig, tmp_path: Path, caller_codec: str, callee_codec: str
) -> None:
    """RFC 3551 4.5.2."""
    line, before = LINES["g722" if callee_codec else "phone-udp"], len(rig.switch.cdrs())
    with (
        phone(rig, tmp_path, "caller", national(A), caller_codec) as caller,
        phone(rig, tmp_path, "callee", national(line.b), callee_codec) as callee,
    ):
        begin(rig, line, caller, callee)
        both_hear(tmp_path / "caller-heard.wav", tmp_path / "callee-heard.wav")
        caller.send_digits("7")
        callee.wait_for("digit", digit="7")
        hold_and_resume(caller)
        callee.hang_up()
        for one in (caller, callee):
            one.wait_for("disconnected")
    cdr = rig.cdr(line, before)
    assert (cdr["a"]["codec"], cdr["b"]["codec"]) == (caller_codec or "PCMA", callee_codec or "PCMA")
    assert cdr["ulFailReason"] == 0


@pytest.mark.parametrize("caller_codec", ["", "G722"])
def test_a_callee_with_opus_is_heard_and_hears(rig: Rig, tmp_path: Path, caller_codec: str) -> None:
    """RFC 7587, with libre's own offer/answer and a decoder at 48 kHz; keys go both ways (RFC 4733)."""
    line, before = LINES["opus"], len(rig.switch.cdrs())
    with (
        phone(rig, tmp_path, "caller", national(A), caller_codec) as caller,
        baresip(rig, tmp_path, "callee", national(line.b)) as callee,
    ):
        caller.wait_for("ready")
        caller.call(dialled(rig, line))
        callee.wait_for("CALL_INCOMING")
        callee.accept()
        caller.wait_for("answered")
        both_hear(tmp_path / "caller-heard.wav", callee)
        caller.send_digits("5")
        assert callee.wait_for("CALL_DTMF_START")["param"] == "5"
        callee.press("8")
        caller.wait_for("digit", digit="8")
        caller.hang_up()
        caller.wait_for("disconnected")
    cdr = rig.cdr(line, before)
    assert (cdr["a"]["codec"], cdr["b"]["codec"]) == (caller_codec or "PCMA", "opus")
    assert (cdr["b"]["mos"], cdr["b"]["packets_lost"]) == (0.0, 0)


def test_two_with_opus_hear_each_other(rig: Rig, tmp_path: Path) -> None:
    line, before = LINES["opus"], len(rig.switch.cdrs())
    with (
        baresip(rig, tmp_path, "caller", national(A)) as caller,
        baresip(rig, tmp_path, "callee", national(line.b)) as callee,
    ):
        caller.dial(dialled(rig, line))
        callee.wait_for("CALL_INCOMING")
        callee.accept()
        for one in (caller, callee):
            one.wait_for("CALL_ESTABLISHED")
        both_hear(caller, callee)
        callee.hang_up()
        caller.wait_for("CALL_CLOSED")
    cdr = rig.cdr(line, before)
    assert (cdr["a"]["codec"], cdr["b"]["codec"]) == ("opus", "opus")


def phone(rig: Rig, folder: Path, side: str, user: str, codec: str) -> Phone:
    """The pjsua2 phone of one side, at the address that the switch knows for what it speaks."""
    place = rig.network.wideband(1 if side == "caller" else 2) if codec else rig.network.phone(side, "udp")
    return Phone(
        user,
        address=place,
        sip_port=PORTS["udp"],
        speak=write_tone(folder / f"{side}-said.wav", SAID[side]),
        hear=folder / f"{side}-heard.wav",
        codec=codec,
    )


def baresip(rig: Rig, folder: Path, side: str, user: str) -> Baresip:
    """The baresip of one side, to whom the switch says nothing but Opus."""
    speak = write_tone(folder / f"{side}-said.wav", SAID[side])
    address = rig.network.wideband(3 if side == "caller" else 4)
    return Baresip(user, address, folder / f"baresip-{side}", speak, rig.tls)
