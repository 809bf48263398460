"""Hides in a SIP message who talks to whom: phone numbers, pressed keys, proofs and media keys, each at its own length.

RFC 3261 19.1.2, 22, RFC 3204 (ISUP), RFC 3966 5.1.1, RFC 4568 9, RFC 4567 (MIKEY), RFC 7433 (User-to-User), RFC 8224
(Identity), RFC 8866 5.12 (k=). Called by `trace.py`, which keeps no SRTP key at all, and by `api/tracing.py` for all
that leaves the switch masked. It never changes the length of a message, so Content-Length still holds.
"""

from __future__ import annotations

import re
from itertools import pairwise

_D = rb"(?:%3\d|(?<!%)(?<!%[0-9a-f])\d)"  # a digit, as it is or escaped (RFC 3261 19.1.2)
_DIGIT = re.compile(_D, re.IGNORECASE)
_IN_USER = re.compile(_D + rb"(?:(?:[-.()*_!~']|%2[0-9a-e]|%5f|%7e)*" + _D + rb"){6,}", re.IGNORECASE)
# Where numbers are written for people: a tel URI, a display name in quotes, one without (a header may be folded there,
# RFC 3261 7.3.1), a Subject, s= and i= of SDP. Elsewhere it is an address, or a list of formats.
_WRITTEN = (
    rb'\btel:\+?\(?\d[\d().\-*_ ]{5,}\d|((?<!\\)"(?:[^"\\\r\n]|\\.){7,512}"|'
    rb'[:,](?:[^<>"@:;,\r\n]|\r?\n[ \t]){7,256}(?=<)|\n(?:[si]=|(?:subject|s)[ \t]*:)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)'
)
_RUN = _D + rb"(?:[-*_]?" + _D + rb"){7,}"  # anywhere, also with dashes (RFC 3966 5.1.1)
_IN_NAME = re.compile(  # behind a dot it may be the rest of an address, unless it is too long for that
    rb"(?<![\d.])(?!\d+\.\d+\.\d+\.\d+(?![\d.]))" + _D + rb"(?:[().\-*_/ \t]{0,3}" + _D + rb"){6,}|" + _RUN
)
_NUMBER = re.compile(rb"(\bsips?:[^@\s<>\"]{1,256}(?=@))|" + _WRITTEN + rb"|" + _RUN, re.IGNORECASE)
_TYPE = re.compile(rb"(?:^|\n)(?:content-type|c)[ \t]*:[ \t]*([^\s;]+)([^\r\n]*)", re.IGNORECASE)
_PACKED = re.compile(
    rb"(?:^|\n)(?:content-(?:transfer-)?encoding|e)[ \t]*:(?![ \t]*(?:identity|[78]bit|binary)\b)", re.IGNORECASE
)
_BOUNDARY = re.compile(rb';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_TEXT = re.compile(rb"text/.*|message/.*|.*[/+](?:xml|json|sdp|dtmf|dtmf-relay|dtmf_relay|simple-message-summary)")
_PASSED = re.compile(  # hex of anything, base64 of both numbers
    rb"(\n(?:user-to-user|identity|y)[ \t]*:)([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE
)
_SIGNAL = re.compile(rb"(\n[ \t]*signal[ \t]*=[ \t]*)([0-9A-D*#]+)", re.IGNORECASE)  # a body of application/dtmf-relay
_BARE = re.compile(rb"\n(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*(?:;[^\r\n]*)?(?:\r\n|$)", re.IGNORECASE)
_KEYS = re.compile(rb"[0-9A-D*#]", re.IGNORECASE)
_PROOF = re.compile(
    rb'(\bresponse[ \t]*=[ \t]*"?|\bauthorization[ \t]*:[ \t]*(?:basic|bearer)[ \t]+)([^"\s|,]+)', re.IGNORECASE
)
_KEY = re.compile(rb"(\binline:[ \t]*|\bkey-mgmt:[ \t]?[^\s:]+[ \t]+|\nk=\w+:)([^\s|;]+)", re.IGNORECASE)
STARRED, SHOWN = 4, 4  # digits of a number that are hidden, and shown behind these; of a local number one less is shown
LOCAL = 7  # digits that a number has at least


def masked_message(data: bytes) -> bytes:
    """`data` with four digits of whatever may be a phone number starred; keys of any kind and proofs wholly so."""
    data = _without_binary(data)
    hidden = _SIGNAL.sub(_hide, _PROOF.sub(_hide, _PASSED.sub(_hide_folded, without_keys(data))))
    head, blank, body = hidden.partition(b"\r\n\r\n")
    if _BARE.search(head):
        hidden = head + blank + _KEYS.sub(b"*", body)
    return _NUMBER.sub(_masked_number, hidden)


def _masked_number(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return _IN_USER.sub(_star, found[1])
    return _IN_NAME.sub(_star, found[2]) if found[2] else _star(found)


def _without_binary(data: bytes, *, parts: bool = True) -> bytes:
    """A body, or one of its `parts`, that is no text (ISUP, whatever is packed) shows no more than its length."""
    head, blank, body = data.partition(b"\r\n\r\n")
    kind = _TYPE.search(head)
    if kind is None or not body:
        return data
    hidden = b"*" * len(body)
    if not _PACKED.search(head):
        if parts and kind[1].lower().startswith(b"multipart/") and (boundary := _BOUNDARY.search(kind[2])):
            line = b"--" + (boundary[1] or boundary[2])
            hidden = line.join(_without_binary(part, parts=False) for part in body.split(line))
        elif _TEXT.fullmatch(kind[1].lower()):
            hidden = body
    return head + blank + hidden


def without_keys(data: bytes) -> bytes:
    """`data` with SRTP keys starred: who traces calls need not be able to hear them."""
    return _KEY.sub(_hide, data)


def _hide(found: re.Match[bytes]) -> bytes:
    return found[1] + b"*" * len(found[2])


def _hide_folded(found: re.Match[bytes]) -> bytes:
    """A header goes on in the lines that begin with a blank."""
    return found[1] + re.sub(rb"\S", b"*", found[2])


def _star(found: re.Match[bytes]) -> bytes:
    number = bytearray(found[0])
    for digits in _numbers(found[0]):
        first = max(len(digits) - STARRED - SHOWN, 0)
        for begin, end in digits[first : first + STARRED]:
            number[begin:end] = b"*" if end - begin == 1 else b"%2A"
    return bytes(number)


def _numbers(text: bytes) -> list[list[tuple[int, int]]]:
    """Where digits stand: of each number that needs no other's to be one, else of all together, if there are enough."""
    digits = [digit.span() for digit in _DIGIT.finditer(text)]
    begins = [at for at, (begin, _) in enumerate(digits) if not at or digits[at - 1][1] != begin]
    alone = [digits[first:end] for first, end in pairwise([*begins, len(digits)])]
    return [number for number in alone if len(number) >= LOCAL] or [digits][: len(digits) >= LOCAL]
