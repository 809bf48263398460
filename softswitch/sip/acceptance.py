"""Which requests we can't take, and what makes two of them one: the looks that need no memory beyond the request.

RFC 3261 8.2.1 to 8.2.3, 8.2.7, 11.2, 16.3, 17.2.3 and 21.4.7, RFC 4028 9. Called by the core before anybody
else sees a request. It sends nothing.
"""

from __future__ import annotations

from softswitch.errors import SipParseError
from softswitch.sip.compose import header_lines
from softswitch.sip.content import ACCEPTED, DESCRIBING, description, takes_description
from softswitch.sip.labels import KNOWN
from softswitch.sip.message import SipRequest
from softswitch.sip.session_timer import TIMER, is_too_small
from softswitch.sip.timing import Timing
from softswitch.sip.uri import parse_uri

COOKIE = "z9hG4bK"  # branches without it come from RFC 2543
REFRESHING = frozenset({"INVITE", "UPDATE"})


def unacceptable(request: SipRequest, extensions: frozenset[str], timing: Timing) -> tuple[int, str] | None:
    """The status and header lines that refuse it, None where it may go on; then its body is a description or empty.

    What requires an extension that we lack (8.2.2.3), a body that we can't read (8.2.3), what would not read our answer
    (21.4.7), a session interval below our smallest (RFC 4028 9).
    """
    required = request.headers.all("Require")
    if required and (lacking := [tag for tag in required if tag.lower() not in extensions]):
        return 420, header_lines([("Unsupported", ", ".join(lacking))])
    if request.method in DESCRIBING:
        described = description(request)
        if described is None:
            return 415, ACCEPTED
        request.body = described
    if _wants_answer(request) and not takes_description(request):
        return 406, ""
    if request.method in REFRESHING and TIMER in extensions and is_too_small(request, timing):
        return 422, f"Min-SE: {timing.min_se}\r\n"
    return None


def _wants_answer(request: SipRequest) -> bool:
    """Whether a 2xx would bring a description. OPTIONS is refused as an INVITE would be (11.2), never in a dialog."""
    method = request.method
    return (
        method == "INVITE"
        or (method == "UPDATE" and bool(request.body))
        or (method == "OPTIONS" and not request.to.tag)
    )


def not_allowed(method: str) -> int:
    """The status for a method that is not for here: 405 for one that we know, else 501 (8.2.1, 21.5.2)."""
    return 405 if method in KNOWN else 501


def same_callee(uri: str, other: str) -> bool:
    """Whether two Request-URIs name the same user: what comes back with another one is a spiral, no loop (16.3)."""
    try:
        return parse_uri(uri).user == parse_uri(other).user
    except SipParseError:
        return uri == other


def server_key(request: SipRequest) -> tuple[object, ...]:
    """What makes a request one of a server transaction (17.2.3); ACK and CANCEL match their INVITE."""
    via, method = request.via, request.method
    if method in ("ACK", "CANCEL"):
        method = "INVITE"
    branch = via.branch
    if len(branch) > len(COOKIE) and branch.startswith(COOKIE):  # the cookie alone identifies nothing (RFC 4475 3.2.1)
        return branch, via.host, via.port, method
    # RFC 2543: the To tag is left out, for the ACK carries ours and the INVITE none.
    return request.uri, request.from_.tag, request.call_id, request.cseq.number, str(via), method


def stateless_tag(request: SipRequest) -> str:
    """The same tag for the same request, without remembering it (8.2.7)."""
    return f"{hash((request.headers.get('Call-ID'), request.headers.get('Via'))) & 0xFFFFFFFFFF:x}"
