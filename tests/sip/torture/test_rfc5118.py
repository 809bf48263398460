"""What the parser reads in the messages of RFC 5118, the IPv6 torture tests; what is answered: test_whole_core."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sdp.description import Connection, parse_description
from softswitch.sip.headers import parse_via
from softswitch.sip.message import SipRequest, parse_message
from softswitch.sip.uri import parse_uri
from tests.sip.torture import rfc5118


def read(data: bytes) -> SipRequest:
    message = parse_message(data)
    assert isinstance(message, SipRequest)
    return message


def test_an_ipv6_reference_is_a_host_in_every_place() -> None:
    """4.1."""
    message = read(rfc5118.IPV6_GOOD)
    assert parse_uri(message.uri).host == "2001:db8::10"
    assert (message.via.host, message.via.port) == ("2001:db8::9:1", None)
    assert message.contact is not None
    assert parse_uri(message.contact.uri).host == "2001:db8::1"


def test_an_address_without_brackets_is_none() -> None:
    """4.2."""
    with pytest.raises(SipParseError):
        parse_uri(read(rfc5118.IPV6_BAD).uri)


def test_a_port_stands_behind_the_bracket() -> None:
    """4.3, 4.4: inside the brackets the last group is no port."""
    ambiguous = parse_uri(read(rfc5118.PORT_AMBIGUOUS).uri)
    assert (ambiguous.host, ambiguous.port) == ("2001:db8::10:5070", None)
    unambiguous = parse_uri(read(rfc5118.PORT_UNAMBIGUOUS).uri)
    assert (unambiguous.host, unambiguous.port) == ("2001:db8::10", 5070)


@pytest.mark.parametrize("data", [rfc5118.VIA_RECEIVED_PARAM_WITH_DELIM, rfc5118.VIA_RECEIVED_PARAM_NO_DELIM])
def test_received_is_read_with_brackets_and_without(data: bytes) -> None:
    """4.5."""
    assert read(data).via.received == "2001:db8::9:255"


def test_an_address_in_sdp_has_no_brackets() -> None:
    """4.6."""
    body = rfc5118.IPV6_IN_SDP.partition(b"\r\n\r\n")[2]
    assert parse_description(body).connection == Connection("IP6", "2001:db8::20")


def test_addresses_of_both_families_stand_side_by_side() -> None:
    """4.7, 4.8."""
    vias = [parse_via(text) for text in read(rfc5118.MULT_IP_IN_HEADER).headers.all("Via")]
    assert [(via.host, via.port) for via in vias] == [
        ("2001:db8::9:1", 6050),
        ("192.0.2.1", None),
        ("2001:db8::9:255", None),
    ]
    description = parse_description(read(rfc5118.MULT_IP_IN_SDP).body)
    assert [description.connection_of(media) for media in description.media] == [
        Connection("IP4", "192.0.2.1"),
        Connection("IP6", "2001:db8::1"),
    ]


def test_an_ipv4_mapped_address_is_one_of_ipv6() -> None:
    """4.9."""
    message = read(rfc5118.IPV4_MAPPED_IPV6)
    assert (message.via.host, message.via.port) == ("::ffff:192.0.2.10", 19823)
    assert parse_description(message.body).connection == Connection("IP6", "::ffff:192.0.2.2")


@pytest.mark.parametrize(
    ("data", "host"),
    [
        (rfc5118.IPV6_BUG_ABNF_3_COLONS, "2001:db8:::192.0.2.1"),
        (rfc5118.IPV6_CORRECT_ABNF_2_COLONS, "2001:db8::192.0.2.1"),
    ],
)
def test_a_third_colon_does_not_stop_the_parser(data: bytes, host: str) -> None:
    """4.10: the ABNF of RFC 3261 allows it by mistake."""
    assert parse_uri(read(data).uri).host == host
