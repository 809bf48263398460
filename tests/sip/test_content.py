"""Bodies: RFC 3261 8.2.3, 20.1 and 20.11, RFC 2046 5.1, RFC 5621."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.content import description, readable, takes_description
from softswitch.sip.message import Headers, SipRequest, SipResponse

SDP = b"v=0\r\n"
ISUP = b"\x01\x10\x00"


def described(body: bytes, **fields: str) -> bytes | None:
    """By a request with these header fields, underscores standing for hyphens."""
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return description(SipRequest("INVITE", "sip:100@10.0.0.1", Headers(pairs), body))


def several(
    *parts: tuple[str, bytes], end: str = "--cut--", kind: str = 'multipart/mixed; boundary="cut"'
) -> bytes | None:
    """By a body of parts, each with the text of its header fields."""
    written = [b"--cut\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts]
    return described(b"".join([b"before\r\n", *written, end.encode()]), Content_Type=kind)


TYPED = "Content-Type: application/sdp"
SIGNAL = "Content-Type: application/ISUP; version=itu-t92+\r\nContent-Disposition: signal"


def test_a_description_is_taken_as_it_is_and_so_is_a_body_without_a_type() -> None:
    assert described(SDP, Content_Type="Application/SDP; charset=utf-8") == SDP
    assert described(SDP) == SDP
    assert described(SDP, Content_Type="application/sdp", Content_Encoding="identity") == SDP
    assert described(b"", Content_Type="text/plain") == b""


def test_another_type_or_a_coding_must_be_understood_unless_it_says_that_it_is_optional() -> None:
    """20.11: "If the handling parameter is missing, the value 'required' SHOULD be assumed." """
    assert described(b"<pcmu/>", Content_Type="application/unknownformat") is None
    assert described(b"<pcmu/>", Content_Type="text/xml", Content_Disposition="render; handling=optional") == b""
    assert described(b"<pcmu/>", Content_Type="text/xml", Content_Disposition='render;handling="Required"') is None
    assert described(b"<pcmu/>", Content_Type="text/xml", Content_Disposition="render;x=1") is None
    assert described(b"\x1f\x8b", Content_Type="application/sdp", Content_Encoding="gzip") is None


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=cut", 'multipart/alternative;boundary="cut"'])
def test_of_several_parts_the_description_is_taken(kind: str) -> None:
    assert several((TYPED, SDP), (SIGNAL, ISUP), kind=kind) == SDP
    assert several((f"{SIGNAL}; handling=optional", ISUP), (TYPED, SDP), kind=kind) == SDP
    assert several((TYPED, SDP), ("Content-Type: text/plain", b"hello"), end="") == SDP  # its end was forgotten


def test_a_part_that_must_be_understood_is_not_passed_over() -> None:
    assert several((TYPED, SDP), (f"{SIGNAL}; handling=required", ISUP)) is None
    assert several((SIGNAL, ISUP)) is None
    assert several((f"{SIGNAL}; handling=optional", ISUP)) == b""


@given(body=st.binary(max_size=300), kind=st.sampled_from(["multipart/mixed; boundary=cut", "text/plain", ""]))
def test_no_body_does_harm(body: bytes, kind: str) -> None:
    for cut in (body, b"--cut\r\n" + body.replace(b"\xff", b"\r\n--cut") + b"--cut--"):
        found = described(cut, Content_Type=kind)
        assert found is None or found == cut or found in cut


def test_parts_that_can_not_be_found_are_none() -> None:
    assert described(SDP, Content_Type="multipart/mixed") is None
    assert described(SDP, Content_Type="multipart/mixed; boundary=cut") is None
    with pytest.raises(SipParseError):
        described(SDP, Content_Type="multipart/mixed; bound ary=cut")


def test_what_nobody_may_refuse_counts_as_empty_where_it_can_not_be_read() -> None:
    """An ACK, or a 2xx, which must have its ACK (RFC 3261 13.2.2.4)."""
    for kind in ("multipart/mixed; bound ary=cut", "text/plain"):
        headers = Headers([("Content-Type", kind)])
        assert readable(SipResponse(200, "OK", headers, SDP)) == b""
    assert readable(SipRequest("ACK", "sip:100@10.0.0.1", Headers(), SDP)) == SDP


def test_a_boundary_that_is_no_utf_8_is_taken_byte_by_byte() -> None:
    boundary = b"\xff".decode("utf-8", "surrogateescape")
    body = b"--\xff\r\n\r\n" + SDP + b"\r\n--\xff--"
    assert described(body, Content_Type=f'multipart/mixed; boundary="{boundary}"') == SDP
    assert described(SDP, Content_Type=f'multipart/mixed; boundary="{boundary}"') is None


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("application/sdp", True),
        ("Application/SDP", True),
        ("application / sdp", True),
        ("application/sdp;level=1;q=0.3", True),
        ("application/sdp;q=0.001", True),
        ("application/sdp;q=0", False),
        ("application/sdp ; Q = 0.000", False),
        ("*/*", True),
        ("*/*;q=0", False),
        ("application/*", True),
        ("application/*;q=0", False),
        ("text/*", False),
        ("text/plain", False),
        ("multipart/mixed, application/isup", False),
        ("text/plain, application/sdp", True),
        ("text/plain, */*;q=0.1", True),
        ("*/*, application/*;q=0", False),
        ("application/sdp;q=0, */*", False),
        ("application/*;q=0, application/sdp", True),
        ("application/sdp;q=0, application/sdp", True),
        ("application/sdp, application/sdp;q=0", True),
        ("", False),
        (" ", False),
        (",", False),
        ("application/sdp text/plain", True),
        ("text plain", True),
        ("*", True),
        ("text", False),
        (";q=0", True),
    ],
)
def test_what_accept_leaves_room_for(accept: str, taken: bool) -> None:
    """20.1 and RFC 2616 14.1: the narrowest range counts, q=0 is "not acceptable", an empty Accept takes nothing."""
    assert takes_description(SipRequest("INVITE", "sip:a@b", Headers([("Accept", accept)]))) is taken


def test_accept_may_stand_in_several_lines_and_means_descriptions_where_there_is_none() -> None:
    lines = [("Accept", "text/plain"), ("ACCEPT", "application/sdp")]
    assert takes_description(SipRequest("INVITE", "sip:a@b", Headers(lines)))
    assert not takes_description(SipRequest("INVITE", "sip:a@b", Headers(lines[:1])))
    assert takes_description(SipRequest("INVITE", "sip:a@b", Headers([("Accept-Encoding", "identity")])))
