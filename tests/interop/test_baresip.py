"""Calls between two baresips, one transport each, with sound both ways through the media server (RFC 3261, 3550)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.switch_process import wait_until
from tests.interop.baresip import Baresip
from tests.interop.rig import Rig
from tests.interop.tones import SAID, hears, write_tone
from tests.interop.world import LINES, PORTS, A, national
from tests.support.leaks import shows
from tests.support.stalls import Inexcusable

pytestmark = pytest.mark.interop

PATIENCE_S = 60.0
GIVEN_UP, BUSY = (7501, 7502), 8102  # failure codes of the CDR


class Pair:
    """Two phones and the line between them."""

    def __init__(self, rig: Rig, folder: Path, out: str, back: str) -> None:
        self._rig, self.line, self._out = rig, LINES[f"baresip-{back}"], out
        self._cdrs_before = len(rig.switch.cdrs())
        self.caller = self._phone(folder, "caller", national(A), out)
        self.callee = self._phone(folder, "callee", national(self.line.b), back)

    def _phone(self, folder: Path, side: str, user: str, transport: str) -> Baresip:
        speak = write_tone(folder / f"{side}-said.wav", SAID[side])
        return Baresip(user, self._rig.network.baresip(transport), folder / side, speak, self._rig.tls)

    def ring(self) -> None:
        """The caller dials, the callee rings."""
        self.caller.dial(
            f"sip:{national(self.line.x)}@{self._rig.network.switch}:{PORTS[self._out]};transport={self._out}"
        )
        self.callee.wait_for("CALL_INCOMING")
        self.caller.wait_for("CALL_RINGING")

    def connect(self) -> None:
        """They talk and have heard each other."""
        self.ring()
        self.callee.accept()
        for phone in (self.caller, self.callee):
            phone.wait_for("CALL_ESTABLISHED")
        assert wait_until(lambda: hears(self.caller.heard, SAID["callee"]), PATIENCE_S)
        assert wait_until(lambda: hears(self.callee.heard, SAID["caller"]), PATIENCE_S)

    def cdr(self) -> dict[str, Any]:
        """The record of their call."""
        return self._rig.cdr(self.line, self._cdrs_before)


@contextmanager
def pair(rig: Rig, folder: Path, out: str, back: str) -> Iterator[Pair]:
    """A caller by one transport and a callee by another; in the end, neither has seen the other's number."""
    phones = Pair(rig, folder, out, back)
    with phones.caller, phones.callee:
        yield phones
    if shows(A, phones.callee.said()) or shows(phones.line.b, phones.caller.said()):
        raise Inexcusable("one was shown the other's number")


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize(("out", "back"), [("udp", "tcp"), ("tcp", "tls"), ("tls", "udp")])
def test_a_call_with_sound_both_ways(rig: Rig, tmp_path: Path, out: str, back: str, who: str) -> None:
    with pair(rig, tmp_path, out, back) as phones:
        phones.connect()
        (phones.caller if who == "caller" else phones.callee).hang_up()
        (phones.callee if who == "caller" else phones.caller).wait_for("CALL_CLOSED")
    cdr = phones.cdr()
    assert (cdr["ulFailReason"], cdr["ended_by"], cdr["b"]["trunk"]) == (0, who, f"baresip-{back}")
    assert not hears(phones.caller.heard, SAID["caller"])


def test_hold_and_digits_pass_from_phone_to_phone(rig: Rig, tmp_path: Path) -> None:
    with pair(rig, tmp_path, "tcp", "tls") as phones:
        phones.connect()
        phones.caller.press("5")
        assert phones.callee.wait_for("CALL_DTMF_START")["param"] == "5"
        phones.callee.hold()
        assert wait_until(lambda: directions(phones.caller)[-2:] == ["sendonly", "recvonly"], PATIENCE_S)
        phones.callee.resume()
        assert wait_until(lambda: directions(phones.caller)[-2:] == ["sendrecv", "sendrecv"], PATIENCE_S)
        phones.caller.hang_up()
        phones.callee.wait_for("CALL_CLOSED")
    assert phones.cdr()["ulFailReason"] == 0


def directions(phone: Baresip) -> list[str]:
    """Which way the sound goes in each description that a phone received or sent, in their order (RFC 3264 8.4)."""
    return re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)", phone.said(), re.M)


def test_a_caller_who_gives_up_ends_the_ringing(rig: Rig, tmp_path: Path) -> None:
    with pair(rig, tmp_path, "tls", "udp") as phones:
        phones.ring()
        phones.caller.hang_up()
        phones.callee.wait_for("CALL_CLOSED")
    assert phones.cdr()["ulFailReason"] in GIVEN_UP


def test_a_callee_who_refuses_is_busy(rig: Rig, tmp_path: Path) -> None:
    with pair(rig, tmp_path, "udp", "tcp") as phones:
        phones.ring()
        phones.callee.hang_up()
        assert phones.caller.wait_for("CALL_CLOSED")["param"].startswith("486")
    assert phones.cdr()["ulFailReason"] == BUSY
