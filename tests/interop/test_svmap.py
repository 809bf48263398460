"""SIPVicious, the scanner that most of what comes from the Internet is made of: what its svmap learns of the switch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from demo.phone import Phone
from demo.switch_process import wait_until
from tests.interop.rig import SETTLE_S, Call, Rig
from tests.interop.world import LINES
from tests.support.programs import program

pytestmark = [pytest.mark.interop, pytest.mark.phones]

DEADLINE_S = 120.0  # it gives up by itself, some seconds after its one request


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "INVITE"])
@pytest.mark.parametrize(("place", "why"), [("stranger", "scanner"), ("debtor", "unproved")])
def test_a_scan_learns_nothing_and_a_call_beside_it_goes_on(
    rig: Rig, phones: tuple[Phone, Phone], tmp_path: Path, place: str, why: str, method: str
) -> None:
    """A scanner that nobody knows is banned; a trunk that owes a password is not, nor is it answered."""
    source, before = getattr(rig.network, place), turned_away(rig)
    call = Call(rig, LINES["udp"], *phones)
    call.connect()
    assert "found nothing" in scan(rig, source, method, tmp_path)
    assert wait_until(lambda: turned_away(rig) > before, SETTLE_S)
    assert banned(rig).get(source) == (why if place == "stranger" else None)
    call.callee.hang_up()
    assert call.over()["ulFailReason"] == 0


def scan(rig: Rig, source: str, method: str, home: Path) -> str:
    """All that svmap says of the switch, asked from `source`."""
    command = [program("svmap", "sipvicious"), "-b", source, "-m", method, rig.network.switch]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env={"HOME": str(home)}
    )
    return done.stdout + done.stderr


def turned_away(rig: Rig) -> float:
    """Messages that the entrance answered by nothing so far."""
    return rig.switch.metric("softswitch_sip_turned_away_total")


def banned(rig: Rig) -> dict[str, str]:
    """Why each source gets no answer, by address."""
    return {one["source"]: one["why"] for one in json.loads(rig.switch.http("/bans"))}
