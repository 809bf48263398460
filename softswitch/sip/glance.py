"""What the bytes of a message tell at a glance, before anything is spent on it: whose it is, and whether it is too big.

RFC 3261 8.2.7, 17.1.3, 17.2.3 and 21.4.21. Called by the transport and the entrance. It never parses a whole message,
never raises for what one holds, and keeps nothing.
"""

from __future__ import annotations

import re
from zlib import crc32

from softswitch.errors import SipParseError
from softswitch.sip.framing import BODY_LIMIT, HEADER_LIMIT
from softswitch.sip.grammar import split_commas
from softswitch.sip.headers import parse_via
from softswitch.sip.labels import REASONS
from softswitch.sip.message import Headers, SipRequest
from softswitch.sip.refusal import refusal

START_LINE_LIMIT = 2048  # bytes
HEADER_COUNT_LIMIT = 200  # lines
COOKIE = "z9hG4bK"
STATELESS_TAG = "nocall-"  # begins the To tag of what is refused without a transaction; no call's tag begins so

_TO = re.compile(rb"\r\n(?:To|t)[ \t]*:[^\r\n]*", re.IGNORECASE)
_TAG = re.compile(rb";[ \t]*tag[ \t]*=[ \t]*([^;, \t\r\n]*)", re.IGNORECASE)
_VIA = re.compile(rb"\r\n(?:Via|v)[ \t]*:([^\r\n]*)", re.IGNORECASE)
_CSEQ = re.compile(rb"\r\nCSeq[ \t]*:[ \t]*\d+[ \t]+([^ \t\r\n]+)", re.IGNORECASE)
_ECHOED = re.compile(rb"\r\n(Via|v|From|f|To|t|Call-ID|i|CSeq)[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)", re.I)

Key = tuple[object, ...]


def is_response(data: bytes) -> bool:
    """Whether it begins as a response does."""
    return data[:4].upper() == b"SIP/"


def begins_call(data: bytes) -> bool:
    """Whether it is an INVITE outside any dialog."""
    return data.startswith(b"INVITE ") and not to_tag(data)


def ends_refusal(data: bytes) -> bool:
    """Whether it is the ACK for a `quick_refusal`, which nobody waits for."""
    return data.startswith(b"ACK ") and b";tag=" + STATELESS_TAG.encode() in data


def to_tag(data: bytes) -> str:
    """The tag in To, empty where there is none: a request without it is outside any dialog (12.2.2)."""
    to = _TO.search(data)
    tag = None if to is None else _TAG.search(to[0])
    return "" if tag is None else tag[1].decode("ascii", "replace")


def transaction_key(data: bytes) -> Key | None:
    """The key of the transaction that the core would look for; None where only the whole message tells."""
    lines, cseq = _VIA.search(data), _CSEQ.search(data)
    if lines is None or cseq is None:
        return None
    try:
        via = parse_via(split_commas(lines[1].decode("utf-8", "surrogateescape").strip())[0])
    except (SipParseError, IndexError):
        return None
    method = cseq[1].decode("ascii", "replace")
    if is_response(data):
        return via.branch, method
    if not via.branch.startswith(COOKIE):
        return None  # RFC 2543: many headers make the key
    return via.branch, via.host, via.port, "INVITE" if method in ("ACK", "CANCEL") else method


def excess(data: bytes) -> int:
    """The status that refuses a message too large to be taken; 0 where it is not."""
    end = data.find(b"\r\n\r\n", 4, HEADER_LIMIT + 4)
    if end < 0:
        return 513 if len(data) > HEADER_LIMIT else 0
    if len(data) - end - 4 > BODY_LIMIT:
        return 513
    if data.find(b"\r\n", 4, START_LINE_LIMIT) < 0:
        return 414
    return 400 if data.count(b"\r\n", 0, end) > HEADER_COUNT_LIMIT else 0


def quick_refusal(data: bytes, status: int, source: tuple[str, int], more: str = "") -> tuple[bytes, int] | None:
    """The encoded refusal of a request from `source`, without a transaction, and the port there that it goes to.

    `more` are further header lines. The same request gets the same To tag again (8.2.7). None where nobody could be
    answered: to an ACK or a response, or where Via or CSeq can't be read.
    """
    head = data[: max(data.find(b"\r\n\r\n", 0, HEADER_LIMIT), 0)] or data[:HEADER_LIMIT]
    method = head.partition(b" ")[0].decode("ascii", "replace")
    if method == "ACK" or is_response(data):
        return None
    pairs = [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in _ECHOED.findall(head)]
    request = SipRequest(method, "", Headers((name, re.sub(r"\r\n[ \t]+", " ", value)) for name, value in pairs))
    tag = f"{STATELESS_TAG}{crc32((request.headers.get('Call-ID') or '').encode('utf-8', 'surrogateescape')):x}"
    return refusal(request, status, REASONS[status], source, tag=tag, more=more)
