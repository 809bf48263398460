"""What is refused by a look at the request alone: RFC 3261 8.2 and 16.3, RFC 4028 9."""

from __future__ import annotations

import pytest

from softswitch.sip.acceptance import not_allowed, same_callee, server_key, stateless_tag, unacceptable
from softswitch.sip.message import SipRequest, parse_message
from softswitch.sip.session_timer import TIMER
from softswitch.sip.timing import Timing
from tests.sip.test_core import PEER, Bench, request


def read(text: str) -> SipRequest:
    message = parse_message(text.encode())
    assert isinstance(message, SipRequest)
    return message


def asked(text: str, *extensions: str) -> tuple[int, str] | None:
    return unacceptable(read(text), frozenset(extensions), Timing())


def test_what_we_lack_is_named_and_comes_first() -> None:
    bad = request(Require="timer, 100rel, precondition", Content_Type="text/plain") + "hello"
    assert asked(bad, "timer") == (420, "Unsupported: 100rel, precondition\r\n")


def test_a_body_that_we_can_not_read_gets_415_with_what_we_take() -> None:
    """8.2.3; RFC 4475 3.3.6."""
    bad = request(Content_Type="application/unknownformat") + "<audio/>"
    assert asked(bad) == (415, "Accept: application/sdp\r\nAccept-Encoding: identity\r\n")
    assert asked(request("INFO", Content_Type="application/dtmf") + "5") is None  # the call layer knows that one


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_who_would_not_read_our_answer_gets_406(method: str) -> None:
    """21.4.7; RFC 4475 3.3.15; 11.2: OPTIONS gets what an INVITE would get."""
    assert asked(request(method, Accept="text/nobodyKnowsThis")) == (406, "")
    assert asked(request(method, Accept="application/sdp, text/plain")) is None


def test_in_a_dialog_options_are_answered_whatever_they_accept() -> None:
    """11: "generates a 200 (OK) response"."""
    to = "<sip:100@10.0.0.1>;tag=b"
    assert asked(request("OPTIONS", To=to, Accept="text/plain")) is None
    assert asked(request("INVITE", To=to, Accept="text/plain")) == (406, "")
    assert asked(request("UPDATE", To=to, Accept="text/plain")) is None  # a refresh, without offer and answer
    assert asked(request("UPDATE", To=to, Accept="text/plain", Content_Type="application/sdp") + "v=0") == (406, "")
    assert asked(request("INFO", To=to, Accept="text/plain")) is None


def test_an_optional_body_is_as_none() -> None:
    invite = read(request(Content_Type="text/plain", Content_Disposition="render;handling=optional") + "hello")
    assert unacceptable(invite, frozenset(), Timing()) is None
    assert invite.body == b""


def test_an_interval_below_ours_gets_422() -> None:
    small = request(Session_Expires="60", Supported="timer")
    assert asked(small, TIMER) == (422, "Min-SE: 90\r\n")
    assert asked(small) is None


def test_methods_that_are_not_for_here() -> None:
    assert (not_allowed("REGISTER"), not_allowed("BREW")) == (405, 501)


def test_the_same_user_at_another_host_is_the_same_callee() -> None:
    assert same_callee("sip:100@10.0.0.1", "sip:100@example.com;user=phone")
    assert not same_callee("sip:100@10.0.0.1", "sip:101@10.0.0.1")
    assert same_callee("urn:service:sos", "urn:service:sos")
    assert not same_callee("urn:service:sos", "sip:100@10.0.0.1")


def test_what_makes_two_requests_one() -> None:
    """17.2.3: the branch, else the headers of RFC 2543; and 8.2.7: the tag of an answer that nobody remembers."""
    assert server_key(read(request("ACK"))) == server_key(read(request()))
    old = request(Via="SIP/2.0/UDP 10.0.0.9")
    assert server_key(read(old)) == server_key(read(old)) != server_key(read(request()))
    assert stateless_tag(read(old)) == stateless_tag(read(old)) != stateless_tag(read(request()))


def test_our_own_invite_that_comes_back_is_a_loop_and_with_another_user_a_call() -> None:
    """16.3: a request that has come back with another Request-URI is a spiral, which is no error."""
    bench = Bench()
    bench.core.invite(PEER, request_uri="sip:200@10.0.0.9", from_="<sip:x@10.0.0.1>", to="<sip:200@10.0.0.9>")
    (sent,) = bench.core.datagrams_to_send()
    via = b"Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKproxy\r\n"
    came_back = sent.data.replace(b"Via:", via + b"Via:", 1)
    assert [answer.status for answer in bench.receive(came_back)] == [482]
    spiral = came_back.replace(b"sip:200@", b"sip:300@", 1).replace(b"4bKproxy", b"4bKother")
    bench.call(spiral.decode())


def test_an_answer_in_a_body_we_can_not_read_is_no_answer() -> None:
    bench = Bench()
    session = bench.core.invite(PEER, request_uri="sip:200@10.0.0.9", from_="<sip:x@10.0.0.1>", to="<sip:200@10.0.0.9>")
    (sent,) = bench.core.datagrams_to_send()
    invite = read(sent.data.decode())
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    lines = [f"{name}: {invite.headers.get(name)}" for name in names]
    body = "--cut\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--cut--"
    kinds = (("text/plain", b""), ("multipart/mixed;boundary=cut", b"v=0"))
    for kind, expected in kinds:
        bench.receive("\r\n".join(["SIP/2.0 183 Progress", *lines, f"Content-Type: {kind}", "", body]))
        event = bench.core.next_event()
        assert event is not None
        assert event.session is session
        assert event.argument.body == expected  # type: ignore[attr-defined]
