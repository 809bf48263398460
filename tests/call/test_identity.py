"""Who called whom, in all the ways trunks write it."""

from __future__ import annotations

import pytest

from softswitch.call.identity import called_text, calling_text
from softswitch.sip.message import Headers, SipRequest


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
    ("headers", "calling"),
    [
        ([("From", "<sip:1@h>;tag=x")], "1"),
        ([("From", '"Li, Lei" <sip:1@h>;tag=x'), ("P-Asserted-Identity", "<sip:2@h>")], "2"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<tel:+8613800000001>, <sip:3@h>")], "+8613800000001"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<sip:h>")], "1"),
        ([("From", "<sip:1@h>;tag=x"), ("P-Asserted-Identity", "<broken")], "1"),
        ([("From", "<sip:anonymous.invalid>;tag=x")], ""),
        ([], ""),
    ],
)
def test_the_trunks_assertion_comes_before_the_phones_own_word(headers: list[tuple[str, str]], calling: str) -> None:
    assert calling_text(invite("sip:x@h", *headers)) == calling
