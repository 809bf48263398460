"""What is answered to requests that could not be read whole (RFC 3261 8.2.6.2, 18.2; RFC 4475 3.1.2)."""

from __future__ import annotations

import pytest

from softswitch.sip.message import Headers, SipRequest, SipResponse, parse_message
from softswitch.sip.refusal import refusal

SOURCE = ("10.0.0.9", 40000)


def refuse(**changes: str | None) -> tuple[SipResponse, int] | None:
    """What `refusal` says to an INVITE whose headers are `changes`; None leaves one out."""
    headers: dict[str, str | None] = {
        "Via": "SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bK1",
        "From": "<sip:a@h>;tag=a",
        "To": "<sip:b@h>",
        "Call-ID": "c",
        "CSeq": "1 INVITE",
        "Subject": "not copied",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    pairs = [(name, value) for name, value in headers.items() if value is not None]
    refused = refusal(
        SipRequest("INVITE", "sip:x", Headers(pairs)), 400, "bad\r\nVia: x", SOURCE, tag="ours", more="Server: s\r\n"
    )
    if refused is None:
        return None
    response = parse_message(refused[0])
    assert isinstance(response, SipResponse)
    return response, refused[1]


def answer(**changes: str | None) -> SipResponse:
    refused = refuse(**changes)
    assert refused is not None
    return refused[0]


def test_the_headers_that_a_response_copies_are_copied_and_no_others() -> None:
    response = answer()
    assert response.headers.items() == [
        ("Via", "SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bK1"),
        ("From", "<sip:a@h>;tag=a"),
        ("To", "<sip:b@h>;tag=ours"),
        ("Call-ID", "c"),
        ("CSeq", "1 INVITE"),
        ("Server", "s"),
    ]


def test_the_reason_stays_on_its_line() -> None:
    assert answer().reason == "bad  Via: x"


@pytest.mark.parametrize("to", ["<sip:b@h>;tag=theirs", '"no end <sip:b@h>'])
def test_a_to_that_has_a_tag_or_can_not_be_read_gets_none(to: str) -> None:
    assert answer(To=to).headers.get("To") == to


def test_missing_headers_are_left_out() -> None:
    """RFC 4475 3.3.1 asks for a 400 although From, To and Call-ID are missing."""
    response = answer(From=None, To=None, Call_ID=None)
    assert [name for name, _ in response.headers] == ["Via", "CSeq", "Server"]


@pytest.mark.parametrize(
    ("via", "back", "port"),
    [
        ("SIP/2.0/UDP 10.0.0.9", "SIP/2.0/UDP 10.0.0.9", 5060),
        ("SIP/2.0/UDP pc.example:5070;;", "SIP/2.0/UDP pc.example:5070;received=10.0.0.9", 5070),
        ("SIP/7.0/UDP h;branch=1", "SIP/7.0/UDP h;branch=1;received=10.0.0.9", 5060),
        ("SIP/2.0/UDP [::1]:99;=", "SIP/2.0/UDP [::1]:99;=;received=10.0.0.9", 99),
        (
            "SIP/2.0/UDP h; rport ;;branch=1",
            "SIP/2.0/UDP h;rport=40000;received=10.0.0.9;;branch=1",
            40000,
        ),
        ("SIP/2.0/UDP h;;RPORT, x", "SIP/2.0/UDP h;;rport=40000;received=10.0.0.9, x", 40000),
        ("SIP/2.0/UDP h;rport=5,;", "SIP/2.0/UDP h;rport=5;received=10.0.0.9, ;", 5060),
    ],
)
def test_the_answer_goes_to_the_source_and_says_so(via: str, back: str, port: int) -> None:
    refused = refuse(Via=via)
    assert refused is not None
    assert (refused[0].headers.get("Via"), refused[1]) == (back, port)


@pytest.mark.parametrize("via", [None, "", ",", "nonsense", "SIP/2.0/UDP", "SIP/2.0/UDP h:65536", "SIP/2.0/UDP h x"])
def test_a_request_that_does_not_say_who_sent_it_is_not_answered(via: str | None) -> None:
    assert refuse(Via=via) is None


def test_an_answer_that_nobody_could_match_is_not_sent() -> None:
    """RFC 3261 17.1.3: the method in CSeq belongs to what a response is matched by."""
    assert refuse(CSeq=None) is None


def test_all_further_vias_go_back_too() -> None:
    headers = Headers([("Via", "SIP/2.0/UDP h"), ("Via", "SIP/2.0/TCP i"), ("CSeq", "x")])
    refused = refusal(SipRequest("INVITE", "x", headers), 400, "", SOURCE, tag="")
    assert refused is not None
    assert parse_message(refused[0]).headers.all("Via") == ["SIP/2.0/UDP h;received=10.0.0.9", "SIP/2.0/TCP i"]
