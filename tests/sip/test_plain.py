"""The reader in C of ordinary messages: what it takes, what it leaves to the grammar of message.py (RFC 3261 7, 20).

That both mean the same is shown in tests/properties/test_plain_messages.py.
"""

from __future__ import annotations

import gc
import importlib
import sys

import pytest

from softswitch.sip import _plain
from softswitch.sip import plain as plain_module
from softswitch.sip.headers import USUAL_NAMES, CSeq, NameAddr, Via, canonical_name
from softswitch.sip.message import Headers, SipRequest, SipResponse
from softswitch.sip.plain import plain

INVITE = (
    b"INVITE sip:17000000001@10.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.1.1.1:5060;branch=z9hG4bK1;Rport\r\n"
    b"Via: SIP/2.0/UDP 10.1.1.2, SIP/2.0/UDP 10.1.1.3\r\n"
    b"Max-Forwards:  70 \r\n"
    b'From: "A" <sip:a@h>;tag=1\r\n'
    b"To: B C <sip:b@h>\r\n"
    b"Call-ID: 1@h\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:a@[::1]:5060;transport=udp>;q=1\r\n"
    b"x-own: one\r\n"
    b"x-own: two\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 3\r\n\r\nv=0behind"
)


def test_an_ordinary_request_is_read_at_once() -> None:
    message = plain(INVITE)
    assert isinstance(message, SipRequest)
    assert (message.method, message.uri, message.body) == ("INVITE", "sip:17000000001@10.0.0.1", b"v=0")
    assert message.headers.known == {
        "Via": Via("UDP", "10.1.1.1", 5060, {"branch": "z9hG4bK1", "rport": None}),
        "Max-Forwards": 70,
        "From": NameAddr("A", "sip:a@h", {"tag": "1"}),
        "To": NameAddr("B C", "sip:b@h"),
        "Call-ID": "1@h",
        "CSeq": CSeq(1, "INVITE"),
        "Contact": NameAddr("", "sip:a@[::1]:5060;transport=udp", {"q": "1"}),
        "Content-Type": "application/sdp",
    }
    assert message.headers.all("Via")[1:] == ["SIP/2.0/UDP 10.1.1.2", "SIP/2.0/UDP 10.1.1.3"]
    assert message.headers.all("X-Own") == ["one", "two"]
    assert "Content-Length" not in message.headers


def test_an_ordinary_response_is_read_at_once() -> None:
    message = plain(
        b"SIP/2.0 486 Busy here, really\r\nv: SIP/2.0/TLS [::1]:5061;branch=z9hG4bK2\r\nf: <sip:a@h>;tag=1\r\n"
        b"t: <sip:b@h>;tag=2\r\ni: 1@h\r\nCSeq: 7 INVITE\r\n\r\n"
    )
    assert isinstance(message, SipResponse)
    assert (message.status, message.reason, message.body) == (486, "Busy here, really", b"")
    assert message.via == Via("TLS", "::1", 5061, {"branch": "z9hG4bK2"})
    assert message.contact is None


@pytest.mark.parametrize(
    ("written", "other"),
    [
        (b"INVITE sip", b"INVITE sips"),
        (b"sip:17000000001@", b"tel:1;x="),
        (b"17000000001@", b"%31@"),
        (b"17000000001@", b"a@b@"),
        (b"10.0.0.1 SIP", b"10.0.0.1?x=y SIP"),
        (b"10.0.0.1 SIP", b"10.0.0.1:65536 SIP"),
        (b"10.0.0.1 SIP", b"10.0.0.1; SIP"),
        (b"10.0.0.1 SIP", b"[::g] SIP"),
        (b"10.0.0.1 SIP", b" SIP"),
        (b"SIP/2.0\r", b"SIP/2.1\r"),
        (b"INVITE sip", b"BYE sip"),
        (b"INVITE sip", b"\r\nINVITE sip"),
        (b"SIP/2.0/UDP 10.1.1.1", b"SIP/2.0/udp 10.1.1.1"),
        (b"SIP/2.0/UDP 10.1.1.1", b"SIP / 2.0/UDP 10.1.1.1"),
        (b";branch=z9hG4bK1", b' ;branch="1"'),
        (b";Rport", b";rport=65536"),
        (b";Rport", b";rport=x"),
        (b";Rport", b";" + b"p" * 65),
        (b"Via: SIP/2.0/UDP 10.1.1.1:5060", b"VIA: SIP/2.0/UDP 10.1.1.1:5060"),
        (b'"A"', b'"A\\"B"'),
        (b'"A" <', b"A\tB <"),
        (b"<sip:b@h>", b"sip:b@h"),
        (b"<sip:b@h>", b"<b@h>"),
        (b"<sip:b@h>", b"<1:b@h>"),
        (b"<sip:b@h>", b"<s_p:b@h>"),
        (b"<sip:b@h>", b"<sip:b@h> ;tag=1"),
        (b"B C", "B Č".encode()),
        (b"To: B", b"To : B"),
        (b"To: B", b"To: <sip:c@h>\r\nTo: B"),
        (b"1@h", b"1 @h"),
        (b"Call-ID: 1@h", b"Call-ID:"),
        (b"1 INVITE", b"1  INVITE"),
        (b"1 INVITE", b"2147483648 INVITE"),
        (b"1 INVITE\r\n", b"1\r\n"),
        (b" 70 ", b"256"),
        (b"70 \r\n", b"70 \r\n folded\r\n"),
        (b"70 \r\n", b"70 \r\nnonsense\r\n"),
        (b"70 \r\n", b"70 \n"),
        (b"x-own: one\r\n", b"x-own: one\r\n" * 60),
        (b"Length: 3", b"Length: 10"),
        (b"Length: 3", b"Length: 3\r\nl: 3"),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_what_is_less_plain_is_left_to_the_grammar(written: bytes, other: bytes) -> None:
    assert written in INVITE
    assert plain(INVITE.replace(written, other, 1)) is None


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_what_lacks_a_header_is_left_to_the_grammar(name: bytes) -> None:
    assert plain(b"\r\n".join(line for line in INVITE.split(b"\r\n") if not line.startswith(name + b":"))) is None


@pytest.mark.parametrize(
    "line", [b"SIP/2.0 099 x", b"SIP/2.0 700 x", b"SIP/2.0 20", b"SIP/2.0 2000", b"sip/2.0 200 OK"]
)
def test_odd_status_lines_are_left_to_the_grammar(line: bytes) -> None:
    assert plain(line + INVITE[INVITE.index(b"\r\n") :]) is None


@pytest.mark.parametrize("contact", [b"*", b"<sip:a@h>, <sip:b@h>", b"sip:a@h", b"<>"])
def test_a_contact_that_is_less_plain_is_read_when_somebody_asks(contact: bytes) -> None:
    message = plain(INVITE.replace(b"<sip:a@[::1]:5060;transport=udp>;q=1", contact))
    assert message is not None
    assert "Contact" not in message.headers.known
    assert message.headers.get("Contact") == contact.decode()


def test_reading_keeps_nothing() -> None:
    datagrams = [INVITE, INVITE.replace(b"Rport", b"rport=x"), INVITE[:-40], INVITE.replace(b"1 INVITE", b"1 BYE")]

    def read(times: int) -> int:
        for _ in range(times):
            for data in datagrams:
                plain(data)
        gc.collect()
        return sys.getallocatedblocks()

    read(100)
    before = read(100)
    assert read(2000) - before < 100


def test_bytes_alone_are_read() -> None:
    assert plain(bytearray(INVITE)) is None  # type: ignore[arg-type]


def test_what_is_no_error_of_the_message_is_not_swallowed() -> None:
    class Alarm(BaseException):
        """As a signal's handler may raise it."""

    def interrupted(name: str) -> str:
        raise Alarm(name)

    try:
        _plain.learn(Headers, SipRequest, SipResponse, Via, NameAddr, CSeq, interrupted, USUAL_NAMES, ())
        with pytest.raises(Alarm):
            plain(INVITE)
    finally:
        importlib.reload(plain_module)


@pytest.mark.parametrize("odd", [object, "Headers", SipRequest])
def test_classes_that_are_not_as_expected_are_refused(odd: type) -> None:
    rest = SipRequest, SipResponse, Via, NameAddr, CSeq, canonical_name, USUAL_NAMES
    try:
        with pytest.raises((TypeError, AttributeError)):
            _plain.learn(odd, *rest, ())
        assert plain(INVITE) is None
        with pytest.raises(ValueError, match="too many words"):
            _plain.learn(Headers, *rest, [str(number) for number in range(300)])
        with pytest.raises(TypeError):
            _plain.learn(Headers, *rest, [1])  # type: ignore[list-item]
    finally:
        importlib.reload(plain_module)  # learns again what it should
    assert plain(INVITE) is not None
