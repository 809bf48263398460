"""Our listeners as peers see them, and which of them reaches whom (RFC 3261 8.1.1.7, 8.1.1.8, 18.1.1)."""

from __future__ import annotations

import pytest

from softswitch.sip.addresses import Hop, Listener, LocalAddresses, Path, bracketed

LOCAL = LocalAddresses(
    [
        Listener("10.0.0.1", 5060),
        Listener("10.0.0.1", 5062, "tcp"),
        Listener("2001:db8::1", 5060),
        Listener("2001:db8::1", 5061, "tls"),
        Listener("10.0.0.2", 5060, "udp", "sw.example", 5070),
    ]
)


def test_via_and_contact_tell_transport_and_what_is_advertised() -> None:
    assert LOCAL.vias == [
        "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=",
        "SIP/2.0/TCP 10.0.0.1:5062;rport;branch=",
        "SIP/2.0/UDP [2001:db8::1]:5060;rport;branch=",
        "SIP/2.0/TLS [2001:db8::1]:5061;rport;branch=",
        "SIP/2.0/UDP sw.example:5070;rport;branch=",
    ]
    assert LOCAL.contacts == [
        "Contact: <sip:10.0.0.1:5060>\r\n",
        "Contact: <sip:10.0.0.1:5062;transport=tcp>\r\n",
        "Contact: <sip:[2001:db8::1]:5060>\r\n",
        "Contact: <sip:[2001:db8::1]:5061;transport=tls>\r\n",
        "Contact: <sip:sw.example:5070>\r\n",
    ]
    assert LOCAL.hosts[3] == "[2001:db8::1]"


def test_a_contact_of_ours_is_known_again_by_what_was_told() -> None:
    assert LOCAL.has("10.0.0.1", 5062) and LOCAL.has("10.0.0.1", None) and LOCAL.has("2001:db8::1", 5061)
    assert LOCAL.has("sw.example", 5070) and not LOCAL.has("10.0.0.2", 5060)
    assert not LOCAL.has("10.0.0.1", 5070) and not LOCAL.has("sw.example", None)


@pytest.mark.parametrize(
    ("transport", "host", "listener"),
    [
        ("udp", "192.0.2.1", 0),
        ("udp", "2001:db8::9", 2),
        ("tcp", "192.0.2.1", 1),
        ("tcp", "2001:db8::9", None),
        ("tls", "192.0.2.1", None),
        ("tls", "sbc.example", 3),  # may have an IPv6 address
        ("tcp", "sbc.example", 1),
    ],
)
def test_a_request_leaves_by_a_listener_of_its_transport_and_family(
    transport: str, host: str, listener: int | None
) -> None:
    assert LOCAL.listener_for(Hop(transport, host, 5060)) == listener


def test_an_ipv6_address_that_ends_in_a_letter_is_no_host_name() -> None:
    local = LocalAddresses([Listener("192.0.2.1", 5060)])
    assert [local.listener_for(Hop("udp", host, 5060)) for host in ("2001:db8::a", "a.example")] == [None, 0]


def test_a_host_name_that_ends_in_a_digit_is_no_ipv4_address() -> None:
    """RFC 3261 25.1: the last label of a name may end in one."""
    local = LocalAddresses([Listener("2001:db8::1", 5060)])
    assert [local.listener_for(Hop("udp", host, 5060)) for host in ("pbx1", "a.b2", "192.0.2.1")] == [0, 0, None]


def test_a_dialog_stays_with_its_listener_where_that_fits() -> None:
    hop = Hop("udp", "192.0.2.1", 5060)
    assert LOCAL.path_to(hop, Path(hop, 4, 7, large_by_tcp=True)) == Path(hop, 4, 0, large_by_tcp=True)


def test_a_dialog_goes_over_to_another_listener_for_another_transport_or_family() -> None:
    near = Path(Hop("udp", "192.0.2.1", 5060), 4)
    assert LOCAL.path_to(Hop("tcp", "192.0.2.1", 5060), near).listener == 1
    assert LOCAL.path_to(Hop("udp", "2001:db8::9", 5060), near).listener == 2


def test_a_dialog_keeps_its_transport_where_there_is_no_listener_for_the_one_asked_for() -> None:
    near = Path(Hop("udp", "192.0.2.1", 5060), 4)
    assert LOCAL.path_to(Hop("tls", "192.0.2.1", 5061), near) == Path(Hop("udp", "192.0.2.1", 5061), 0)
    near = Path(Hop("tcp", "192.0.2.1", 5060), 1)
    assert LOCAL.path_to(Hop("tls", "2001:db8::9", 5061), near).listener == 3
    assert LOCAL.path_to(Hop("tcp", "2001:db8::9", 5061), near) == Path(Hop("tcp", "2001:db8::9", 5061), 1)


def test_a_long_request_is_rewritten_for_tcp() -> None:
    """18.1.1: "the value in the top Via MUST be changed"."""
    path = Path(Hop("udp", "192.0.2.1", 5090), 0, large_by_tcp=True)
    request = b"INVITE x SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKx\r\n\r\n"
    moved = LOCAL.by_tcp(request, path)
    assert moved == (
        b"INVITE x SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1:5062;rport;branch=z9hG4bKx\r\n\r\n",
        Path(Hop("tcp", "192.0.2.1", 5090), 1),
    )
    assert LOCAL.by_tcp(*moved) is None
    assert LOCAL.by_tcp(request, Path(Hop("udp", "2001:db8::9", 5060), 2)) is None


def test_ipv6_stands_in_brackets() -> None:
    assert (bracketed("::1"), bracketed("127.0.0.1")) == ("[::1]", "127.0.0.1")
