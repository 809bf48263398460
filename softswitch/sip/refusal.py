"""Answers to requests that could not be read whole: what is there goes back, and what is wrong is said.

RFC 3261 8.2.6.2, 18.2.1 and 18.2.2, RFC 3581 4; RFC 4475 3.1.2 and 3.3.1 ask for an answer even where Via, To or a
whole header is at fault. Called by the core. It reads no more than the topmost Via and whether To has a tag, and it
never raises for what a request holds.
"""

from __future__ import annotations

import re

from softswitch.errors import SipParseError
from softswitch.sip.compose import closed
from softswitch.sip.grammar import HOST, TOKEN, split_commas, unbracket
from softswitch.sip.message import SipRequest

DEFAULT_PORT = 5060
_COPIED = ("From", "To", "Call-ID", "CSeq")
# Of a Via that is no Via of SIP/2.0 so much must be readable: who sent it (RFC 4475 3.1.2.1, 3.1.2.16).
_SENT_BY = re.compile(
    rf"SIP[ \t]*+/[^/;,]*+/[ \t]*+{TOKEN}[ \t]++({HOST})(?:[ \t]*+:[ \t]*+([0-9]{{1,5}}))?[ \t]*+(?:;.*+)?",
    re.IGNORECASE | re.DOTALL,
)
_RPORT = re.compile(r";[ \t]*+rport[ \t]*+(?=;|$)", re.IGNORECASE)


def refusal(
    request: SipRequest, status: int, reason: str, source: tuple[str, int], *, tag: str, more: str = ""
) -> tuple[bytes, int] | None:
    """The encoded response to a malformed request from `source`, and the port there that it goes to.

    Headers that stand more than once are copied once, missing ones are left out; `tag` goes on To where To can be
    read and has none; `more` are further header lines. None where the topmost Via does not say who sent the request,
    or there is no CSeq, without which nobody could match the response (RFC 3261 17.1.3).
    """
    vias = [value for name, value in request.headers if name == "Via"]
    top, *others = split_commas(vias[0] if vias else "") or [""]
    match = _SENT_BY.fullmatch(top)
    port = 65536 if match is None else int(match.group(2) or DEFAULT_PORT)
    if match is None or port > 65535 or "CSeq" not in request.headers:
        return None
    top, port = _with_source(top, unbracket(match.group(1)), port, source)
    vias[0] = ", ".join([top, *others])
    lines = [f"Via: {via}\r\n" for via in vias]
    lines += [f"{name}: {_copied(request, name, tag)}\r\n" for name in _COPIED if name in request.headers]
    words = reason.replace("\r", " ").replace("\n", " ")
    return closed(f"SIP/2.0 {status} {words}\r\n{''.join(lines)}{more}", b"", ""), port


def _with_source(via: str, host: str, port: int, source: tuple[str, int]) -> tuple[str, int]:
    """The Via with what we know of its sender filled in, and the port to answer to."""
    asked = _RPORT.search(via)
    if asked is not None:
        return f"{via[: asked.start()]};rport={source[1]};received={source[0]}{via[asked.end() :]}", source[1]
    if host != source[0]:
        via = f"{via.rstrip('; ')};received={source[0]}"
    return via, port


def _copied(request: SipRequest, name: str, tag: str) -> str:
    value = request.headers.get(name) or ""
    return f"{value};tag={tag}" if name == "To" and _lacks_tag(request) else value


def _lacks_tag(request: SipRequest) -> bool:
    try:
        return request.to.tag is None
    except SipParseError:
        return False
