"""Two phones call each other without a switch: what one says, presses and holds, the other hears and tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.cast import free_cast
from demo.phone import Phone, PhoneFailed, header_values
from demo.recognise import PAUSE_S, listen_for, load
from tests.support.certificates import Authority

pytestmark = pytest.mark.phones


def test_a_call_between_two_phones(tmp_path: Path) -> None:
    cast = free_cast()
    sentences = {party.name: party.voice.write(tmp_path / f"{party.name}.wav") for party in (cast.driver, cast.guest)}
    phones = [
        Phone(
            party.national,
            sip_port=party.sip_port,
            rtp_port=party.rtp_ports.start,
            speak=tmp_path / f"{party.name}.wav",
            hear=tmp_path / f"{party.name}-heard.wav",
        )
        for party in (cast.driver, cast.guest)
    ]
    with phones[0] as a, phones[1] as b:
        a.wait_for("ready")
        b.wait_for("ready")
        a.call(f"sip:13900000002@127.0.0.1:{b.sip_port}", {"X-Test": "yes"})
        incoming = b.wait_for("incoming")
        assert header_values(incoming["message"], "x-test") == ["yes"]
        assert "13800000001" in incoming["from"]
        b.answer(180)
        a.wait_for("ringing", status=180)
        b.answer(200, after=0.1)
        a.wait_for("media", hearing=True)
        b.wait_for("media", hearing=True)

        with pytest.raises(PhoneFailed, match="did not tell 'digit'"):
            b.wait_for("digit", 4.5)  # they talk
        a.send_digits("12")
        assert [b.wait_for("digit")["digit"] for _ in "12"] == ["1", "2"]
        with pytest.raises(PhoneFailed, match="did not tell 'digit'"):
            b.wait_for("digit", 0.5)  # pressed once, told once

        a.hold()
        b.wait_for("media", hearing=True, status=3)
        a.unhold()
        b.wait_for("media", hearing=True, status=1)
        b.hang_up()
        assert a.wait_for("disconnected")["status"] == 200
        b.wait_for("disconnected")
    for me, other in ((cast.driver, cast.guest), (cast.guest, cast.driver)):
        heard = load(tmp_path / f"{me.name}-heard.wav")
        hearing = listen_for(heard, sentences[other.name], pause_s=PAUSE_S)
        assert hearing is not None
        assert hearing.share >= 0.7
        own = listen_for(heard, sentences[me.name])
        assert own is None or own.share < 0.3


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_call_by_a_connection(transport: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine = authority.issue("phones", "IP:127.0.0.1")
    tls = {"certificate": mine.certificate, "key": mine.key, "authorities": authority.file}
    phones = [Phone(name, transport=transport, tls=tls) for name in ("13800000001", "13900000002")]
    with phones[0] as a, phones[1] as b:
        b.wait_for("ready")
        a.wait_for("ready")
        a.call(f"sip:13900000002@127.0.0.1:{b.sip_port};transport={transport}")
        incoming = b.wait_for("incoming")
        (contact,) = header_values(incoming["message"], "Contact")
        assert contact.startswith(f"<sip:13800000001@127.0.0.1:{a.sip_port};transport={transport.upper()}")
        b.answer(200)
        a.wait_for("media", hearing=True)
        b.hang_up()
        assert a.wait_for("disconnected")["status"] == 200


def test_a_refused_call_is_told_with_its_status() -> None:
    with Phone("13800000001") as a, Phone("13900000002") as b:
        b.wait_for("ready")
        a.wait_for("ready")
        a.call(f"sip:13900000002@127.0.0.1:{b.sip_port}")
        b.wait_for("incoming")
        b.hang_up(486)
        assert a.wait_for("disconnected")["status"] == 486


def test_a_command_that_makes_no_sense_is_refused_and_told() -> None:
    with Phone("13800000001") as phone:
        phone.wait_for("ready")
        phone.hang_up()
        assert phone.wait_for("refused")["words"] == "there is no call"


def test_a_phone_that_cannot_start_says_why() -> None:
    with Phone("13800000001") as first:
        first.wait_for("ready")
        with Phone("13900000002", sip_port=first.sip_port) as second, pytest.raises(PhoneFailed, match="in use"):
            second.wait_for("ready")


def test_a_phone_that_is_not_running_takes_no_commands() -> None:
    with pytest.raises(PhoneFailed, match="not running"):
        Phone("13800000001").call("sip:x@127.0.0.1")
