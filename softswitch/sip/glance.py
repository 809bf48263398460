"""What the bytes of a message tell at a glance, before anything is spent on it: whose it is, and whether it is too big.

RFC 3261 8.2.7, 17.1.3, 17.2.3 and 21.4.21. Called by the transport and the entrance. It never parses a whole message,
never raises for what one holds, and keeps nothing.
"""

from __future__ import annotations

import re
from zlib import crc32

from softswitch.errors import SipParseError
from softswitch.sip.framing import BODY_LIMIT, HEADER_LIMIT
from softswitch.sip.grammar import LWS, split_commas
from softswitch.sip.headers import parse_name_addr, parse_via
from softswitch.sip.labels import REASONS
from softswitch.sip.message import Headers, SipRequest
from softswitch.sip.refusal import DEFAULT_PORT, refusal

START_LINE_LIMIT = 2048  # bytes
HEADER_COUNT_LIMIT = 200  # lines
COOKIE = "z9hG4bK"
STATELESS_TAG = "nocall-"  # begins the To tag of what is refused without a transaction; no call's tag begins so

_TO = re.compile(rb"\r\n(?:To|t)[ \t]*:([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)", re.IGNORECASE)
_FOLD = re.compile(r"\r\n[ \t]+")
_TAG = re.compile(rb";[ \t\r\n]*tag[ \t\r\n]*=[ \t\r\n]*([^;, \t\r\n]*)", re.IGNORECASE)  # also where it is folded
_VIA = re.compile(rb"\r\n(?:Via|v)[ \t]*:([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)", re.IGNORECASE)
_CSEQ = re.compile(rb"\r\nCSeq[ \t]*:[ \t]*\d+[ \t]+([^ \t\r\n]+)", re.IGNORECASE)
_ECHOED = re.compile(rb"\r\n(Via|v|From|f|To|t|Call-ID|i|CSeq)[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t]+[^\r\n]*)*)", re.I)
# What nearly everybody writes. It is read without parsing, by the same rules: under overload each microsecond counts.
_PLAIN_VIA = re.compile(
    rb"SIP/2\.0/[A-Z]+ ([A-Za-z0-9.\-]+)(?::([0-5]?\d{1,4}))?(;rport)?;branch=(z9hG4bK[A-Za-z0-9\-.!%*_+`'~]+)(;rport)?"
)
_PLAIN_TO = re.compile(rb"<sips?:[^<>\s\"]+>")
_REFUSAL_TAG = f";tag={STATELESS_TAG}".encode()

Key = tuple[object, ...]
Fields = list[tuple[bytes, bytes]]


def head_of(data: bytes) -> bytes:
    """The header block, as far as one may be long: the body of a message is nothing to look for headers in."""
    end = data.find(b"\r\n\r\n", 4, HEADER_LIMIT + 4)
    return data[: HEADER_LIMIT if end < 0 else end + 2]


def is_response(data: bytes) -> bool:
    """Whether it begins as a response does."""
    return data[:4].upper() == b"SIP/"


def begins_call(data: bytes) -> bool:
    """Whether it is an INVITE outside any dialog."""
    return data.startswith(b"INVITE ") and not to_tag(data)


def ends_refusal(data: bytes) -> bool:
    """Whether it is the ACK for a `quick_refusal`, which nobody waits for."""
    return data.startswith(b"ACK ") and data.find(_REFUSAL_TAG) >= 0


def to_tag(data: bytes) -> str:
    """The tag in To, empty where there is none: a request without it is outside any dialog (12.2.2)."""
    to = _TO.search(data)
    tag = None if to is None else _TAG.search(to[1])
    if to is None or tag is None:
        return ""
    try:  # what looks like one may stand in the URI, or in quotes
        return parse_name_addr(_unfolded(to[1])).tag or ""
    except SipParseError:
        return tag[1].decode("ascii", "replace")


def _unfolded(value: bytes) -> str:
    """A header's value in one line, as `parse_message` has it (7.3.1)."""
    return " ".join([part.rstrip(LWS) for part in _FOLD.split(value.decode("utf-8", "surrogateescape"))]).strip(LWS)


def transaction_key(data: bytes) -> Key | None:
    """The key of the transaction that the core would look for; None where only the whole message tells."""
    lines, cseq = _VIA.search(data), _CSEQ.search(data)
    if lines is None or cseq is None:
        return None
    method = cseq[1].decode("ascii", "replace")
    plain = _PLAIN_VIA.fullmatch(lines[1].strip())
    if plain is not None:
        host, port, branch = plain[1].decode(), plain[2], plain[4].decode()
        return _key(data, branch, host, None if port is None else int(port), method)
    try:
        via = parse_via(split_commas(_unfolded(lines[1]))[0])
    except (SipParseError, IndexError):
        return None
    return _key(data, via.branch, via.host, via.port, method)


def _key(data: bytes, branch: str, host: str, port: int | None, method: str) -> Key | None:
    if is_response(data):
        return branch, method
    if not branch.startswith(COOKIE) or branch == COOKIE:
        return None  # RFC 2543: many headers make the key
    return branch, host, port, "INVITE" if method in ("ACK", "CANCEL") else method


def excess(data: bytes) -> int:
    """The status that refuses a message too large to be taken; 0 where it is not."""
    if len(data) <= START_LINE_LIMIT and data.count(b"\r\n") <= HEADER_COUNT_LIMIT:
        return 0  # most are: nothing in it can be too long
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
    fields: Fields = _ECHOED.findall(head)
    if (plain := _plain_refusal(fields, status, source, more)) is not None:
        return plain
    pairs = [(name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in fields]
    request = SipRequest(method, "", Headers((name, _FOLD.sub(" ", value)) for name, value in pairs))
    tag = f"{STATELESS_TAG}{crc32((request.headers.get('Call-ID') or '').encode('utf-8', 'surrogateescape')):x}"
    return refusal(request, status, REASONS[status], source, tag=tag, more=more)


def _plain_refusal(fields: Fields, status: int, source: tuple[str, int], more: str) -> tuple[bytes, int] | None:
    """What `refusal` would write, at a fifth of its cost; None where any of the five headers is less than plain."""
    found = dict(fields)
    via, to = _PLAIN_VIA.fullmatch(found.get(b"Via", b"")), found.get(b"To", b"")
    if via is None or len(fields) != len(found) or len(found) != 5 or _PLAIN_TO.fullmatch(to) is None:
        return None
    from_, call_id, cseq = found.get(b"From"), found.get(b"Call-ID"), found.get(b"CSeq")
    if not (from_ and call_id and cseq) or b"\r" in from_ + call_id + cseq:
        return None
    top, port = via[0].decode(), int(via[2] or DEFAULT_PORT)
    if via[3] or via[5]:  # RFC 3581
        top, port = top.replace(";rport", f";rport={source[1]};received={source[0]}", 1), source[1]
    elif via[1].decode() != source[0]:
        top = f"{top};received={source[0]}"
    head = f"SIP/2.0 {status} {REASONS[status]}\r\nVia: {top}\r\nFrom: ".encode()
    told = f";tag={STATELESS_TAG}{crc32(call_id):x}\r\nCall-ID: ".encode()
    end = f"\r\n{more}Content-Length: 0\r\n\r\n".encode()
    return b"%b%b\r\nTo: %b%b%b\r\nCSeq: %b%b" % (head, from_, to, told, call_id, cseq, end), port
