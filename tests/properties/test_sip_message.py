"""Whatever the bytes: parsed or SipParseError, and what was parsed is written and read again the same (RFC 3261 7)."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.grammar import quote, split_commas, unquote
from softswitch.sip.headers import NameAddr, Via, parse_name_addr, parse_via
from softswitch.sip.message import (
    Headers,
    SipRequest,
    SipResponse,
    parse_message,
    validate,
)
from softswitch.sip.uri import SipUri, parse_uri
from tests.support.responses import make_response

TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
# Any text a header can hold: no line breaks, no lone surrogates (those come from bytes, tried below).
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30).map(
    lambda text: text.strip(" \t")
)
NAMES = st.sampled_from(["Via", "v", "FROM", "To", "Call-ID", "CSeq", "Route", "Subject", "X-Own"]) | TOKENS
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(
    lambda pairs: [(name, value) for name, value in pairs if name.lower() not in ("l", "content-length")]
)
REQUESTS = st.builds(
    SipRequest,
    TOKENS.filter(lambda method: not method.startswith("SIP/")),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30),
    PAIRS.map(Headers),
    st.binary(max_size=60),
)
RESPONSES = st.builds(SipResponse, st.integers(100, 699), VALUES, PAIRS.map(Headers), st.binary(max_size=60))

SEED = (
    b"INVITE sip:+8617010001234@10.0.0.1;user=phone SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 10.1.1.1:5060;branch=z9hG4bK1;rport, SIP/2.0/UDP [::1]\r\n"
    b'To: "A, \\"B\\"" <sip:b@h>\r\n'
    b"f: sip:a@h;tag=1\r\n"
    b"Call-ID: 1@h\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Subject: folded\r\n line\r\n"
    b"m: <sip:a@h:5060;transport=udp>\r\n"
    b"c: application/sdp\r\n"
    b"l: 3\r\n\r\nv=0"
)


@st.composite
def damaged_messages(draw: st.DrawFn) -> bytes:
    """A good message with a few bytes cut out, doubled or replaced."""
    data = SEED
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        data = data[:start] + draw(st.binary(max_size=6) | st.just(data[start:end] * 2)) + data[end:]
    return data


def read_every_header(message: SipRequest | SipResponse) -> None:
    for name in ("via", "from_", "to", "cseq", "call_id", "contact", "max_forwards", "content_type"):
        with contextlib.suppress(SipParseError):
            getattr(message, name)
    with contextlib.suppress(SipParseError):
        validate(message)
    for name, _ in message.headers:
        message.headers.all(name)


@given(st.binary(max_size=200) | damaged_messages())
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        message = parse_message(data)
    except SipParseError:
        return
    read_every_header(message)
    assert parse_message(message.encode()) == message
    if isinstance(message, SipRequest):
        response = make_response(message, 200, to_tag="x")
        assert parse_message(response.encode()) == response


@given(REQUESTS | RESPONSES)
def test_any_message_survives_encoding(message: SipRequest | SipResponse) -> None:
    assert parse_message(message.encode()) == message


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for parse in (parse_name_addr, parse_via, parse_uri):
        with contextlib.suppress(SipParseError):
            value: NameAddr | Via | SipUri = parse(text)
            assert parse(str(value)) == value


@given(st.lists(st.text(max_size=10).map(quote), max_size=6))
def test_quoted_elements_of_a_list_are_told_apart(elements: list[str]) -> None:
    assert split_commas(", ".join(elements)) == elements
    assert all(quote(unquote(element)) == element for element in elements)


@given(
    st.builds(
        SipUri,
        st.sampled_from(["sip", "sips"]),
        st.none() | st.text(min_size=1, max_size=12),
        st.none(),
        st.sampled_from(["h.example", "10.0.0.1", "::1"]),
        st.none() | st.integers(0, 65535),
        st.dictionaries(TOKENS.map(str.lower), st.none() | TOKENS, max_size=3),
    )
)
def test_any_uri_survives_being_written(uri: SipUri) -> None:
    assert parse_uri(str(uri)) == uri
