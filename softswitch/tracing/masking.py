"""Hides in a SIP message who talks to whom: phone numbers, pressed keys, proofs and media keys, each at its own length.

RFC 3261 22, RFC 3966 5.1.1, RFC 4568 9, RFC 4567 (MIKEY), RFC 8866 5.12 (k=). Called by `trace.py`, which keeps no SRTP
key at all, and by `api/tracing.py` for all that leaves the switch masked. It never changes the length of a message, so
Content-Length still holds.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(rb"\d(?:-?\d){7,}")  # also those written with dashes (RFC 3966 5.1.1)
# Where numbers are written for people: a tel URI, a display name. Elsewhere it is an address, or a list of formats.
_WRITTEN = re.compile(rb'(?:\btel:|"(?!\d+\.\d+\.\d+\.\d+"))\+?\(?\d[\d().\- ]{6,}\d', re.IGNORECASE)
_SIGNAL = re.compile(rb"(\n[ \t]*signal[ \t]*=[ \t]*)([0-9A-D*#]+)", re.IGNORECASE)  # a body of application/dtmf-relay
_BARE = re.compile(rb"\n(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*(?:;[^\r\n]*)?(?:\r\n|$)", re.IGNORECASE)
_KEYS = re.compile(rb"[0-9A-D*#]", re.IGNORECASE)
_PROOF = re.compile(
    rb'(\bresponse[ \t]*=[ \t]*"?|\bauthorization[ \t]*:[ \t]*(?:basic|bearer)[ \t]+)([^"\s|,]+)', re.IGNORECASE
)
_KEY = re.compile(rb"(\binline:[ \t]*|\bkey-mgmt:\S+[ \t]+|\nk=\w+:)([^\s|;]+)", re.IGNORECASE)
STARRED, SHOWN = 4, 4  # digits of a number that are hidden, and shown behind these


def masked_message(data: bytes) -> bytes:
    """`data` with four digits of whatever may be a phone number starred; keys of any kind and proofs wholly so."""
    hidden = _SIGNAL.sub(_hide, _PROOF.sub(_hide, without_keys(data)))
    head, blank, body = hidden.partition(b"\r\n\r\n")
    if _BARE.search(head):
        hidden = head + blank + _KEYS.sub(b"*", body)
    return _NUMBER.sub(_star, _WRITTEN.sub(_star, hidden))


def without_keys(data: bytes) -> bytes:
    """`data` with SRTP keys starred: who traces calls need not be able to hear them."""
    return _KEY.sub(_hide, data)


def _hide(found: re.Match[bytes]) -> bytes:
    return found[1] + b"*" * len(found[2])


def _star(found: re.Match[bytes]) -> bytes:
    number = bytearray(found[0])
    places = [place for place, byte in enumerate(number) if byte in b"0123456789"]
    for place in places[-STARRED - SHOWN : -SHOWN] if len(places) >= STARRED + SHOWN else ():
        number[place] = ord("*")
    return bytes(number)
