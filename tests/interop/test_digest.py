"""Phones of others prove a password to the switch (RFC 7616, 8760, 3261 22): what they make of our challenge."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.phone import Phone
from tests.interop.baresip import Baresip
from tests.interop.rig import Rig
from tests.interop.tones import SAID, write_tone
from tests.interop.world import LINES, A, national

pytestmark = [pytest.mark.interop, pytest.mark.phones]

LINE = LINES["straight"]


def uri(rig: Rig) -> str:
    return f"sip:{national(LINE.x)}@{rig.network.switch}"


def checks(rig: Rig, trunk: str, verdict: str) -> int:
    """How many INVITEs of a trunk had this verdict so far."""
    return int(rig.switch.metric("softswitch_digest_checks_total", trunk=trunk, verdict=verdict))


def test_pjsua_takes_sha_256_of_what_is_offered(rig: Rig, phones: tuple[Phone, Phone], tmp_path: Path) -> None:
    callee, accepted = phones[1], checks(rig, "members", "accepted")
    caller = Phone(
        national(A),
        address=rig.network.member,
        sip_port=5060,
        hear=tmp_path / "heard.wav",
        login=("member", "secret"),
    )
    with caller:
        caller.wait_for("ready")
        caller.call(uri(rig))
        callee.wait_for("incoming")
        callee.answer(200)
        for phone in (caller, callee):
            phone.wait_for("answered")
        caller.hang_up()
        callee.wait_for("disconnected")
    assert checks(rig, "members", "accepted") == accepted + 1
    assert caller.log is not None
    proofs = [line for line in caller.log.read_text("utf-8").splitlines() if line.startswith("Authorization: Digest")]
    assert proofs
    assert all("algorithm=SHA-256" in proof for proof in proofs)


def test_baresip_proves_its_password_by_md5(rig: Rig, phones: tuple[Phone, Phone], tmp_path: Path) -> None:
    callee, accepted = phones[1], checks(rig, "old-members", "accepted")
    with old_member(rig, tmp_path, "secret") as caller:
        caller.dial(uri(rig))
        callee.wait_for("incoming")
        callee.answer(200)
        caller.wait_for("CALL_ESTABLISHED")
        callee.wait_for("answered")
        caller.hang_up()
        callee.wait_for("disconnected")
    assert checks(rig, "old-members", "accepted") == accepted + 1


def test_a_wrong_password_reaches_nobody(rig: Rig, phones: tuple[Phone, Phone], tmp_path: Path) -> None:
    callee, wrong = phones[1], checks(rig, "old-members", "wrong")
    rung = len(callee.all("incoming"))
    with old_member(rig, tmp_path, "guess") as caller:
        caller.dial(uri(rig))
        assert caller.wait_for("CALL_CLOSED")["param"].startswith("40")
    assert checks(rig, "old-members", "wrong") > wrong
    assert len(callee.all("incoming")) == rung


def old_member(rig: Rig, folder: Path, password: str) -> Baresip:
    """A baresip that says a password."""
    speak = write_tone(folder / "said.wav", SAID["caller"])
    return Baresip(national(A), rig.network.old_member, folder / "member", speak, rig.tls, password=password)
