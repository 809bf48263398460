"""Which headers go from one leg to the other, and that none does that shows its sender's number, however written."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from softswitch.call.passed_headers import LONGEST, common, passed
from softswitch.sip.message import Headers, SipRequest, SipResponse

A, B, X = "+8613800000001", "+8613900000002", "+8617000000001"
OTHER = "+8675588880001"
DIGITS = A[3:]
NAMES = ("User-to-User", "X-Order")


def invite(*headers: tuple[str, str]) -> SipRequest:
    return SipRequest("INVITE", f"sip:{X}@h", Headers([("From", f"<sip:{A}@10.0.0.9>;tag=1"), *headers]))


def through(*headers: tuple[str, str]) -> list[tuple[str, str]]:
    return passed(invite(*headers), NAMES, [A], ["10.0.0.9"])


def test_only_what_is_named_passes_each_value_once_more() -> None:
    sent = [("x-order", "17"), ("X-Order", "18"), ("X-Else", "19"), ("User-to-User", "cafe;encoding=hex")]
    assert through(*sent) == [("User-to-User", "cafe;encoding=hex"), ("X-Order", "17"), ("X-Order", "18")]
    assert through(("X-Else", "19")) == []


def test_both_trunks_must_name_a_header() -> None:
    assert common(("X-Order", "X-In"), ("x-order", "X-Out")) == ("X-Order",)
    assert common((), ("X-Order",)) == ()
    assert common(("X-Order",), ()) == ()


DISGUISES = [
    A,
    f"order of {DIGITS}",
    "0138-0000 (0001)",
    "%31%33%38%30%30%30%30%30%30%30%31",
    DIGITS[::-1],
    DIGITS.encode().hex(),
    f"f{DIGITS.encode().hex()};encoding=hex",
    f"0{DIGITS}f",  # BCD
    "".join(b + a for a, b in zip(DIGITS[::2], DIGITS[1::2] + "f", strict=True)),  # TBCD
    base64.b64encode(DIGITS.encode()).decode(),
    base64.b64encode(f"a{DIGITS}".encode()).decode().rstrip("="),
    base64.urlsafe_b64encode(f"?? {A} ??".encode()).decode(),
    f"xx{base64.b64encode(f'tel:{A}'.encode()).decode()}",
    "at 10.0.0.9",
    b"10.0.0.9".hex(),
]


@pytest.mark.parametrize("value", DISGUISES)
def test_what_shows_the_callers_number_or_address_is_dropped_however_it_is_written(value: str) -> None:
    with capture_logs() as logs:
        assert through(("X-Order", value), ("User-to-User", "harmless")) == [("User-to-User", "harmless")]
    assert [(one["event"], one["header"]) for one in logs] == [("header_withheld", "X-Order")]


@pytest.mark.parametrize("name", ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "Contact", "Referred-By"])
def test_any_other_number_that_the_message_calls_its_sender_by_is_guarded_too(name: str) -> None:
    assert through((name, f"<sip:{OTHER}@h>"), ("X-Order", "75588880001")) == []
    assert through((name, f'"{OTHER}" <sip:anonymous@anonymous.invalid>'), ("X-Order", "75588880001")) == []


@pytest.mark.parametrize("address", ["192.168.1.77", "2001:db8::77"])
def test_an_address_that_the_message_says_its_sender_is_at_is_guarded_too(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    value = ("X-Order", f"RTP at {address}")
    assert through(value) == [value]
    assert through(("Contact", f"<sip:x@{host}:5062>"), value) == []
    assert through(("Via", f"SIP/2.0/UDP {host};branch=z9hG4bK1"), value) == []
    family = "IP6" if ":" in address else "IP4"
    described = SipResponse(200, "OK", Headers([value]), f"v=0\r\nc=IN {family} {address}\r\n".encode())
    assert passed(described, NAMES, [B], []) == []


def test_of_a_response_from_is_the_other_side_and_says_nothing_of_the_callee() -> None:
    answer = SipResponse(200, "OK", Headers([("From", f"<sip:{X}@h>;tag=1"), ("X-Order", f"for {X}")]))
    assert passed(answer, NAMES, [B], []) == [("X-Order", f"for {X}")]
    answer.headers.add("Contact", f"<sip:{OTHER}@h>")
    answer.headers.add("User-to-User", OTHER)
    assert passed(answer, NAMES, [B], []) == [("X-Order", f"for {X}")]


def test_what_is_too_long_or_unprintable_is_dropped() -> None:
    assert through(("X-Order", "z" * (LONGEST + 1))) == []
    assert len(through(*[("X-Order", "z" * 1000)] * 5)) == 2
    assert through(("X-Order", "a\x00b")) == []


@given(st.binary(max_size=12), st.binary(max_size=12), st.sampled_from(["hex", "base64", "url", "text"]))
def test_no_number_passes_wherever_it_stands_in_what_is_encoded(before: bytes, behind: bytes, how: str) -> None:
    data = before + DIGITS.encode() + behind
    text = {
        "hex": data.hex(),
        "base64": base64.b64encode(data).decode(),
        "url": base64.urlsafe_b64encode(data).decode().rstrip("="),
        "text": "".join(chr(byte) for byte in data if 32 < byte < 127),
    }[how]
    assert through(("X-Order", text)) == []
