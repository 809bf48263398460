"""Messages written by joining strings: they parse back to what was meant (RFC 3261 8.2.6.2, 9.1, 17.1.1.3)."""

from __future__ import annotations

import pytest

from softswitch.sip.compose import (
    Reply,
    acknowledgement,
    cancellation,
    closed,
    header_lines,
    once_more,
    sequence_number,
    with_credentials,
)
from softswitch.sip.message import SipRequest, SipResponse, parse_message

INVITE = (
    b"INVITE sip:1@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    b"Route: <sip:10.0.0.3;lr>\r\nRecord-Route: <sip:10.0.0.4;lr>\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:1@x>\r\n"
    b"Call-ID: c\r\nCSeq: 7 INVITE\r\nX-Other: y\r\nContent-Length: 3\r\n\r\nv=0"
)


def test_header_lines_end_each_and_refuse_to_be_more_than_they_say() -> None:
    assert header_lines([("A", "b"), ("C", "d")]) == "A: b\r\nC: d\r\n"
    assert header_lines([]) == ""
    for value in ("x\r\nY: z", "x\n", "\rx"):
        with pytest.raises(ValueError, match="line break"):
            header_lines([("A", value)])


def test_closed_counts_bytes_and_names_the_type_of_a_body_only() -> None:
    assert closed("X: é\r\n", b"", "a/b") == "X: é\r\nContent-Length: 0\r\n\r\n".encode()
    assert closed("", b"12345", "a/b") == b"Content-Type: a/b\r\nContent-Length: 5\r\n\r\n12345"


def test_bytes_that_are_no_utf8_survive_in_a_response() -> None:
    invite = parse_message(INVITE.replace(b"sip:a@x>", b"sip:a@x>;n=\xff"))
    assert isinstance(invite, SipRequest)
    assert b";n=\xff" in Reply(invite, "V").encode(200)


@pytest.mark.parametrize(
    ("status", "routes"), [(100, []), (180, ["<sip:10.0.0.4;lr>"]), (200, ["<sip:10.0.0.4;lr>"]), (404, [])]
)
def test_a_reply_copies_what_it_must(status: int, routes: list[str]) -> None:
    invite = parse_message(INVITE)
    assert isinstance(invite, SipRequest)
    data = Reply(invite, "SIP/2.0/UDP 10.0.0.1;received=1.2.3.4").encode(status, tag="b", more="X: y\r\n", body=b"v=0")
    answer = parse_message(data)
    assert isinstance(answer, SipResponse)
    assert (answer.status, answer.to.tag, answer.from_.tag, str(answer.cseq)) == (status, "b", "a", "7 INVITE")
    assert (answer.via.received, answer.call_id, answer.body) == ("1.2.3.4", "c", b"v=0")
    assert answer.headers.all("Record-Route") == routes
    assert (answer.headers.get("X"), answer.content_type) == ("y", "application/sdp")


def test_a_reply_has_the_usual_words_or_those_given() -> None:
    invite = parse_message(INVITE)
    assert isinstance(invite, SipRequest)
    reply = Reply(invite, "V")
    assert reply.encode(486).startswith(b"SIP/2.0 486 Busy Here\r\n")
    assert reply.encode(486, "No").startswith(b"SIP/2.0 486 No\r\n")
    assert reply.encode(499).startswith(b"SIP/2.0 499 \r\n")


def test_cancel_and_ack_look_like_the_invite_but_for_what_must_differ() -> None:
    cancel, ack = (
        parse_message(cancellation(INVITE, "Reason: x\r\n")),
        parse_message(acknowledgement(INVITE, "<sip:1@x>;tag=b")),
    )
    for message, method, tag in ((cancel, "CANCEL", None), (ack, "ACK", "b")):
        assert isinstance(message, SipRequest)
        assert (message.method, message.uri, str(message.cseq)) == (method, "sip:1@10.0.0.2", f"7 {method}")
        assert (message.via.branch, message.to.tag, message.body) == ("z9hG4bK1", tag, b"")
        assert message.headers.all("Route") == ["<sip:10.0.0.3;lr>"]
        assert "X-Other" not in message.headers
    assert cancel.headers.get("Reason") == "x"


def test_a_challenged_request_goes_out_again_with_another_branch_number_and_credentials() -> None:
    first = (
        b"REGISTER sip:r SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=1\r\nFrom: <sip:u@r>;tag=1\r\nCSeq: 7 REGISTER\r\n"
        b"Authorization: Digest old\r\nContact: <sip:a>\r\nContent-Length: 2\r\n\r\nCSeq: body"
    )
    again = once_more(
        first, "SIP/2.0/UDP a;branch=2", 8, "Proxy-Authorization: Digest x\r\nAuthorization: Digest y\r\n"
    )
    assert again == (
        b"REGISTER sip:r SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=2\r\nFrom: <sip:u@r>;tag=1\r\nCSeq: 8 REGISTER\r\n"
        b"Proxy-Authorization: Digest x\r\nAuthorization: Digest y\r\nContact: <sip:a>\r\nContent-Length: 2\r\n\r\n"
        b"CSeq: body"
    )


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_what_only_looks_like_the_end_of_a_line_ends_none(mark: str) -> None:
    """A realm is the peer's to choose; RFC 3261 7.3 ends lines by CRLF alone."""
    first = b"BYE sip:r SIP/2.0\r\nVia: v\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n"
    lines = f'Authorization: Digest realm="a{mark}X-Smuggled: b"\r\n'
    assert once_more(first, "v", 8, lines).count(b"\r\n") == first.count(b"\r\n") + 1
    assert lines.encode() in once_more(first, "v", 8, lines)
    assert once_more(first, "v", 7, "") == first


def test_credentials_stand_behind_the_sequence_number() -> None:
    made = parse_message(with_credentials(INVITE, "Authorization: Digest x=y\r\n"))
    assert isinstance(made, SipRequest)
    assert (made.headers.get("Authorization"), made.cseq.number, made.body) == ("Digest x=y", 7, b"v=0")
    assert made.headers.items()[-2] == ("Authorization", "Digest x=y")
    assert sequence_number(INVITE) == 7
