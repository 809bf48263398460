"""Calls of real phones with SRTP, keys in the session description, with sound both ways (RFC 4568, 3711, 7714)."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.phone import Phone
from tests.interop.baresip import Baresip
from tests.interop.rig import Rig
from tests.interop.talk import begin, both_hear, dialled, hold_and_resume
from tests.interop.tones import SAID, write_tone
from tests.interop.world import LINES, PORTS, A, national

pytestmark = [pytest.mark.interop, pytest.mark.phones]

CM, SHORT = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"


@pytest.mark.parametrize(("caller_suite", "callee_suite"), [(CM, ""), ("", CM), (SHORT, CM)])
def test_a_call_with_sound_both_ways_also_after_a_hold(
    rig: Rig, tmp_path: Path, caller_suite: str, callee_suite: str
) -> None:
    line, before = LINES["phone-srtp" if callee_suite else "phone-udp"], len(rig.switch.cdrs())
    with (
        phone(rig, tmp_path, "caller", national(A), caller_suite) as caller,
        phone(rig, tmp_path, "callee", national(line.b), callee_suite) as callee,
    ):
        incoming = begin(rig, line, caller, callee)
        both_hear(tmp_path / "caller-heard.wav", tmp_path / "callee-heard.wav")
        hold_and_resume(caller)
        callee.hang_up()
        for one in (caller, callee):
            one.wait_for("disconnected")
    assert (" RTP/SAVP " in incoming) is bool(callee_suite)
    cdr = rig.cdr(line, before)
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (0, "callee")
    for side in ("a", "b"):
        assert cdr[side]["packets_received"] > 10


def test_a_callee_that_knows_aes_gcm_is_heard_and_hears(rig: Rig, tmp_path: Path) -> None:
    """RFC 7714: AEAD_AES_256_GCM is what we offer first, and libre has an SRTP of its own."""
    line, before = LINES["baresip-srtp"], len(rig.switch.cdrs())
    speak = write_tone(tmp_path / "callee-said.wav", SAID["callee"])
    user, address = national(line.b), rig.network.srtp_baresip
    with (
        phone(rig, tmp_path, "caller", national(A), "") as caller,
        Baresip(user, address, tmp_path / "baresip", speak, rig.tls, encryption="srtp-mand") as callee,
    ):
        caller.wait_for("ready")
        caller.call(dialled(rig, line))
        callee.wait_for("CALL_INCOMING")
        callee.accept()
        caller.wait_for("answered")
        both_hear(tmp_path / "caller-heard.wav", callee)
        caller.hang_up()
        caller.wait_for("disconnected")
    assert rig.cdr(line, before)["b"]["packets_received"] > 10
    assert " RTP/SAVP " in callee.said() and "AEAD_AES_256_GCM" in callee.said()


def phone(rig: Rig, folder: Path, side: str, user: str, suite: str) -> Phone:
    """The phone of one side, at the address that the switch knows for what it speaks."""
    return Phone(
        user,
        address=rig.network.srtp(side) if suite else rig.network.phone(side, "udp"),
        sip_port=PORTS["udp"],
        speak=write_tone(folder / f"{side}-said.wav", SAID[side]),
        hear=folder / f"{side}-heard.wav",
        srtp=suite,
    )
