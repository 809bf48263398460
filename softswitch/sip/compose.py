"""Outgoing messages written by joining prepared strings: cheaper than building headers only to encode them.

RFC 3261 8.1.1, 8.2.6, 9.1 and 17.1.1.3. Called by the core, dialogs, sessions and transactions for whatever leaves.
It decides nothing and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from softswitch.sip.labels import REASONS
from softswitch.sip.message import Headers, SipRequest

Pairs = Iterable[tuple[str, str]]

CRLF = "\r\n"
_CREDENTIALS = ("Authorization:", "Proxy-Authorization:")


def header_lines(headers: Pairs) -> str:
    """The header fields as lines, each ended by CRLF; raises ValueError where a value would smuggle in another line."""
    if not headers:
        return ""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a header value contains a line break")
    return text


def closed(head: str, body: bytes, content_type: str) -> bytes:
    """The message: `head` (lines ended by CRLF), Content-Type where there is a body, Content-Length, body."""
    if body:
        text = f"{head}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        return text.encode("utf-8", "surrogateescape") + body
    return f"{head}Content-Length: 0\r\n\r\n".encode("utf-8", "surrogateescape")


def lower_vias(headers: Headers) -> list[str]:
    """The values of Via below the topmost: of a message that has come straight from who made it there are none."""
    if not headers.repeated and "," not in (headers.get("Via") or ""):
        return []
    return headers.all("Via")[1:]


class Reply:
    """What all responses to one request share (RFC 3261 8.2.6.2): Via, From, To, Call-ID, CSeq, Record-Route."""

    __slots__ = ("_end", "_record_route", "_start", "_to")

    def __init__(self, request: SipRequest, via: str) -> None:
        """`via` is the topmost Via as it goes back, with received and rport filled in."""
        headers = request.headers
        lower, routes = lower_vias(headers), headers.all("Record-Route")
        further = "".join([f"Via: {value}\r\n" for value in lower]) if lower else ""
        self._start = f"Via: {via}\r\n{further}From: {headers.get('From')}\r\n"
        self._to = f"To: {headers.get('To')}"
        self._end = f"\r\nCall-ID: {headers.get('Call-ID')}\r\nCSeq: {headers.get('CSeq')}\r\n"
        self._record_route = "".join([f"Record-Route: {value}\r\n" for value in routes]) if routes else ""

    def encode(
        self,
        status: int,
        reason: str | None = None,
        *,
        tag: str = "",
        more: str = "",
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> bytes:
        """The encoded response. `tag` goes on To ("" where it has one already), `more` are further header lines."""
        words = REASONS.get(status, "") if reason is None else reason
        to = f"{self._to};tag={tag}" if tag else self._to
        route = self._record_route if 100 < status < 300 else ""
        return closed(f"SIP/2.0 {status} {words}\r\n{self._start}{to}{self._end}{route}{more}", body, content_type)


_COPIED = ("From:", "Call-ID:", "Max-Forwards:", "Route:")


def acknowledgement(invite: bytes, to: str) -> bytes:
    """The ACK for a non-2xx final response whose To is `to` (RFC 3261 17.1.1.3)."""
    return _same_branch(invite, "ACK", f"To: {to}", "")


def cancellation(invite: bytes, more: str = "") -> bytes:
    """The CANCEL for `invite` (RFC 3261 9.1), with `more` header lines."""
    return _same_branch(invite, "CANCEL", None, more)


def _same_branch(invite: bytes, method: str, to: str | None, more: str) -> bytes:
    """A request that must look like `invite`, which this module wrote: first line, our Via, then the rest."""
    lines = invite[: invite.index(b"\r\n\r\n")].decode("utf-8", "surrogateescape").split("\r\n")
    kept = [f"{method} {lines[0].split(' ', 2)[1]} SIP/2.0", lines[1]]
    for line in lines[2:]:
        if line.startswith(_COPIED):
            kept.append(line)
        elif line.startswith("To:"):
            kept.append(to or line)
        elif line.startswith("CSeq:"):
            kept.append(f"CSeq: {line[5:].split()[0]} {method}")
    return closed("\r\n".join(kept) + "\r\n" + more, b"", "")


def once_more(request: bytes, via: str, cseq: int, more: str) -> bytes:
    """`request`, which this package wrote, as it goes out again with another branch, number and credentials (8.1.3.5).

    `more` are all its credentials, as header lines, or "": those that it had are dropped.
    """
    head, blank, body = request.partition(b"\r\n\r\n")
    start, _, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    method = start.partition(" ")[0]
    kept = [start, f"Via: {via}"]
    for line in lines:
        if line.startswith("CSeq:"):
            kept += [f"CSeq: {cseq} {method}", *more.split(CRLF)[:-1]]
        elif not line.startswith(_CREDENTIALS):
            kept.append(line)
    return "\r\n".join(kept).encode("utf-8", "surrogateescape") + blank + body


def with_credentials(request: bytes, more: str) -> bytes:
    """`request`, which this package wrote, with the header lines `more` behind its CSeq."""
    at = request.index(b"\r\n", request.index(b"\r\nCSeq: ") + 2) + 2
    return request[:at] + more.encode("utf-8", "surrogateescape") + request[at:]


def sequence_number(request: bytes) -> int:
    """The number in the CSeq of a request that this package wrote."""
    return int(request.partition(b"\r\nCSeq: ")[2].split(None, 1)[0])
