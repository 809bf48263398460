"""Header names and typed header values (RFC 3261 7.3, 20, 25.1; RFC 3581)."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sip.headers import CSeq, NameAddr, Via, canonical_name, parse_cseq, parse_name_addr, parse_via


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("Via", "Via"),
        ("v", "Via"),
        ("V", "Via"),
        ("VIA", "Via"),
        ("call-id", "Call-ID"),
        ("Call-Id", "Call-ID"),
        ("i", "Call-ID"),
        ("cseq", "CSeq"),
        ("l", "Content-Length"),
        ("www-authenticate", "WWW-Authenticate"),
        ("p-asserted-identity", "P-Asserted-Identity"),
        ("max-forwards  \t", "Max-Forwards"),
        ("x-my-header", "X-My-Header"),
        ("min-se", "Min-SE"),
    ],
)
def test_every_spelling_of_a_name_becomes_one(written: str, canonical: str) -> None:
    assert canonical_name(written) == canonical
    assert canonical_name(canonical) == canonical


@pytest.mark.parametrize("name", ["", " Via", "Call ID", "To\x00", "é"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(SipParseError):
        canonical_name(name)


def test_a_via_is_taken_apart() -> None:
    via = parse_via("SIP/2.0/UDP pc33.atlanta.com:5066;branch=z9hG4bK776;rport=5070;received=192.0.2.1")
    assert (via.transport, via.host, via.port) == ("UDP", "pc33.atlanta.com", 5066)
    assert (via.branch, via.rport, via.received) == ("z9hG4bK776", 5070, "192.0.2.1")


def test_a_via_may_have_white_space_everywhere() -> None:
    via = parse_via("SIP / 2.0 / udp first.example.com : 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7")
    assert str(via) == "SIP/2.0/UDP first.example.com:4000;ttl=16;maddr=224.2.0.1;branch=z9hG4bKa7"


def test_a_bare_rport_asks_for_the_port_and_tells_none() -> None:
    via = parse_via("SIP/2.0/UDP h;rport")
    assert "rport" in via.params
    assert via.rport is None


def test_a_via_of_an_old_peer_has_no_branch() -> None:
    via = parse_via("SIP/2.0/TCP 192.0.2.1")
    assert via == Via("TCP", "192.0.2.1")
    assert (via.branch, via.rport, via.received) == ("", None, None)


def test_an_ipv6_via_is_written_in_brackets() -> None:
    via = parse_via("SIP/2.0/UDP [2001:db8::9:1]:5060;branch=z9hG4bKas3")
    assert via.host == "2001:db8::9:1"
    assert str(via) == "SIP/2.0/UDP [2001:db8::9:1]:5060;branch=z9hG4bKas3"


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/7.0/UDP h", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:65536", "SIP/2.0/UDP h branch=1", "UDP h"],
)
def test_a_malformed_via_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        parse_via(text)


@pytest.mark.parametrize("rport", ["x", "-1", "65536"])
def test_a_malformed_rport_is_refused_when_asked_for(rport: str) -> None:
    via = parse_via(f"SIP/2.0/UDP h;rport={rport}")
    with pytest.raises(SipParseError, match="rport"):
        _ = via.rport


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"A. G. Bell" <sip:agb@bell.com> ;tag=a48s', NameAddr("A. G. Bell", "sip:agb@bell.com", {"tag": "a48s"})),
        ("Anonymous <sip:c8@cloud9.net>;tag=x", NameAddr("Anonymous", "sip:c8@cloud9.net", {"tag": "x"})),
        ("sip:+12125551212@server.com;tag=887s", NameAddr("", "sip:+12125551212@server.com", {"tag": "887s"})),
        ("<sip:a@h;lr?x=1>", NameAddr("", "sip:a@h;lr?x=1")),
        ("<tel:+86,1>", NameAddr("", "tel:+86,1")),
        ('"\\"q\\" <x>"<sip:a@h>', NameAddr('"q" <x>', "sip:a@h")),
        ("张三 <sip:a@h>", NameAddr("张三", "sip:a@h")),
    ],
)
def test_an_address_is_taken_apart(text: str, expected: NameAddr) -> None:
    address = parse_name_addr(text)
    assert address == expected
    assert parse_name_addr(str(address)) == address


def test_parameters_outside_the_brackets_are_the_headers() -> None:
    address = parse_name_addr("<sip:a@h;tag=uri>;tag=header")
    assert address.tag == "header"
    assert parse_name_addr("<sip:a@h;tag=uri>").tag is None


def test_a_display_name_is_written_quoted() -> None:
    assert str(NameAddr('A "B"', "sip:a@h", {"tag": "1"})) == '"A \\"B\\"" <sip:a@h>;tag=1'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "Bell, Alexander <sip:a@h>",
        '"open <sip:a@h>',
        "<sip:a@h",
        "< sip:a@h>",
        "<sip:a h>",
        "<a@h>",
        "<sip:a@h> junk",
        "sip:a@h?Route=x",
        "<sip:a@h>;=1",
        " " * 50_000 + "x",
    ],
)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        parse_name_addr(text)


def test_cseq_is_a_number_and_a_method() -> None:
    assert parse_cseq("0009  INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(9, "INVITE")) == "9 INVITE"
    assert parse_cseq("2147483647 ACK").number == 2**31 - 1


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1 IN VITE", "2147483648 ACK", "-1 ACK", "36893488147419103232 ACK"]
)
def test_a_malformed_cseq_is_refused(text: str) -> None:
    with pytest.raises(SipParseError, match="CSeq"):
        parse_cseq(text)
