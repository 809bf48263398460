"""SIP messages: bytes to data and back (RFC 3261 7, 8.1.1, 8.2.6, 18.3)."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sip.headers import CSeq, NameAddr
from softswitch.sip.message import (
    Headers,
    SipRequest,
    SipResponse,
    UnacceptableRequest,
    parse_message,
    validate,
)
from tests.support.responses import make_response

INVITE = (
    b"INVITE sip:bob@biloxi.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP proxy.atlanta.com;branch=z9hG4bK77, SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776\r\n"
    b"Max-Forwards: 70\r\n"
    b"To: Bob <sip:bob@biloxi.com>\r\n"
    b'From: "Alice" <sip:alice@atlanta.com>;tag=1928301774\r\n'
    b"Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Contact: <sip:alice@pc33.atlanta.com>\r\n"
    b"Content-Type: Application/SDP;charset=utf-8\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"v=0\n"
)


def request(data: bytes = INVITE) -> SipRequest:
    message = parse_message(data)
    assert isinstance(message, SipRequest)
    return message


def with_header(name: str, value: str) -> SipRequest:
    message = request()
    message.headers.set(name, value)
    return message


# Parsing


def test_a_request_is_taken_apart() -> None:
    message = request()
    assert (message.method, message.uri, message.body) == ("INVITE", "sip:bob@biloxi.com", b"v=0\n")
    assert message.via.branch == "z9hG4bK77"
    assert message.from_ == NameAddr("Alice", "sip:alice@atlanta.com", {"tag": "1928301774"})
    assert message.to == NameAddr("Bob", "sip:bob@biloxi.com")
    assert message.call_id == "a84b4c76e66710@pc33.atlanta.com"
    assert message.cseq == CSeq(314159, "INVITE")
    assert message.contact == NameAddr("", "sip:alice@pc33.atlanta.com")
    assert message.max_forwards == 70
    assert message.content_type == "application/sdp"


def test_a_response_is_taken_apart() -> None:
    message = parse_message(b"SIP/2.0 180 Ringing twice\r\nCSeq: 1 INVITE\r\n\r\n")
    assert isinstance(message, SipResponse)
    assert (message.status, message.reason, message.body) == (180, "Ringing twice", b"")


@pytest.mark.parametrize("line", [b"SIP/2.0 100 ", b"SIP/2.0 100", b"sip/2.0 100 "])
def test_a_reason_phrase_may_be_empty_and_the_version_of_any_case(line: bytes) -> None:
    message = parse_message(line + b"\r\n\r\n")
    assert message == SipResponse(100, "")


def test_optional_headers_that_are_absent_say_so() -> None:
    message = request(b"OPTIONS sip:h SIP/2.0\r\n\r\n")
    assert message.contact is None
    assert message.max_forwards is None
    assert message.content_type == ""


def test_compact_forms_any_case_and_space_before_the_colon_are_one_name() -> None:
    message = request(b"BYE sip:h SIP/2.0\r\nI : 1\r\nf:<sip:a@h>\r\nMAX-forwards\t: 7\r\n\r\n")
    assert message.headers.items() == [("Call-ID", "1"), ("From", "<sip:a@h>"), ("Max-Forwards", "7")]


def test_a_folded_header_is_one_line() -> None:
    # RFC 3261 7.3.1: LWS at the start of a line continues the one before.
    message = request(b"BYE sip:h SIP/2.0\r\nSubject: I know  \r\n\t you're\r\n  there\r\nTo:\r\n sip:h\r\n\r\n")
    assert message.headers.items() == [("Subject", "I know you're there"), ("To", "sip:h")]


def test_hostile_white_space_is_unfolded_in_time_that_grows_with_its_length() -> None:
    # A square of this length would take hours.
    message = request(b"BYE sip:h SIP/2.0\r\nSubject: a" + b" " * 2_000_000 + b"b\r\n c\r\n\r\n")
    assert len(message.headers.get("Subject") or "") == 2_000_004


def test_line_breaks_before_the_message_are_passed_over() -> None:
    assert parse_message(b"\r\n\r\n" + INVITE) == parse_message(INVITE)


def test_bytes_behind_content_length_are_dropped() -> None:
    # RFC 3261 18.3
    assert request(INVITE + b"garbage").body == b"v=0\n"


def test_without_content_length_the_rest_of_the_datagram_is_the_body() -> None:
    assert request(b"INFO sip:h SIP/2.0\r\n\r\nSignal=1\r\n\r\n").body == b"Signal=1\r\n\r\n"


def test_header_bytes_that_are_no_utf8_survive() -> None:
    data = b"BYE sip:h SIP/2.0\r\nSubject: \xff\xfe\xc3\xa9\r\nContent-Length: 0\r\n\r\n"
    assert parse_message(data).encode() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00",
        b"INVITE sip:h SIP/2.0\r\n",
        b"INVITE sip:h SIP/2.0\nTo: sip:h\n\n",
        b"INVITE\r\n\r\n",
        b"INVITE sip:h HTTP/1.1\r\n\r\n",
        b"INV ITE\r\n\r\n",
        b"IN@VITE sip:h SIP/2.0\r\n\r\n",
        b"BYE sip:h SIP/2.0\r\nno colon\r\n\r\n",
        b"BYE sip:h SIP/2.0\r\n: nameless\r\n\r\n",
        b"BYE sip:h SIP/2.0\r\nTwo Words: 1\r\n\r\n",
        b"BYE sip:h SIP/2.0\r\nSubject: a\nRoute: <sip:evil>\r\n\r\n",
        b"BYE sip:h SIP/2.0\r\nSubject: a\rb\r\n\r\n",
        b"SIP/2.0 99 Low\r\n\r\n",
        b"SIP/2.0 700 High\r\n\r\n",
        b"SIP/2.0 4294967301 better not break the receiver\r\n\r\n",
        b"SIP/2.0\r\n\r\n",
        b"SIP/3.0 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(SipParseError):
        parse_message(data)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"BYE sip:h SIP/7.0\r\n\r\n", 505),
        (b"BYE sip:h  SIP/2.0\r\n\r\n", 400),
        (b"BYE  sip:h SIP/2.0\r\n\r\n", 400),
        (b"BYE sip:h SIP/2.0 \r\n\r\n", 400),
        (b"BYE sip:h; lr SIP/2.0\r\n\r\n", 400),
        (b"BYE SIP/2.0\r\n\r\n", 400),
        (b"BYE sip:h SIP/2.0\r\nContent-Length: 1\r\n\r\n", 400),
        (b"BYE sip:h SIP/2.0\r\nl: -1\r\n\r\n", 400),
        (b"BYE sip:h SIP/2.0\r\nl: 1\r\nl: 0\r\n\r\nx", 400),
    ],
)
def test_a_request_that_can_be_answered_says_how(data: bytes, status: int) -> None:
    with pytest.raises(UnacceptableRequest) as caught:
        parse_message(data)
    assert caught.value.status == status
    assert caught.value.request.method == "BYE"


def test_the_same_content_length_twice_is_one() -> None:
    assert request(b"BYE sip:h SIP/2.0\r\nl: 1\r\nl: 1\r\n\r\nxy").body == b"x"


# Writing


def test_a_message_is_written_as_it_was_read() -> None:
    assert request().encode() == INVITE


def test_content_length_is_always_right() -> None:
    message = SipRequest("INFO", "sip:h", Headers([("Content-Length", "99")]), b"12345")
    assert message.encode() == b"INFO sip:h SIP/2.0\r\nContent-Length: 5\r\n\r\n12345"


def test_a_response_is_written() -> None:
    response = SipResponse(200, "OK", Headers([("f", "<sip:a@h>")]))
    assert response.encode() == b"SIP/2.0 200 OK\r\nFrom: <sip:a@h>\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nRoute: <sip:evil>", "a\nb", "a\rb"])
def test_a_value_that_breaks_the_line_is_never_written(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        SipRequest("BYE", "sip:h", Headers([("Subject", value)])).encode()


# The headers


def test_headers_are_found_by_any_spelling() -> None:
    headers = Headers([("v", "1"), ("VIA", "2"), ("x-own", "3")])
    assert headers.get("Via") == "1"
    assert headers.get("X-OWN") == "3"
    assert headers.get("To") is None
    assert "via" in headers
    assert "To" not in headers
    assert 1 not in headers
    assert len(headers) == 3


def test_list_headers_are_split_and_others_never() -> None:
    challenge = 'Digest realm="a, b", nonce="c"'
    headers = Headers([("Route", "<sip:a,b>, <sip:c>"), ("Route", "<sip:d>"), ("WWW-Authenticate", challenge)])
    assert headers.all("Route") == ["<sip:a,b>", "<sip:c>", "<sip:d>"]
    assert headers.all("WWW-Authenticate") == [challenge]
    assert headers.all("Allow") == []


def test_headers_are_added_behind() -> None:
    headers = Headers([("Via", "2")])
    headers.add("t", "3")
    assert list(headers) == [("Via", "2"), ("To", "3")]


def test_set_replaces_all_of_a_name_where_the_first_stood() -> None:
    headers = Headers([("To", "1"), ("Via", "2"), ("From", "3"), ("Via", "4")])
    headers.set("Via", "5")
    headers.set("Subject", "6")
    assert headers.items() == [("To", "1"), ("Via", "5"), ("From", "3"), ("Subject", "6")]


def test_remove_drops_all_of_a_name() -> None:
    headers = Headers([("To", "1"), ("Via", "2"), ("v", "4")])
    headers.remove("VIA")
    assert headers.items() == [("To", "1")]


def test_headers_are_equal_by_their_fields() -> None:
    headers = Headers([("To", "1")])
    assert headers == Headers([("t", "1")])
    assert headers != [("To", "1")]
    assert repr(headers) == "Headers([('To', '1')])"


def test_items_are_a_list_of_their_own() -> None:
    headers = Headers([("To", "1")])
    headers.items().clear()
    assert len(headers) == 1


def test_a_typed_header_is_parsed_once_and_again_after_a_change() -> None:
    message = request()
    first = message.cseq
    assert message.cseq is first
    message.headers.set("CSeq", "2 INVITE")
    assert message.cseq == CSeq(2, "INVITE")
    message.headers.remove("cseq")
    with pytest.raises(SipParseError, match="CSeq: missing"):
        _ = message.cseq


# Validity


def test_a_whole_message_is_valid() -> None:
    validate(request())
    validate(make_response(request(), 200))


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_a_missing_mandatory_header_is_named(name: str) -> None:
    message = request()
    message.headers.remove(name)
    with pytest.raises(SipParseError, match=f"^{name}: missing"):
        validate(message)


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards"])
def test_a_header_that_stands_twice_is_named(name: str) -> None:
    message = request()
    message.headers.add(name, message.headers.get(name) or "")
    with pytest.raises(SipParseError, match=f"^{name}: stands more than once"):
        validate(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", ""),
        ("Via", "SIP/2.0/UDP h;rport=x"),
        ("From", "Bell, A <sip:a@h>"),
        ("To", "<sip:a@h"),
        ("Call-ID", "two words"),
        ("CSeq", "one INVITE"),
        ("Max-Forwards", "256"),
    ],
)
def test_a_malformed_header_is_named(name: str, value: str) -> None:
    with pytest.raises(SipParseError, match=f"{name}|rport"):
        validate(with_header(name, value))


def test_a_contact_is_checked_when_asked_for() -> None:
    message = with_header("Contact", "*")
    validate(message)
    with pytest.raises(SipParseError, match="Contact"):
        _ = message.contact


def test_the_method_in_cseq_must_be_the_requests() -> None:
    with pytest.raises(SipParseError, match="CSeq: expected method INVITE"):
        validate(with_header("CSeq", "1 BYE"))


def test_the_method_in_cseq_of_a_response_may_be_any() -> None:
    response = make_response(request(), 200)
    response.headers.set("CSeq", "1 NEWMETHOD")
    validate(response)


@pytest.mark.parametrize("uri", ["<sip:bob@h>", "bob", "sip:a@h:x", "sip:a@h?Route=x"])
def test_a_malformed_request_uri_is_refused(uri: str) -> None:
    message = request()
    message.uri = uri
    with pytest.raises(SipParseError, match="URI"):
        validate(message)


def test_a_request_uri_of_a_foreign_scheme_is_valid() -> None:
    # Whether it is supported (416) is for the core to say: RFC 3261 8.2.2.1.
    message = request()
    message.uri = "nobodyKnowsThisScheme:totallyopaquecontent"
    validate(message)


# Responses to a request


def test_a_response_copies_what_rfc_3261_8_2_6_2_says() -> None:
    response = make_response(request(), 486, to_tag="ours")
    assert response.reason == "Busy Here"
    assert [name for name, _ in response.headers] == ["Via", "To", "From", "Call-ID", "CSeq"]
    assert response.headers.get("Via") == request().headers.get("Via")
    assert response.to.tag == "ours"


def test_a_to_tag_that_is_there_stays() -> None:
    message = with_header("To", "<sip:bob@biloxi.com>;tag=theirs")
    assert make_response(message, 200, to_tag="ours").to.tag == "theirs"


def test_a_malformed_to_is_copied_as_it_is() -> None:
    message = with_header("To", "<sip:bob")
    assert make_response(message, 400, to_tag="ours").headers.get("To") == "<sip:bob"


def test_a_missing_header_is_left_out_of_the_response() -> None:
    message = request()
    message.headers.remove("To")
    assert "To" not in make_response(message, 400, "To: missing", to_tag="ours").headers


@pytest.mark.parametrize(
    ("method", "status", "copied"),
    [
        ("INVITE", 100, False),
        ("INVITE", 180, True),
        ("INVITE", 200, True),
        ("INVITE", 302, False),
        ("INVITE", 404, False),
        ("BYE", 200, False),
        ("SUBSCRIBE", 200, True),
    ],
)
def test_record_route_goes_into_responses_that_make_dialogs(method: str, status: int, copied: bool) -> None:
    # RFC 3261 12.1.1
    message = with_header("Record-Route", "<sip:p1;lr>")
    message.headers.add("Record-Route", "<sip:p2;lr>")
    message.method = method
    expected = ["<sip:p1;lr>", "<sip:p2;lr>"] if copied else []
    assert make_response(message, status).headers.all("Record-Route") == expected


def test_trying_copies_the_timestamp_and_has_no_tag() -> None:
    # RFC 3261 8.2.6.1
    response = make_response(with_header("Timestamp", "54.21"), 100)
    assert response.headers.get("Timestamp") == "54.21"
    assert response.to.tag is None


def test_a_response_carries_own_reason_headers_and_body() -> None:
    response = make_response(request(), 299, "Fine", headers=[("k", "timer")], body=b"v=0")
    assert (response.reason, response.body, response.content_type) == ("Fine", b"v=0", "application/sdp")
    assert response.headers.get("Supported") == "timer"
    assert "Content-Type" not in make_response(request(), 299).headers
    assert make_response(request(), 299).reason == ""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("18000;duration=3600", 18000),
        ("5 (busy)", 5),
        ("5(busy)", 5),
        ("", 0),
        ("soon", 0),
        ("5.5", 0),
        ("-1", 0),
        ("²", 0),
        ("99999999999", 0),
        ("999999999", 999999999),
    ],
)
def test_seconds_are_a_number_that_words_may_follow(value: str, seconds: int) -> None:
    """RFC 3261 20.33."""
    assert SipResponse(503, "Busy", Headers([("Retry-After", value)])).seconds("Retry-After") == seconds
    assert SipResponse(503, "Busy").seconds("Retry-After") == 0
