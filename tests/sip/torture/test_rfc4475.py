"""What the parser reads in the messages of RFC 4475, the SIP torture tests; what is answered: test_whole_core."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sdp.offer_answer import parse_offer
from softswitch.sip.message import SipRequest, SipResponse, UnacceptableRequest, parse_message, validate
from softswitch.sip.uri import parse_uri
from tests.sip.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid
from tests.support.responses import make_response

VALID = {torture.name: torture.data for torture in rfc4475_valid.MESSAGES}
ALL = VALID | {torture.name: torture.data for torture in (*rfc4475_invalid.MESSAGES, *rfc4475_semantics.MESSAGES)}


def accepted(name: str) -> SipRequest | SipResponse:
    message = parse_message(ALL[name])
    validate(message)
    return message


def accepted_request(name: str) -> SipRequest:
    message = accepted(name)
    assert isinstance(message, SipRequest)
    return message


@pytest.mark.parametrize("name", VALID)
def test_a_valid_message_is_accepted_and_written_again_without_loss(name: str) -> None:
    message = accepted(name)
    assert parse_message(message.encode()) == message


# 3.1.1 Valid messages


def test_wsinv_white_space_and_folding_are_taken_apart() -> None:
    message = accepted_request("wsinv")
    assert message.to.tag == "1918181833n"
    assert (message.from_.display, message.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert (message.max_forwards, message.cseq.number) == (68, 9)
    assert message.via.branch == "390skdjuw"
    assert len(message.headers.all("Via")) == 3
    assert message.headers.get("Subject") == ""
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.contact is not None
    assert message.contact.display == 'Quoted string ""'
    assert message.contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert len(message.body) == 150
    assert parse_offer(message.body).codecs == ("PCMU",)


def test_intmeth_unusual_characters_are_kept() -> None:
    message = accepted_request("intmeth")
    assert message.method == message.cseq.method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = parse_uri(message.uri)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.params["fromparam''~+*_!.-%"] == '"работающий"'
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_esc01_escapes_are_decoded_in_user_parts_and_parameter_names() -> None:
    message = accepted_request("esc01")
    assert parse_uri(message.uri).user == "sips:user@example.com"
    assert parse_uri(message.to.uri).user == "user"
    assert parse_uri(message.from_.uri).user == "I have spaces"
    assert message.contact is not None
    assert parse_uri(message.contact.uri).params == {"lr": None, "name": "v%61lue%25%34%31"}


def test_escnull_escaped_nulls_end_nothing() -> None:
    message = accepted_request("escnull")
    assert parse_uri(message.to.uri).user == "null-\0-null"
    assert len(message.headers.all("Contact")) == 2


def test_esc02_a_percent_outside_a_uri_is_a_percent() -> None:
    message = accepted_request("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.to.display == "%Z%45"
    assert len(message.headers.all("Contact")) == 2


def test_lwsdisp_a_display_name_may_touch_the_bracket() -> None:
    assert accepted("lwsdisp").from_.display == "caller"


def test_longreq_long_values_and_every_spelling_of_via_are_taken() -> None:
    message = accepted_request("longreq")
    assert len(message.headers.all("Via")) == 34
    assert len(message.body) == 150


def test_dblreq_octets_behind_the_message_are_dropped() -> None:
    message = accepted_request("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")


def test_semiuri_a_semicolon_before_the_at_is_the_users() -> None:
    uri = parse_uri(accepted_request("semiuri").uri)
    assert (uri.user, uri.params) == ("user;par=u@example.net", {})
    assert len(accepted("semiuri").headers.all("Accept")) == 6


def test_transports_an_unknown_transport_is_only_a_name() -> None:
    message = accepted("transports")
    assert message.via.transport == "UDP"
    message.headers.set("Via", message.headers.all("Via")[3])
    assert message.via.transport == "UNKNOWN"


@pytest.mark.parametrize(
    ("name", "reason"), [("unreason", "= 2**3 * 5**2 но сто девяносто девять - простое"), ("noreason", "")]
)
def test_a_reason_phrase_may_be_anything_or_nothing(name: str, reason: str) -> None:
    message = accepted(name)
    assert isinstance(message, SipResponse)
    assert message.reason == reason


# 3.1.2 Invalid messages


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("clerr", 400),
        ("ncl", 400),
        ("lwsruri", 400),
        ("lwsstart", 400),
        ("trws", 400),
        ("badvers", 505),
        ("mcl01", 400),
    ],
)
def test_a_request_with_broken_framing_is_answered(name: str, status: int) -> None:
    with pytest.raises(UnacceptableRequest) as caught:
        parse_message(ALL[name])
    assert caught.value.status == status
    answer = make_response(caught.value.request, status, to_tag="ours")
    assert answer.headers.get("Call-ID") == caught.value.request.call_id


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("badinv01", "parameter name"),
        ("scalar02", "Max-Forwards|CSeq"),
        ("scalarlg", "CSeq"),
        ("quotbal", "To"),
        ("ltgtruri", "URI"),
        ("escruri", "Request-URI"),
        ("badaspec", "To"),
        ("baddn", "From"),
        ("mismatch01", "CSeq"),
        ("mismatch02", "CSeq"),
        ("insuf", "missing"),
        ("multi01", "more than once"),
    ],
)
def test_a_message_with_a_broken_header_is_parsed_but_not_valid(name: str, fault: str) -> None:
    message = parse_message(ALL[name])
    with pytest.raises(SipParseError, match=fault):
        validate(message)
    if isinstance(message, SipRequest):
        assert make_response(message, 400, to_tag="ours").encode().startswith(b"SIP/2.0 400 Bad Request\r\n")


def test_bigcode_a_status_of_ten_digits_is_no_response() -> None:
    with pytest.raises(SipParseError):
        parse_message(ALL["bigcode"])


def test_baddate_a_header_that_we_do_not_read_may_be_wrong() -> None:
    assert accepted("baddate").headers.get("Date") == "Fri, 01 Jan 2010 16:00:00 EST"


def test_regbadct_a_contact_with_a_question_mark_needs_brackets() -> None:
    with pytest.raises(SipParseError, match="Contact"):
        _ = accepted("regbadct").contact


# 3.2 to 3.4: well formed, the layers above decide


def test_badbranch_a_branch_of_the_cookie_alone_is_kept_as_it_is() -> None:
    assert accepted("badbranch").via.branch == "z9hG4bK"


def test_unkscm_a_foreign_scheme_is_left_to_the_core() -> None:
    message = accepted_request("unkscm")
    assert message.uri == "nobodyKnowsThisScheme:totallyopaquecontent"
    with pytest.raises(SipParseError):
        parse_uri(message.uri)


def test_unksm2_addresses_may_be_of_any_scheme() -> None:
    message = accepted("unksm2")
    assert (message.to.uri, message.from_.uri) == ("isbn:2983792873", "http://www.example.com")


def test_bext01_required_extensions_are_listed() -> None:
    required = accepted("bext01").headers.all("Require")
    assert required == ["nothingSupportsThis", "nothingSupportsThisEither"]


def test_invut_a_body_of_an_unknown_type_is_kept() -> None:
    message = accepted("invut")
    assert message.content_type == "application/unknownformat"
    assert message.body == b'<audio>\r\n <pcmu port="443"/>\r\n</audio>\r\n'


def test_zeromf_no_hops_left_is_a_valid_number() -> None:
    assert accepted("zeromf").max_forwards == 0


def test_cparam_a_parameter_is_the_headers_without_brackets_and_the_uris_inside() -> None:
    bare, enclosed = accepted("cparam01").contact, accepted("cparam02").contact
    assert bare is not None
    assert enclosed is not None
    assert (bare.uri, bare.params) == ("sip:+19725552222@gw1.example.net", {"unknownparam": None})
    assert (parse_uri(enclosed.uri).params, enclosed.params) == ({"unknownparam": None}, {})


def test_regescrt_headers_in_a_contact_uri_are_kept() -> None:
    contact = accepted("regescrt").contact
    assert contact is not None
    assert parse_uri(contact.uri).headers == {"Route": "%3Csip:sip.example.com%3E"}


def test_inv2543_an_old_invite_without_tag_branch_and_length_is_accepted() -> None:
    message = accepted("inv2543")
    assert (message.from_.tag, message.via.branch, message.max_forwards) == (None, "", None)
    assert parse_offer(message.body).codecs == ("PCMU",)
