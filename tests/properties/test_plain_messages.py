"""What the reader in C takes, the grammar of message.py takes and means the same (RFC 3261 7, 8.1.1, 20)."""

from __future__ import annotations

import contextlib

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.message import SipRequest, SipResponse, parse_message, validate
from softswitch.sip.plain import plain
from tests.sip.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid, rfc5118

INVITE = (
    b"INVITE sip:17000000001@10.0.0.1:5060;user=phone SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.1.1.1:5060;branch=z9hG4bK1;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "A" <sip:a@h>;tag=1\r\n'
    b"To: B C <sip:b@h;transport=tcp>\r\n"
    b"Call-ID: 1@h\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"m: <sip:a@[::1]:5060;transport=udp>;q=1\r\n"
    b"Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"
    b"X-own: one\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 3\r\n\r\nv=0"
)
ANSWER = (
    b"SIP/2.0 200 OK\r\n"
    b"v: SIP/2.0/TCP [2001:db8::1]:5061;received=10.0.0.9;rport=5071;branch=z9hG4bK-x\r\n"
    b"f: <sip:a@h>;tag=1\r\n"
    b"t: <sip:b@h>;tag=2\r\n"
    b"i: 1@h\r\n"
    b"CSeq: 2147483647 BYE\r\n"
    b"l: 0\r\n\r\n"
)
CORPUS = [
    torture.data
    for module in (rfc4475_valid, rfc4475_invalid, rfc4475_semantics, rfc5118)
    for torture in module.MESSAGES
]
SPICES = [bytes([byte]) for byte in b' \t\r\n;,:<>"\\@?%=/.[]{}()*-+019aAzZ\x00\x7f\x80'] + [
    *(
        b"\r\n ",
        b"\r\n\r\n",
        b"Via",
        b"v: ",
        b"Content-Length: 1\r\n",
        b"To: <sip:x@y>\r\n",
        b"SIP/2.0",
        b"sips:",
        b"tel:",
    ),
    *(
        b"99999",
        b"4294967296",
        b"2147483648",
        b";tag",
        b";Tag=9",
        b"Call-Id: 2\r\n",
        b"CALL-ID: 2\r\n",
        b"Max-Forwards: 256\r\n",
    ),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A plain message in which some places were cut out, doubled or seasoned."""
    data = draw(st.sampled_from([INVITE, ANSWER]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.sampled_from([start, start, start + 1, start + 2, start + 9]))
        data = data[:start] + draw(st.sampled_from(SPICES) | st.just(data[start:end] * 2)) + data[end:]
    return data


def by_the_grammar(data: bytes) -> SipRequest | SipResponse:
    """Parsed and validated by message.py, with all that `plain` reads."""
    message = parse_message(data)
    validate(message)
    for name in ("contact", "content_type"):
        with contextlib.suppress(SipParseError):
            getattr(message, name)
    return message


@settings(max_examples=1500)
@given(damaged())
@example(INVITE)
@example(ANSWER)
def test_what_is_plain_means_what_the_grammar_says(data: bytes) -> None:
    message = plain(data)
    event(f"plain: {message is not None}")
    if message is None:
        return
    expected = by_the_grammar(data)
    assert message == expected
    assert type(message) is type(expected)
    assert message.headers.repeated == expected.headers.repeated
    assert message.encode() == expected.encode()
    for name, value in message.headers.known.items():
        assert value == expected.headers.known[name]
        assert repr(value) == repr(expected.headers.known[name])  # also the order of parameters
        assert message.headers.get(name) == expected.headers.get(name)


def test_ordinary_messages_are_plain() -> None:
    for data, read in ((INVITE, 8), (ANSWER, 5)):
        message = plain(data)
        assert message is not None
        assert len(message.headers.known) == read


def test_the_messages_of_the_torture_tests_mean_the_same() -> None:
    plain_ones = [(data, message) for data in CORPUS if (message := plain(data)) is not None]
    assert plain_ones
    for data, message in plain_ones:
        assert message == by_the_grammar(data)
