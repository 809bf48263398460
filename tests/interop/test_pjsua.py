"""Calls between pjsua2 phones by TCP and TLS, the switch alone between them, with sound both ways (RFC 3261 18)."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.phone import Phone
from tests.interop.rig import Rig
from tests.interop.talk import both_hear, dialled
from tests.interop.tones import SAID, hears, write_tone
from tests.interop.world import LINES, PORTS, A, national

pytestmark = [pytest.mark.interop, pytest.mark.phones]


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize(("out", "back"), [("tcp", "tls"), ("tls", "tcp")])
def test_a_call_with_sound_both_ways(rig: Rig, tmp_path: Path, out: str, back: str, who: str) -> None:
    line, before = LINES[f"phone-{back}"], len(rig.switch.cdrs())
    with (
        phone(rig, tmp_path, "caller", national(A), out) as caller,
        phone(rig, tmp_path, "callee", national(line.b), back) as callee,
    ):
        caller.wait_for("ready")
        callee.wait_for("ready")
        caller.call(f"{dialled(rig, line, out)};transport={out}")
        callee.wait_for("incoming")
        callee.answer(180)
        caller.wait_for("ringing", status=180)
        callee.answer(200)
        for one in (caller, callee):
            one.wait_for("answered")
        heard = {"caller": tmp_path / "caller-heard.wav", "callee": tmp_path / "callee-heard.wav"}
        both_hear(heard["caller"], heard["callee"])
        (caller if who == "caller" else callee).hang_up()
        for one in (caller, callee):
            one.wait_for("disconnected")
    assert not any(hears(heard[side], SAID[side]) for side in heard)
    cdr = rig.cdr(line, before)
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (0, who)
    assert (cdr["a"]["trunk"], cdr["b"]["trunk"]) == ("phones", f"phone-{back}")


def phone(rig: Rig, folder: Path, side: str, user: str, transport: str) -> Phone:
    """The phone of one side, at the address that the switch knows for its transport."""
    return Phone(
        user,
        address=rig.network.phone(side, transport),
        sip_port=PORTS[transport],
        speak=write_tone(folder / f"{side}-said.wav", SAID[side]),
        hear=folder / f"{side}-heard.wav",
        transport=transport,
        tls=rig.tls,
    )
