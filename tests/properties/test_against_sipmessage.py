"""Our parser against an independent one, PyPI's `sipmessage`: what both accept must mean the same (RFC 3261 7, 20, 25).

Only meaning is compared: each refuses what the other takes, within the RFC's liberties. Where `sipmessage` is known to
stray from the RFC, the functions that write its reading down in our words say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

import pytest
import sipmessage
from hypothesis import given, settings
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.headers import NameAddr, Via, parse_name_addr, parse_via
from softswitch.sip.message import SipRequest, SipResponse, parse_message
from softswitch.sip.uri import SipUri, parse_uri
from tests.sip.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid, rfc5118

REFUSED = object()
TORTURE = [
    pytest.param(torture.data, id=torture.name)
    for module in (rfc4475_valid, rfc4475_invalid, rfc4475_semantics, rfc5118)
    for torture in module.MESSAGES
]

# Pieces that are right, nearly right, and wrong, so that many of their products are taken by both.
WORDS = st.sampled_from(["a", "z9hG4bK-1", "8", "+8613900000000", "x.y", "%41", "a%20b", "*", "-", "~", "A'b"])
HOSTS = st.sampled_from(
    ["h", "h.example", "10.0.0.1", "[::1]", "[2001:db8::9:1]", "a-b.example.", "1.2", "H", "-h", "_x"]
)
PORTS = st.sampled_from(["", "", ":5060", ":0", ":65535", ":65536", ": 1", ":"])
VALUES = st.sampled_from(["", "=", "=1", "=a.b", '="q,<>"', '="a b"', "=[::1]", "=%3b", "= 7", "=10.0.0.1"])
SEMICOLONS = st.sampled_from([";", ";", " ; ", "; ", ";;", ","])
NAMES = st.sampled_from(["tag", "TAG", "branch", "rport", "received", "lr", "expires", "q", "x-Y", "transport"])
# No name stands twice, which RFC 3261 7.3.1 forbids: we take the first, it takes the last. No semicolon stands in
# quotes, where it splits.
PARAMS = st.lists(st.tuples(SEMICOLONS, NAMES, VALUES), max_size=3, unique_by=lambda it: it[1].lower()).map(
    lambda found: "".join("".join(one) for one in found)
)
USERS = st.sampled_from(["", "a@", "a:p@", "+86.10@", "%00@", "a;b=c@", "a%40b@", "1_x~(y)&=+$,;?/@", "@", " @", "ü@"])
BARE_URIS = st.tuples(
    st.sampled_from(["sip:", "sip:", "sips:", "SIP:", "tel:+86", "tel:", "http:"]), USERS, HOSTS, PORTS
).map("".join)
URIS = st.tuples(BARE_URIS, PARAMS).map("".join)
DISPLAYS = st.sampled_from(
    ["", "", "Bob ", '"A, \\"B\\""', '"a;b" ', "a b\t", '"', "A. Bell ", '"\\\\" ', "ü ", '"ü" ']
)
ADDRESSES = st.tuples(DISPLAYS, URIS, PARAMS).map(lambda it: f"{it[0]}<{it[1]}>{it[2]}") | URIS
VIAS = st.tuples(
    st.sampled_from(
        ["SIP/2.0/UDP ", "SIP/2.0/TCP ", "SIP / 2.0 / tls ", "SIP/2.0/UDP  ", "sip/2.0/UDP ", "SIP/3.0/UDP "]
    ),
    HOSTS,
    PORTS,
    PARAMS,
).map("".join)
FIELDS = st.one_of(
    st.tuples(st.sampled_from(["Via", "v"]), st.lists(VIAS, min_size=1, max_size=2).map(", ".join)),
    st.tuples(st.sampled_from(["From", "f", "To", "t", "TO"]), ADDRESSES),
    st.tuples(
        st.sampled_from(["Contact", "m", "Route", "Record-Route"]), st.lists(ADDRESSES, max_size=2).map(",".join)
    ),
    st.tuples(
        st.just("CSeq"), st.sampled_from(["1 INVITE", "0 ACK", "7  BYE", "x", "2147483648 INVITE", "1\tINFO", "1"])
    ),
    st.tuples(
        st.sampled_from(["Call-ID", "i", "CALL-id"]),
        st.sampled_from(["a@b", "x", "", "a b", '<>"']),
    ),
    st.tuples(st.just("Max-Forwards"), st.sampled_from(["70", "0", "0068", "256", "-1", "x", "", "٣"])),
    st.tuples(st.sampled_from(["Content-Type", "c"]), st.sampled_from(["application/sdp", "text/plain;a=b", "a", ""])),
    st.tuples(st.sampled_from(["Subject", "s", "X-Own"]), st.sampled_from(["", "a: b", "ü", " x ", "\x00"])),
)
STARTS = st.one_of(
    URIS.map(lambda uri: f"INVITE {uri} SIP/2.0"),
    st.sampled_from(
        ["SIP/2.0 200 OK", "SIP/2.0 180 ", "SIP/2.0 99 x", "SIP/2.0 ok", "BYE sip:h SIP/2.0", "sip/2.0 200 OK"]
    ),
)
SPACES = st.sampled_from([": ", ":", ":\t", " : ", ":  "])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message of a few header fields of every kind, with a body that its Content-Length counts."""
    lines = [draw(STARTS)]
    lines += [f"{name}{draw(SPACES)}{value}" for name, value in draw(st.lists(FIELDS, max_size=7))]
    body = draw(st.sampled_from([b"", b"v=0\r\n", b"\r\n\r\n"]))
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@settings(max_examples=400, deadline=None)
@given(messages())
def test_a_message_that_both_read_says_the_same(data: bytes) -> None:
    compare(data)


@pytest.mark.parametrize("data", TORTURE)
def test_a_torture_message_that_both_read_says_the_same(data: bytes) -> None:
    compare(data)


@settings(max_examples=300, deadline=None)
@given(ADDRESSES)
def test_an_address_that_both_read_is_the_same(text: str) -> None:
    agree(lambda: ours_address(parse_name_addr(text)), lambda: theirs_address(sipmessage.Address.parse(text)), text)


@settings(max_examples=300, deadline=None)
@given(VIAS)
def test_a_via_that_both_read_is_the_same(text: str) -> None:
    agree(lambda: ours_via(parse_via(text)), lambda: theirs_via(sipmessage.Via.parse(text)), text)


@settings(max_examples=300, deadline=None)
@given(URIS)
def test_a_uri_that_both_read_is_the_same(text: str) -> None:
    agree(lambda: ours_uri(parse_uri(text)), lambda: theirs_uri(sipmessage.URI.parse(text)), text)


def compare(data: bytes) -> None:
    """Start line, body and every header that both read must say the same."""
    ours, theirs = attempt(lambda: parse_message(data)), attempt(lambda: sipmessage.Message.parse(simpler(data)))
    if ours is REFUSED or theirs is REFUSED:
        return
    assert isinstance(ours, SipRequest) == isinstance(theirs, sipmessage.Request)
    if isinstance(ours, SipResponse):
        assert (ours.status, ours.reason) == (theirs.code, theirs.phrase)
    else:
        assert ours.method == theirs.method
        agree(lambda: ours_uri(parse_uri(ours.uri)), lambda: theirs_uri(theirs.uri), ours.uri)
    assert theirs.body.startswith(ours.body)  # it leaves it to the transport to cut the body
    agree(lambda: ours.call_id, lambda: theirs.call_id, "Call-ID")
    agree(lambda: (ours.cseq.number, ours.cseq.method), lambda: (theirs.cseq.sequence, theirs.cseq.method), "CSeq")
    agree(lambda: ours.max_forwards, lambda: theirs.max_forwards, "Max-Forwards")
    agree(lambda: ours_address(ours.from_), lambda: theirs_address(theirs.from_address), "From")
    agree(lambda: ours_address(ours.to), lambda: theirs_address(theirs.to_address), "To")
    compare_lists(ours, theirs)


def compare_lists(ours: SipRequest | SipResponse, theirs: Any) -> None:
    agree(
        lambda: [ours_via(parse_via(text)) for text in ours.headers.all("Via")],
        lambda: [theirs_via(via) for via in theirs.via],
        "Via",
    )
    for name, attribute in (("Contact", "contact"), ("Route", "route"), ("Record-Route", "record_route")):
        agree(partial(our_addresses, ours, name), partial(their_addresses, theirs, attribute), name)


def our_addresses(message: SipRequest | SipResponse, name: str) -> list[object]:
    return [ours_address(parse_name_addr(text)) for text in message.headers.all(name)]


def their_addresses(message: Any, attribute: str) -> list[object]:
    return [theirs_address(address) for address in getattr(message, attribute)]


def agree(ours: Callable[[], Any], theirs: Callable[[], Any], what: str) -> None:
    one, other = attempt(ours), attempt(theirs)
    assert one is REFUSED or other is REFUSED or one == other, f"{what!r}: {one} is not {other}"


def simpler(data: bytes) -> bytes:
    """The message without folded lines and spaces before the colon: it knows neither (7.3.1)."""
    head, blank, body = data.partition(b"\r\n\r\n")
    head = re.sub(rb"[ \t]*\r\n[ \t]+", b" ", head)
    return re.sub(rb"(?m)^([^ \t:\r\n]+)[ \t]+:", rb"\1:", head) + blank + body


def attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (SipParseError, ValueError, KeyError):
        return REFUSED


def ours_uri(uri: SipUri) -> tuple[object, ...]:
    return uri.scheme, uri.user, uri.password, uri.host.lower(), uri.port, plain(decoded(uri.params))


def theirs_uri(uri: sipmessage.URI) -> tuple[object, ...]:
    host = uri.host.strip("[]").lower()
    return uri.scheme, uri.user, uri.password, host, uri.port, plain(uri.parameters.items())


def ours_via(via: Via) -> tuple[object, ...]:
    return via.transport, via.host, via.port, plain(decoded(via.params))


def theirs_via(via: sipmessage.Via) -> tuple[object, ...]:
    return via.transport.upper(), via.host.strip("[]"), via.port, plain(via.parameters.items())


def ours_address(address: NameAddr) -> tuple[object, ...]:
    """The URI counts by what it says where it is one of ours (others are only text)."""
    return shown(address.display), ours_uri(parse_uri(address.uri)), plain(decoded(address.params))


def theirs_address(address: sipmessage.Address) -> tuple[object, ...]:
    return shown(address.name), theirs_uri(address.uri), plain(address.parameters.items())


def shown(display: str) -> str:
    """A display name without backslashes, of which it decodes only some, and with single spaces, as it writes them."""
    return " ".join(display.replace("\\", "").split())


def decoded(params: Mapping[str, str | None]) -> list[tuple[str, str | None]]:
    """Our parameters with their escapes decoded, which it does everywhere and we leave to who reads them."""
    return [(unquote(name), None if value is None else unquote(value)) for name, value in params.items()]


def plain(params: Iterable[tuple[str, str | None]]) -> dict[str, str | None]:
    """Parameters with names in lower case and single spaces."""
    return {name.lower(): None if value is None else " ".join(value.split()) for name, value in params}
