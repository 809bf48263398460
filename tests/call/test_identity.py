"""Who called whom, in all the ways trunks write it."""

from __future__ import annotations

import pytest

from softswitch.call.identity import called_text, calling_text, sender_names, withholds
from softswitch.sip.message import Headers, SipRequest, SipResponse


def invite(uri: str, *headers: tuple[str, str]) -> SipRequest:
    return SipRequest("INVITE", uri, Headers(headers), b"")


@pytest.mark.parametrize(
    ("uri", "called"),
    [
        ("sip:+8617000000001@10.0.0.1", "+8617000000001"),
        ("sip:17000000003@10.0.0.1;ext=1234", "17000000003;ext=1234"),
        ("sip:17000000003@10.0.0.1;isub=1234;user=phone", "17000000003;isub=1234"),
        ("sip:17000000003@10.0.0.1;ext", "17000000003"),
        ("tel:+8617000000003;ext=1234", "+8617000000003;ext=1234"),
        ("sip:10.0.0.1", ""),
        ("nonsense", ""),
    ],
)
def test_the_dialled_number_comes_from_the_request_uri(uri: str, called: str) -> None:
    assert called_text(invite(uri)) == called


@pytest.mark.parametrize(
    ("where", "called"), [("request_uri", "us"), ("to", "17000000001"), ("p_called_party_id", "+8617000000002;ext=1")]
)
def test_a_trunk_that_calls_our_contact_writes_the_number_elsewhere(where: str, called: str) -> None:
    """RFC 7315 4.2: P-Called-Party-ID holds what the registrar's retargeting took from the Request-URI."""
    headers = [("To", "<sip:17000000001@h>"), ("P-Called-Party-ID", "<sip:+8617000000002@h;ext=1>")]
    assert called_text(invite("sip:us@10.0.0.1", *headers), where) == called
    assert called_text(invite("nonsense"), where) == ""


@pytest.mark.parametrize(
    ("headers", "calling"),
    [
        ([("From", "<sip:1@h>;tag=x")], "1"),
        ([("From", '"Li, Lei" <sip:1@h>;tag=x'), ("P-Asserted-Identity", "<sip:2@h>")], "2"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<tel:+8613800000001>, <sip:3@h>")], "+8613800000001"),
        ([("P-Asserted-Identity", "<sip:li.lei@h>, <tel:+8613800000001>")], "+8613800000001"),
        ([("P-Asserted-Identity", "<sip:li.lei@h>"), ("Remote-Party-ID", "<sip:+2@h>")], "+2"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<sip:li.lei@h>")], "li.lei"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<sip:h>")], "1"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<broken")], "1"),
        ([("From", "<sip:anonymous.invalid>;tag=x")], ""),
        ([("From", "<sip:1@h>;tag=x"), ("Remote-Party-ID", "<sip:2@h>;party=calling")], "2"),
        ([("From", "<sip:1@h>;tag=x"), ("Remote-Party-ID", "<sip:2@h>;party=called")], "1"),
        ([("Remote-Party-ID", "<sip:2@h>"), ("P-Asserted-Identity", "<sip:3@h>")], "3"),
        ([("From", "<sip:1@h>;tag=x"), ("Remote-Party-ID", "nonsense")], "1"),
        ([], ""),
    ],
)
def test_the_trunks_assertion_comes_before_the_phones_own_word(headers: list[tuple[str, str]], calling: str) -> None:
    assert calling_text(invite("sip:x@h", *headers)) == calling


def test_of_a_trunk_that_is_not_trusted_only_from_is_believed() -> None:
    """RFC 3325 5: an assertion from outside the trust domain is worth nothing."""
    claims = [("P-Asserted-Identity", "<sip:2@h>"), ("Remote-Party-ID", "<sip:3@h>;party=calling")]
    assert calling_text(invite("sip:x@h", ("From", "<sip:1@h>;tag=x"), *claims), trusted=False) == "1"
    assert calling_text(invite("sip:x@h", ("From", "<sip:h>;tag=x"), *claims), trusted=False) == ""


@pytest.mark.parametrize(
    ("headers", "hidden"),
    [
        ([("From", "<sip:1@h>;tag=x")], False),
        ([("From", "<sip:1@h>;tag=x"), ("Privacy", "none")], False),
        ([("From", "<sip:1@h>;tag=x"), ("Privacy", "user; ID ;critical")], True),
        ([("From", "<sip:1@h>;tag=x"), ("Privacy", "header")], True),
        ([("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=x')], True),
        ([("From", "<sip:Anonymous@h>;tag=x")], True),
        ([("From", "<sip:1@h>;tag=x"), ("Remote-Party-ID", "<sip:1@h>;privacy=full")], True),
        ([("From", "<sip:1@h>;tag=x"), ("Remote-Party-ID", "<sip:1@h>;party=calling;privacy=off")], False),
        ([("From", "<sip:1@h>;tag=x"), ("Remote-Party-ID", "<sip:1@h>;party=called;privacy=full")], False),
        ([("From", "<mailto:x>;tag=x")], False),
        ([], False),
    ],
)
def test_a_caller_withholds_its_number_in_one_of_three_ways(headers: list[tuple[str, str]], hidden: bool) -> None:
    """RFC 3323 4.1.1.3 and 4.2, RFC 3325 9.3, draft-ietf-sip-privacy-04."""
    assert withholds(invite("sip:x@h", *headers)) is hidden


def test_every_name_that_a_message_gives_its_sender_is_found() -> None:
    fields = [("From", "<sip:1@h>"), ("Contact", "<sip:2@h>"), ("Diversion", "<tel:3>, <sip:4@h>"), ("Reply-To", "x")]
    assert sender_names(invite("sip:x@h", *fields)) == ["1", "2", "3", "4"]
    assert sender_names(SipResponse(200, "OK", Headers(fields))) == ["2", "3", "4"]
    hidden = ("From", '"13812345678" <sip:anonymous@anonymous.invalid>;tag=1')
    assert sender_names(invite("sip:x@h", hidden)) == ["13812345678", "anonymous"]
