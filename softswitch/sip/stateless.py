"""Answers that no transaction keeps: refusals, challenges, what we can do. Nobody can aim them at a third party.

RFC 3261 8.2.6, 8.2.7, 18.2.1, 18.2.2 and 26.1.5, RFC 3581 4. Called by the core, for which this finds the wordings of
an answer, so that what may be forged gets the fullest that is no longer than what came, or nothing. It keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from softswitch.errors import SipParseError
from softswitch.sip.acceptance import stateless_tag
from softswitch.sip.addresses import DEFAULT_PORTS, Hop, Path
from softswitch.sip.compose import Reply
from softswitch.sip.labels import KNOWN, REASONS
from softswitch.sip.message import SipRequest
from softswitch.sip.refusal import refusal

_NAME, _REASON = re.compile(rb"\r\n([A-Za-z-]+): "), re.compile(rb"(?<=\ASIP/2\.0 \d{3} )[^\r]*")
_COMPACT = {b"Via": b"v", b"From": b"f", b"To": b"t", b"Call-ID": b"i", b"Supported": b"k", b"Content-Length": b"l"}


class Answer(NamedTuple):
    """An encoded response and the way it goes."""

    status: int
    data: bytes
    path: Path


class Doubt(Protocol):
    """Whose messages may be anybody's."""

    def may_be_forged(self, hop: Hop, now: float) -> bool:
        """Whether whoever sends in the name of `hop` has yet to show that it is there."""

    def unanswered(self, hop: Hop, now: float) -> None:
        """A request of `hop`, which may be forged, is shorter than the shortest answer to it, so it gets none."""


class NoDoubt:
    """Everybody is who he seems to be."""

    def may_be_forged(self, hop: Hop, now: float) -> bool:
        """Nobody's."""
        return False

    def unanswered(self, hop: Hop, now: float) -> None:
        """Never the case."""


def reply_to(request: SipRequest, path: Path) -> tuple[Reply, Path]:
    """What the responses to a request that came by `path` share, and where they go (18.2.1, 18.2.2, RFC 3581 4)."""
    via, (transport, host, port, name) = request.via, path.hop
    params, asked = via.params, "rport" in via.params
    if asked:
        params = {**params, "rport": str(port), "received": host}
    elif via.host != host:
        params = {**params, "received": host}
    if path.connection or not asked:  # where a stream's peer listens, should the connection be gone
        port = via.port or DEFAULT_PORTS[transport]
    top = via if params is via.params else type(via)(via.transport, via.host, via.port, params)
    if (port, name) == (path.hop.port, ""):  # nearly always: back as it came
        return Reply(request, str(top)), path
    return Reply(request, str(top)), Path(Hop(transport, host, port), path.listener, path.connection)


def answers(
    request: SipRequest, path: Path, status: int, server_line: str, more: Iterable[str] = ("",)
) -> Iterator[Answer]:
    """The response in its wordings, the fullest first; without the Server line before anything else is left out.

    `more` are further header lines, and what would do in their place.
    """
    reply, back = reply_to(request, path)
    tag = "" if "tag" in request.to.params else stateless_tag(request)
    for number, lines in enumerate(more):
        if not number:
            yield Answer(status, reply.encode(status, tag=tag, more=server_line + lines), back)
        yield from _abridged(Answer(status, reply.encode(status, tag=tag, more=lines), back))


def refusals(
    request: SipRequest, error: SipParseError, path: Path, status: int, server_line: str, allow_lines: str
) -> Iterator[Answer]:
    """The same for a malformed request, where it still says whom to answer; else none (RFC 4475 3.1.2, 3.3.1)."""
    words, more = str(error) if status == 400 else REASONS[status], ""
    if status == 400 and request.method not in KNOWN:  # "has better future-proof characteristics" (3.1.2.18)
        status, more = 501, allow_lines
    transport, host, port, _ = path.hop
    for reason, lines in ((words, server_line + more), (REASONS[status], "")):
        refused = refusal(request, status, reason, (host, port), tag=stateless_tag(request), more=lines)
        if refused is not None:
            data, port_back = refused
            yield from _abridged(
                Answer(status, data, Path(Hop(transport, host, port_back), path.listener, path.connection))
            )


def _abridged(one: Answer) -> Iterator[Answer]:
    """An answer without a body as it is; in compact form (7.3.3); and with nothing that a datagram can do without.

    That is the reason phrase, which may be empty (25.1), and the length: the datagram's end ends the body (18.3).
    """
    yield one
    compact = _NAME.sub(lambda name: b"\r\n%b:" % _COMPACT.get(name[1], name[1]), one.data)
    yield one._replace(data=compact)
    yield one._replace(data=_REASON.sub(b"", compact, count=1).replace(b"\r\nl:0\r\n", b"\r\n"))
