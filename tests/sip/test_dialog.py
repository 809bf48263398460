"""RFC 3261 12: tags, sequence numbers, route sets, remote target."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sip.addresses import Hop, Path
from softswitch.sip.dialog import Dialog, hop_of
from softswitch.sip.message import Headers, SipRequest, SipResponse, parse_message

SOURCE = Path(Hop("udp", "192.0.2.7", 5080), 1)
VIA = "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx"
BASE = [("From", "A <sip:a@10.0.0.9>;tag=a"), ("To", "<sip:100@10.0.0.1>"), ("Call-ID", "c"), ("CSeq", "7 INVITE")]


def invite(*headers: tuple[str, str]) -> SipRequest:
    return SipRequest("INVITE", "sip:100@10.0.0.1", Headers([*BASE, *headers]), b"")


def ok(*headers: tuple[str, str], tag: str = "b") -> SipResponse:
    pairs = [("From", "<sip:a@10.0.0.1>;tag=a"), ("To", f"<sip:100@10.0.0.9>;tag={tag}"), ("Call-ID", "c")]
    return SipResponse(200, "OK", Headers([*pairs, ("CSeq", "1 INVITE"), *headers]), b"")


def uac(*headers: tuple[str, str]) -> Dialog:
    return Dialog.as_uac("<sip:a@10.0.0.1>;tag=a", 1, "sip:100@10.0.0.9", ok(*headers), SOURCE)


def sent(dialog: Dialog, method: str = "BYE") -> SipRequest:
    message = parse_message(dialog.request(method, VIA))
    assert isinstance(message, SipRequest)
    return message


def test_uas_side_turns_from_and_to_round_and_adds_our_tag() -> None:
    """12.1.1."""
    dialog = Dialog.as_uas(invite(("Contact", "<sip:a@10.0.0.9:5070>")), "b", SOURCE)
    bye = sent(dialog)
    assert (bye.uri, bye.headers.get("From"), bye.headers.get("To")) == (
        "sip:a@10.0.0.9:5070",
        "<sip:100@10.0.0.1>;tag=b",
        "A <sip:a@10.0.0.9>;tag=a",
    )
    assert (bye.call_id, str(bye.cseq), bye.max_forwards) == ("c", "1 BYE", 70)
    assert dialog.path == Path(Hop("udp", "10.0.0.9", 5070), 1)
    assert dialog.remote_tag == "a"


def test_uas_route_set_is_record_route_in_order() -> None:
    dialog = Dialog.as_uas(
        invite(("Contact", "<sip:a@10.0.0.9>"), ("Record-Route", "<sip:10.0.0.3;lr>, <sip:10.0.0.4;lr>")), "b", SOURCE
    )
    bye = sent(dialog)
    assert bye.headers.all("Route") == ["<sip:10.0.0.3;lr>", "<sip:10.0.0.4;lr>"]
    assert bye.uri == "sip:a@10.0.0.9"
    assert dialog.path.hop == Hop("udp", "10.0.0.3", 5060)


def test_uac_route_set_is_record_route_reversed() -> None:
    """12.1.2."""
    dialog = uac(("Contact", "<sip:b@10.0.0.9>"), ("Record-Route", "<sip:10.0.0.3;lr>, <sip:10.0.0.4:5090;lr>"))
    assert sent(dialog).headers.all("Route") == ["<sip:10.0.0.4:5090;lr>", "<sip:10.0.0.3;lr>"]
    assert dialog.path.hop == Hop("udp", "10.0.0.4", 5090)


def test_a_strict_router_gets_itself_as_request_uri_and_the_target_as_last_route() -> None:
    """12.2.1.1."""
    dialog = uac(("Contact", "<sip:b@10.0.0.9>"), ("Record-Route", "<sip:10.0.0.3;lr>, <sip:10.0.0.4>"))
    bye = sent(dialog)
    assert bye.uri == "sip:10.0.0.4"
    assert bye.headers.all("Route") == ["<sip:10.0.0.3;lr>", "<sip:b@10.0.0.9>"]
    assert dialog.path.hop.host == "10.0.0.4"


def test_the_2xx_replaces_route_set_and_target_of_the_early_dialog() -> None:
    """13.2.2.4."""
    dialog = uac(("Contact", "<sip:early@10.0.0.9>"), ("Record-Route", "<sip:10.0.0.3;lr>"))
    dialog.update(ok(("Contact", "<sip:late@10.0.0.8>")))
    bye = sent(dialog)
    assert bye.uri == "sip:late@10.0.0.8"
    assert "Route" not in bye.headers


def test_a_target_refresh_moves_the_target_and_keeps_the_routes() -> None:
    """12.2.1.2: the route set never changes once the dialog is confirmed."""
    dialog = uac(("Contact", "<sip:b@10.0.0.9>"), ("Record-Route", "<sip:10.0.0.3;lr>"))
    dialog.refresh(invite(("Contact", "<sip:moved@10.0.0.8>"), ("Record-Route", "<sip:10.0.0.66;lr>")))
    bye = sent(dialog)
    assert bye.uri == "sip:moved@10.0.0.8"
    assert bye.headers.all("Route") == ["<sip:10.0.0.3;lr>"]


@pytest.mark.parametrize("headers", [[], [("Contact", "*")], [("Contact", "<sip:b@10.0.0.9>")]])
def test_a_refresh_without_a_new_contact_changes_nothing(headers: list[tuple[str, str]]) -> None:
    dialog = uac(("Contact", "<sip:b@10.0.0.9>"))
    dialog.refresh(ok(*headers))
    assert dialog.remote_target == "sip:b@10.0.0.9"


def test_requests_count_up_and_an_ack_keeps_the_number_of_its_invite() -> None:
    dialog = uac(("Contact", "<sip:b@10.0.0.9>"))
    assert str(sent(dialog, "INFO").cseq) == "2 INFO"
    ack = parse_message(
        dialog.request("ACK", VIA, cseq=1, more="X: y\r\n", body=b"v=0", content_type="application/sdp")
    )
    assert (str(ack.cseq), ack.headers.get("X"), ack.body, ack.content_type) == (
        "1 ACK",
        "y",
        b"v=0",
        "application/sdp",
    )
    assert str(sent(dialog).cseq) == "3 BYE"


def test_requests_of_the_other_side_must_count_up() -> None:
    """12.2.2."""
    dialog = Dialog.as_uas(invite(("Contact", "<sip:a@10.0.0.9>")), "b", SOURCE)
    assert [dialog.accepts(number) for number in (7, 6, 8, 8, 100, 9)] == [False, False, True, False, True, False]
    assert uac().accepts(0)


def test_an_invite_without_contact_is_answered_at_its_from() -> None:
    dialog = Dialog.as_uas(invite(), "b", SOURCE)
    assert sent(dialog).uri == "sip:a@10.0.0.9"


@pytest.mark.parametrize("name", ["Contact", "Record-Route"])
def test_an_invite_that_can_not_make_a_dialog_names_its_header(name: str) -> None:
    with pytest.raises(SipParseError):
        Dialog.as_uas(invite((name, "<sip:")), "b", SOURCE)


def test_a_2xx_without_contact_leaves_the_uri_that_was_called() -> None:
    assert sent(uac()).uri == "sip:100@10.0.0.9"
    assert sent(uac(("Contact", "<"))).uri == "sip:100@10.0.0.9"


def test_unreadable_routes_in_a_response_count_as_none() -> None:
    bye = sent(uac(("Contact", "<sip:b@10.0.0.9>"), ("Record-Route", "nonsense")))
    assert "Route" not in bye.headers


def test_a_missing_to_tag_is_an_empty_tag() -> None:
    """12.1.2: RFC 2543 peers send none."""
    response = ok()
    response.headers.set("To", "<sip:100@10.0.0.9>")
    assert Dialog.as_uac("<sip:a@10.0.0.1>;tag=a", 1, "sip:100@10.0.0.9", response, SOURCE).remote_tag == ""
    request = invite(("Contact", "<sip:a@10.0.0.9>"))
    request.headers.set("From", "<sip:a@10.0.0.9>")
    assert Dialog.as_uas(request, "b", SOURCE).remote_tag == ""


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("sip:b@10.0.0.9", "10.0.0.9", 5060),
        ("sip:10.0.0.9:5070;lr", "10.0.0.9", 5070),
        ("sip:b@[2001:db8::1]", "2001:db8::1", 5060),
        ("sip:b@example.com", "example.com", 0),
        ("sip:b@example.com:5070", "example.com", 5070),
        ("sip:b@example.com;maddr=10.0.0.5", "10.0.0.5", 5060),  # RFC 3261 19.1.1: in the place of the host
        ("sip:b@10.0.0.9:5070;maddr=[2001:db8::5];lr", "2001:db8::5", 5070),
        ("sip:b@10.0.0.9;maddr=sbc.example", "sbc.example", 0),
        ("sip:b@10.0.0.9;maddr", "10.0.0.9", 5060),
        ("sip:b@10.0.0.9;maddr=10.0.0.5:5070", "10.0.0.9", 5060),  # no host, as the next ones (25.1)
        ("sip:b@10.0.0.9;maddr=a:b.example", "10.0.0.9", 5060),
        ("sip:b@10.0.0.9;maddr=[]", "10.0.0.9", 5060),
        ("sip:b@10.0.0.9;maddr=fe80::1%25eth0", "10.0.0.9", 5060),
        ("tel:+8610", "192.0.2.7", 5080),
        ("nonsense", "192.0.2.7", 5080),
    ],
)
def test_the_next_hop_is_the_host_or_where_messages_came_from(uri: str, host: str, port: int) -> None:
    assert hop_of(uri, SOURCE.hop) == Hop("udp", host, port)


def test_unknown_schemes_are_taken_as_loose_routers() -> None:
    dialog = uac(("Contact", "<sip:b@10.0.0.9>"), ("Record-Route", "<urn:service:x>"))
    assert sent(dialog).uri == "sip:b@10.0.0.9"
    assert dialog.path.hop == SOURCE.hop


class Names:
    """A `Route` that knows some names; `asked` tells which were looked for."""

    def __init__(self, **known: str) -> None:
        self.known, self.asked = known, list[Hop]()

    def __call__(self, hop: Hop, near: Path) -> Path | None:
        self.asked.append(hop)
        host = self.known.get(hop.host.partition(".")[0])
        return None if host is None else near._replace(hop=hop._replace(host=host, port=hop.port or 5060), connection=0)


def test_a_host_name_is_looked_up_for_each_request_until_it_is_known() -> None:
    """12.2.1.1: the next hop by RFC 3263; meanwhile the dialog goes on as it came."""
    names = Names()
    dialog = Dialog.as_uas(invite(("Contact", "<sip:a@sbc.example;transport=udp>")), "b", SOURCE, names)
    assert dialog.path == dialog.path == SOURCE
    names.known["sbc"] = "10.0.0.5"
    assert dialog.path.hop == dialog.path.hop == Hop("udp", "10.0.0.5", 5060)
    assert names.asked == [Hop("udp", "sbc.example", 0)] * 4  # known: never asked again
    dialog.refresh(invite(("Contact", "<sip:a@10.0.0.9>")))
    assert Dialog.as_uas(invite(("Contact", "<sip:a@sbc.example>")), "b", SOURCE).path == SOURCE


def test_a_name_that_leads_to_where_the_dialog_came_from_leaves_it_there() -> None:
    dialog = Dialog.as_uas(invite(("Contact", "<sip:a@sbc.example>")), "b", SOURCE, lambda hop, near: near)
    assert dialog.path is SOURCE


def test_a_peer_that_calls_itself_by_name_is_reached_by_its_connection() -> None:
    """Its own Via names the same host: whatever DNS says, the connection leads there."""
    source = Path(Hop("tcp", "192.0.2.7", 40000), 1, 9)
    request = invite(("Via", "SIP/2.0/TCP sbc.example;branch=z9hG4bKa"), ("Contact", "<sip:a@sbc.example>"))
    dialog = Dialog.as_uas(request, "b", source, Names(sbc="10.0.0.5"))
    assert dialog.path == Path(Hop("tcp", "10.0.0.5", 5060), 1, 9)
    other = invite(("Via", "SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKa"), ("Contact", "<sip:a@sbc.example>"))
    assert Dialog.as_uas(other, "b", source, Names(sbc="10.0.0.5")).path.connection == 0


def test_requests_too_long_for_udp_may_be_allowed_tcp() -> None:
    dialog = Dialog.as_uas(invite(("Contact", "<sip:a@10.0.0.9>")), "b", SOURCE)
    dialog.know_peer(large_by_tcp=True)
    assert dialog.path.large_by_tcp
    dialog.refresh(invite(("Contact", "<sip:a@10.0.0.8>")))
    assert dialog.path == Path(Hop("udp", "10.0.0.8", 5060), 1, large_by_tcp=True)


@pytest.mark.parametrize(
    ("contact", "named"),
    [("10.0.0.8", False), ("[2001:db8::8]", False), ("1.2.3", True), ("a.b.c.d", True), ("999.999.999.999", True)],
)
def test_a_contact_that_is_no_address_is_a_name(contact: str, named: bool) -> None:
    """RFC 3986 3.2.2: digits and dots that are no IPv4 address are a registered name."""
    dialog = Dialog.as_uas(invite(("Contact", f"<sip:a@{contact}>")), "b", SOURCE)
    assert (dialog.named is not None) is named
