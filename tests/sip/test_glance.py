"""What raw bytes tell: new calls, tags, keys, excess; refusals written without parsing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.acceptance import server_key
from softswitch.sip.framing import BODY_LIMIT, HEADER_LIMIT
from softswitch.sip.glance import (
    HEADER_COUNT_LIMIT,
    START_LINE_LIMIT,
    begins_call,
    ends_refusal,
    excess,
    head_of,
    is_response,
    quick_refusal,
    to_tag,
    transaction_key,
)
from softswitch.sip.message import SipRequest, SipResponse, parse_message, validate
from tests.sip.test_core import request

SOURCE = ("10.0.0.9", 5060)
RESPONSE = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx\r\nCSeq: 2 BYE\r\n\r\n"


def test_an_invite_without_a_to_tag_begins_a_call() -> None:
    """12.2.2."""
    assert begins_call(request().encode())
    assert begins_call(request(To="").encode())
    assert begins_call(request(From="<sip:a@h>;tag=a").encode())
    assert not begins_call(request(To="<sip:b@h>;tag=1").encode())
    assert not begins_call(request(To="").replace("INVITE", "BYE").encode())
    assert not begins_call(request().replace("To:", "t : <sip:b@h> ; TAG = 1\r\nX:").encode())
    assert not begins_call(RESPONSE)


def test_the_to_tag_is_found_in_either_spelling() -> None:
    assert to_tag(b"BYE x SIP/2.0\r\nt: <sip:b@h>;x=1;tag=one;y\r\n\r\n") == "one"
    assert to_tag(b"BYE x SIP/2.0\r\nFrom: <sip:b@h>;tag=one\r\n\r\n") == ""
    assert to_tag(b"BYE x SIP/2.0\r\nTo: <sip:b@h>\r\n ;tag=one\r\nX: y\r\n\r\n") == "one"
    assert to_tag(b"BYE x SIP/2.0\r\nTo: <sip:b@h>;\r\n\ttag\r\n =\r\n one\r\nX: y\r\n\r\n") == "one"
    assert to_tag(b'BYE x SIP/2.0\r\nTo: ";tag=x" <sip:b@h;tag=y>;z=";tag=z";tag=one\r\n\r\n') == "one"
    assert to_tag(b"BYE x SIP/2.0\r\nTo: <<;tag=one\r\n\r\n") == "one"


def test_a_response_is_one_whatever_its_spelling() -> None:
    assert is_response(RESPONSE)
    assert is_response(b"sip/2.0 1")
    assert not is_response(b"SIPPING x SIP/2.0")


@pytest.mark.parametrize("method", ["INVITE", "ACK", "CANCEL", "OPTIONS"])
def test_the_key_of_a_request_is_the_one_that_the_core_uses(method: str) -> None:
    """17.2.3."""
    for via in ("SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/UDP\r\n h:1 \r\n\t ;branch=z9hG4bK1\r\n x"):
        text = request(method, Via=via)
        message = parse_message(text.encode())
        assert isinstance(message, SipRequest)
        assert transaction_key(text.encode()) == server_key(message)


def test_the_key_of_a_response_is_branch_and_method() -> None:
    """17.1.3."""
    assert transaction_key(RESPONSE) == ("z9hG4bKx", "BYE")


@pytest.mark.parametrize(
    "changes",
    [
        {"Via": ""},
        {"Via": "nothing"},
        {"Via": ", "},
        {"CSeq": ""},
        {"Via": "SIP/2.0/UDP h;branch=1"},
        {"Via": "SIP/2.0/UDP h;branch=z9hG4bK"},
    ],
)
def test_there_is_no_key_where_only_the_whole_message_tells(changes: dict[str, str]) -> None:
    assert transaction_key(request(**changes).encode()) is None


def test_what_is_too_large_is_refused_with_the_status_that_says_what() -> None:
    """21.4.13 is about bodies, 21.4.14 about Request-URIs, 21.5.7 about messages."""
    assert excess(request().encode()) == 0
    assert excess(b"x") == 0
    assert excess(request(uri="sip:" + "1" * START_LINE_LIMIT).encode()) == 414
    assert excess(request(X="y" * HEADER_LIMIT).encode()) == 513
    assert excess(b"x" * (HEADER_LIMIT + 1)) == 513
    assert excess(request().encode() + b"b" * BODY_LIMIT) == 0
    assert excess(request().encode() + b"b" * (BODY_LIMIT + 1)) == 513
    many = request().removesuffix("\r\n") + "X:\r\n" * HEADER_COUNT_LIMIT + "\r\n"
    assert excess(many.encode()) == 400


def test_a_quick_refusal_is_a_whole_response_with_the_same_tag_each_time() -> None:
    """8.2.6.2, 8.2.7."""
    data = request(To="<sip:b@h>\r\n ;x=1").encode()
    refused = quick_refusal(data, 503, SOURCE, "Retry-After: 5\r\n")
    assert refused is not None
    response = parse_message(refused[0])
    validate(response)
    assert isinstance(response, SipResponse)
    assert (response.status, response.headers.get("Retry-After"), refused[1]) == (503, "5", 5060)
    assert (response.call_id, response.cseq.method, response.via.branch) == ("call", "INVITE", "z9hG4bK1")
    assert response.to.tag
    assert quick_refusal(data, 503, SOURCE, "Retry-After: 5\r\n") == refused
    ack = request("ACK", To=f"<sip:b@h>;tag={response.to.tag}").encode()
    assert ends_refusal(ack)
    assert not ends_refusal(request("ACK").encode())
    assert not ends_refusal(ack.replace(b"ACK", b"BYE"))


@pytest.mark.parametrize(
    "data",
    [RESPONSE, b"junk", request("ACK").encode(), request(Via="").encode(), request(CSeq="").encode(), b"\r\n\r\n"],
)
def test_who_could_not_match_the_answer_gets_none(data: bytes) -> None:
    assert quick_refusal(data, 403, SOURCE) is None


def test_what_has_no_end_of_headers_is_answered_by_what_is_there() -> None:
    """21.5.7."""
    refused = quick_refusal(request(X="y" * 20_000).encode(), 513, SOURCE)
    assert refused is not None
    assert refused[0].startswith(b"SIP/2.0 513 Message Too Large\r\n")


@pytest.mark.parametrize("via", ["", "SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/TCP 10.0.0.9:5080;branch=z9hG4bK1"])
@pytest.mark.parametrize("rport", ["", ";rport"])
def test_what_is_refused_without_parsing_is_refused_as_if_it_were_parsed(via: str, rport: str) -> None:
    """The compact form of From makes the whole of it be parsed."""
    usual = {"Via": via + rport} if via else {}
    plain = request(**usual, From="<sip:a@h>;tag=1", To="<sip:b@h>").encode()
    parsed = plain.replace(b"From: ", b"f: ")
    assert quick_refusal(plain, 503, SOURCE, "Retry-After: 5\r\n") == quick_refusal(
        parsed, 503, SOURCE, "Retry-After: 5\r\n"
    )


@given(
    host=st.sampled_from(["10.0.0.9", "h", "[::1]", "pbx_1.example"]),
    port=st.sampled_from(["", ":0", ":5060", ":59999", ":65535", ":65536", ":99999", ": 5060"]),
    params=st.lists(
        st.sampled_from(
            [";rport", ";rport=9", ";branch=z9hG4bKa", ";branch=z9hG4bKb", ";branch=z", ";x", ";received=1"]
        ),
        max_size=4,
    ),
)
def test_a_via_means_the_same_at_a_glance_and_parsed(host: str, port: str, params: list[str]) -> None:
    data = request(Via=f"SIP/2.0/UDP {host}{port}{''.join(params)}").encode()
    try:
        message = parse_message(data)
        validate(message)
        key = server_key(message) if isinstance(message, SipRequest) else None
    except SipParseError:
        key = None
    assert transaction_key(data) == (key if key is not None and len(key) == 4 else None)


@given(st.binary(max_size=300), st.sampled_from([b"", b"INVITE x SIP/2.0\r\n", request().encode()[:-2]]))
def test_nothing_is_raised_whatever_the_bytes(junk: bytes, before: bytes) -> None:
    data = before + junk
    for look in (is_response, begins_call, ends_refusal, to_tag, transaction_key, excess):
        look(data)
    quick_refusal(data, 403, SOURCE)


@given(st.text(alphabet='SIP/2.0UDP ,;:="<>@\r\n\t\\abranchtg', max_size=80), st.sampled_from(["Via", "To", "CSeq"]))
def test_nothing_is_raised_whatever_a_header_says(value: str, name: str) -> None:
    data = request(**{name: value or " "}).encode()
    transaction_key(data)
    quick_refusal(data, 403, SOURCE)


def test_the_head_ends_before_the_body_and_where_it_is_too_long() -> None:
    assert head_of(b"OPTIONS sip:h SIP/2.0\r\nTo: a\r\n\r\nTo: b\r\n") == b"OPTIONS sip:h SIP/2.0\r\nTo: a\r\n"
    assert head_of(b"\r\n\r\nOPTIONS sip:h SIP/2.0\r\n\r\nv=0") == b"\r\n\r\nOPTIONS sip:h SIP/2.0\r\n"
    assert head_of(b"x" * 2 * HEADER_LIMIT) == b"x" * HEADER_LIMIT
    assert head_of(b"x") == b"x"
