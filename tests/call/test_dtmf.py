"""Digits in INFO bodies, as gateways write them."""

from __future__ import annotations

import pytest

from softswitch.call.dtmf import DIGITS, info_body, info_digit


@pytest.mark.parametrize("digit", DIGITS)
def test_what_we_write_is_what_we_read(digit: str) -> None:
    assert info_digit("application/dtmf-relay", info_body(digit)) == digit


@pytest.mark.parametrize(
    ("body", "digit"),
    [
        (b"Signal=5\r\nDuration=250\r\n", "5"),
        (b"Signal= 5\r\nDuration= 250\r\n", "5"),
        (b"Duration=250\nsignal=a", "A"),
        (b"Signal=11", "#"),
        (b"Signal=10", "*"),
        (b"Signal=16\r\n", None),  # flash
        (b"Duration=250", None),
        (b"Signal=\r\n", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_dtmf_relay(body: bytes, digit: str | None) -> None:
    assert info_digit("application/dtmf-relay", body) == digit


@pytest.mark.parametrize(
    ("body", "digit"),
    [(b"7", "7"), (b" * \r\n", "*"), (b"10", "*"), (b"d", "D"), (b"Signal=3", "3"), (b"", None), (b"77", None)],
)
def test_bare_dtmf(body: bytes, digit: str | None) -> None:
    assert info_digit("application/dtmf", body) == digit


def test_other_bodies_carry_no_digit() -> None:
    assert info_digit("application/media_control+xml", b"5") is None
