"""Hides in a SIP message who talks to whom: phone numbers, digest proofs and media keys, each at its own length.

RFC 3261 22, RFC 4568 9, RFC 4567 (MIKEY), RFC 8866 5.12 (k=). Called by `trace.py`, which keeps no key at all, and by
`api/tracing.py` for all that leaves the switch masked. It never changes the length of a message, so Content-Length
still holds.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(rb"\d(?:-?\d){7,}")  # also those written with dashes (RFC 3966 5.1.1)
_PROOF = re.compile(rb'(\bresponse=")([^"\s|]+)')
_KEY = re.compile(rb"(\binline:[ \t]*|\bkey-mgmt:\S+[ \t]+|\nk=\w+:)([^\s|;]+)", re.IGNORECASE)
STARRED, SHOWN = 4, 4  # digits of a number that are hidden, and shown behind these


def masked_message(data: bytes) -> bytes:
    """`data` with four digits of whatever may be a phone number starred, and proofs and keys wholly so."""
    return _NUMBER.sub(_star, _PROOF.sub(_hide, without_keys(data)))


def without_keys(data: bytes) -> bytes:
    """`data` with SRTP keys starred: who traces calls need not be able to hear them."""
    return _KEY.sub(_hide, data)


def _hide(found: re.Match[bytes]) -> bytes:
    return found[1] + b"*" * len(found[2])


def _star(found: re.Match[bytes]) -> bytes:
    number = bytearray(found[0])
    places = [place for place, digit in enumerate(number) if digit != ord("-")]
    for place in places[-STARRED - SHOWN : -SHOWN]:
        number[place] = ord("*")
    return bytes(number)
