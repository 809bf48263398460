"""The last look at every message: what it finds, what it drops, what it refuses, what it must leave alone."""

from __future__ import annotations

import pytest

from softswitch.call.leak_guard import LeakGuard, national_digits
from softswitch.sip.session import LeakRefused

NUMBER = "+8613900000002"
FORMS = [
    "+8613900000002",
    "008613900000002",
    "8613900000002",
    "013900000002",
    "13900000002",
    "139-0000-0002",
    "139 0000 0002",
    "139.0000.0002",
    "(139)00000002",
    "139_0000_0002",
    "139/0000/0002",
    "139\t0000\t0002",
    "%31%33%39%30%30%30%30%30%30%30%32",
    "1390000%30002",
    "139%2d0000%2D0002",
]

OK = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:1@10.0.0.9>;tag=a\r\n"
    "To: <sip:X@10.0.0.1>;tag=b\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:10.0.0.1>\r\n{}"
    "Content-Length: 0\r\n\r\n"
)
INVITE = (
    "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2\r\nFrom: {from_};tag=a\r\nTo: {to}\r\n"
    "Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:10.0.0.1>\r\n{more}Content-Length: 0\r\n\r\n"
)


def invite(*, uri: str = "sip:x@h", from_: str = "<sip:x@h>", to: str = "<sip:x@h>", call_id: str = "c", more: str = ""
) -> bytes:  # fmt: skip
    return INVITE.format(uri=uri, from_=from_, to=to, call_id=call_id, more=more).encode()


class Hits(list[tuple[str, str]]):
    def __call__(self, what: str, where: str) -> None:
        self.append((what, where))


def guard(hits: Hits | None = None, *, addresses: tuple[str, ...] = ("10.0.0.21",)) -> LeakGuard:
    return LeakGuard([NUMBER], addresses, hits)


def test_a_clean_message_leaves_as_it_is() -> None:
    data = OK.format("Subject: 10086\r\n").encode()
    assert guard()(data) is data


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_of_the_number_is_dropped_with_its_header(form: str) -> None:
    hits = Hits()
    left = guard(hits)(OK.format(f"Subject: call {form} now\r\n").encode())
    assert left == OK.format("").encode()
    assert hits == [("number", "subject")]


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_the_number_leaves_in_a_body(form: str) -> None:
    hits = Hits()
    with pytest.raises(LeakRefused):
        guard(hits)(OK.format("").encode() + f"s={form}\r\n".encode())
    assert hits == [("number", "body")]


def test_the_other_trunks_address_is_dropped_with_its_header() -> None:
    hits = Hits()
    assert guard(hits)(OK.format("Warning: 399 10.0.0.21 busy\r\n").encode()) == OK.format("").encode()
    assert hits == [("address", "warning")]


def test_the_other_trunks_address_in_a_body_refuses_the_message() -> None:
    hits = Hits()
    with pytest.raises(LeakRefused):
        guard(hits)(OK.format("").encode() + b"c=IN IP4 10.0.0.21\r\n")
    assert hits == [("address", "body")]


@pytest.mark.parametrize("address", ["10.0.0.2", "0.0.0.21", "0.0.21", "10.0.0.21"])
def test_an_address_is_found_whole_only(address: str) -> None:
    """10.0.0.2 may not appear; 10.0.0.21, which only contains it, is somebody else."""
    data = OK.format("").encode() + b"c=IN IP4 10.0.0.21\r\no=- 1 1 IN IP4 110.0.0.212\r\n"
    found = guard(addresses=(address,))
    if address == "10.0.0.21":
        with pytest.raises(LeakRefused):
            found(data)
    else:
        assert found(data) is data


def test_an_address_with_a_port_or_at_the_end_of_a_sentence_is_found() -> None:
    for text in ("10.0.0.21:5060", "sip:10.0.0.21;lr", "[10.0.0.21]", "it was 10.0.0.21.", "at10.0.0.21"):
        assert guard()(OK.format(f"Subject: {text}\r\n").encode()) == OK.format("").encode()


def test_a_needed_header_is_never_dropped_but_refuses_the_message() -> None:
    hits = Hits()
    with pytest.raises(LeakRefused):
        guard(hits)(OK.replace("<sip:10.0.0.1>", "<sip:10.0.0.21>").format("").encode())
    assert hits == [("address", "contact")]


def test_a_reason_phrase_is_looked_at() -> None:
    with pytest.raises(LeakRefused):
        guard()(OK.replace("200 OK", "486 13900000002 is busy").format("").encode())


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "Record-Route"])
def test_what_a_peer_reads_back_from_its_own_request_is_no_leak(name: str) -> None:
    """Else a peer could probe for numbers by watching which of its calls are refused."""
    data = OK.format(f"{name}: <sip:{NUMBER}@10.0.0.21>\r\n").encode()
    hits = Hits()
    assert guard(hits)(data) == data
    assert hits == []


def test_the_request_uri_inside_a_dialog_is_the_peers_own_contact() -> None:
    data = invite(uri=f"sip:{NUMBER}@10.0.0.9", to="<sip:x@h>;tag=b")
    assert guard()(data) == data


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (invite(uri=f"sip:{NUMBER}@10.0.0.9"), "start line"),
        (invite(from_=f"<sip:{NUMBER}@10.0.0.1>"), "from"),
        (invite(from_=f'"{NUMBER}" <sip:x@10.0.0.1>'), "from"),
        (invite(to="<sip:13900000002@10.0.0.1>"), "to"),
        (invite(call_id="13900000002"), "call-id"),
    ],
)
def test_the_first_invite_echoes_nothing_so_all_of_it_is_looked_at(data: bytes, where: str) -> None:
    hits = Hits()
    with pytest.raises(LeakRefused):
        guard(hits)(data)
    assert hits == [("number", where)]


def test_a_header_of_the_first_invite_that_nobody_needs_is_dropped() -> None:
    assert guard()(invite(more="Diversion: <tel:+8613900000002>\r\n")) == invite()


def test_a_message_without_a_to_line_is_looked_at_like_one_inside_a_dialog() -> None:
    assert guard()(b"INVITE sip:13900000002@h SIP/2.0\r\nX: y\r\n\r\n") != b""


def test_a_broken_escape_is_only_text() -> None:
    data = OK.format("Subject: 100% of %zz and %4\r\n").encode()
    assert guard()(data) is data


def test_without_numbers_and_addresses_everything_passes() -> None:
    data = OK.format("Subject: 13900000002\r\n").encode()
    assert LeakGuard([""])(data) is data


def test_nobody_needs_to_be_told() -> None:
    assert guard()(OK.format("Subject: 13900000002\r\n").encode()) == OK.format("").encode()


@pytest.mark.parametrize(
    ("number", "digits"),
    [
        ("+8613900000002", b"13900000002"),
        ("+8675588880001", b"75588880001"),
        ("+4915123456789", b"123456789"),
        ("10086", None),
        ("", None),
        ("anonymous", None),
    ],
)
def test_the_digits_that_all_forms_have_in_common(number: str, digits: bytes | None) -> None:
    assert national_digits(number) == digits


def test_an_address_that_becomes_known_later_is_guarded_from_then_on() -> None:
    guard = LeakGuard([], ["10.0.0.2"])
    told = OK.format("Warning: 399 10.0.0.7 x\r\n").encode()
    assert guard(told) == told
    guard.protect(["10.0.0.7", "10.0.0.2"])
    assert guard(told) == OK.format("").encode()


# Host names


CALL = (
    "INVITE sip:x@10.0.0.9;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1:5060;rport;branch=z9hG4bK2\r\n"
    "From: <sip:x@10.0.0.1>;tag=a\r\nTo: <sip:x@10.0.0.9>\r\nCall-ID: c@10.0.0.1\r\nCSeq: 1 INVITE\r\n"
    "Contact: <sip:10.0.0.1:5060;transport=tcp>\r\nSupported: timer, 100rel\r\nUser-Agent: softswitch\r\n{}\r\n"
    "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.1\r\nm=audio 20000 RTP/AVP 8\r\na=ptime:20\r\n"
)


@pytest.mark.parametrize("host", ["sip", "a", "A", "tcp", "timer", "softswitch", "rtp", "1", "10", "x", "IP4", "audio"])
def test_a_trunk_whose_name_is_a_word_of_sip_is_called_all_the_same(host: str) -> None:
    """Names of one label are usual between containers; calls were refused for every "sip:" in them."""
    data = CALL.format("").encode()
    assert guard(addresses=(host,))(data) is data


@pytest.mark.parametrize(
    "line",
    [
        "X-Peer: <sip:13@pbx>",
        "X-Peer: <sip:pbx;lr>",
        "X-Peer: sips:PBX:5061",
        "X-Peer: http://pbx/1",
        "X-Peer: SIP/2.0/UDP pbx;branch=1",
        "X-Peer: 10.0.0.7;received=pbx",
        "X-Peer: <sip:10.0.0.7;maddr=pbx>",
        "X-Peer: 13%40pbx",
        'Warning: 399 pbx "busy"',
    ],
)
def test_a_name_of_one_label_is_found_where_hosts_stand(line: str) -> None:
    found = guard(addresses=("Pbx",))
    assert found(OK.format(f"{line}\r\n").encode()) == OK.format("").encode()
    for other in ("pbx2", "pbx.example", "pbx-2", "pbx_2"):
        data = OK.format(f"{line.replace('PBX', 'pbx').replace('pbx', other)}\r\n").encode()
        assert found(data) is data
    with pytest.raises(LeakRefused):
        found(OK.format("").encode() + b"c=IN IP4 pbx\r\n")


def test_a_user_of_that_name_is_no_host() -> None:
    data = OK.format("X-Peer: <sip:pbx@10.0.0.7>\r\n").encode()
    assert guard(addresses=("pbx",))(data) is data


def test_a_domain_is_found_anywhere_in_any_case_and_with_what_is_below_it() -> None:
    found = guard(addresses=("Carrier.example",))
    for text in ("carrier.example", "sip:CARRIER.EXAMPLE:5060", "sbc1.carrier.example", "it was carrier.example.",
                 "13%40carrier.example"):  # fmt: skip
        assert found(OK.format(f"X-Node: {text}\r\n").encode()) == OK.format("").encode()
    for text in ("mycarrier.example", "my-carrier.example", "carrier.examples", "carrier.example.net"):
        data = OK.format(f"X-Node: {text}\r\n").encode()
        assert found(data) is data


def test_an_ipv6_address_is_found_whole_only() -> None:
    """Ours may well begin like a trunk's: calls were refused for our own Contact."""
    found = guard(addresses=("2001:db8::1",))
    for text in ("2001:db8::1a", "2001:db8::1:5", "2001:db8::12", "12001:db8::1", "fe80:2001:db8::1"):
        data = OK.format(f"X-Node: <sip:[{text}]:5060>\r\n").encode()
        assert found(data) is data
    for text in ("<sip:[2001:db8::1]:5060>", "[2001:DB8::1]", "at 2001:db8::1.", "IN IP6 2001:db8::1"):
        assert found(OK.format(f"X-Node: {text}\r\n").encode()) == OK.format("").encode()
