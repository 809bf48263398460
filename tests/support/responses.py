"""Responses as a peer makes them from the request (RFC 3261 8.2.6.2); the product writes its own by compose.py."""

from __future__ import annotations

from collections.abc import Iterable

from softswitch.errors import SipParseError
from softswitch.sip.labels import REASONS
from softswitch.sip.message import Headers, SipRequest, SipResponse

_DIALOG_CREATING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})


def make_response(
    request: SipRequest,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str = "application/sdp",
) -> SipResponse:
    """The response to `request`: Via, From, To, Call-ID and CSeq are its own (RFC 3261 8.2.6.2).

    `to_tag` goes on To where it has no tag yet; Record-Route is copied into 101-299 of requests that create a dialog
    (12.1.1), Timestamp into 100 (8.2.6.1). Headers that the request lacks are left out, malformed ones copied as they
    are.
    """
    copied = {"Via", "From", "To", "Call-ID", "CSeq"}
    if status == 100:
        copied.add("Timestamp")
    elif status < 300 and request.method in _DIALOG_CREATING:
        copied.add("Record-Route")
    answer = Headers([pair for pair in request.headers if pair[0] in copied])
    if to_tag is not None and _lacks_tag(request):
        answer.set("To", f"{answer.get('To')};tag={to_tag}")
    for name, value in headers:
        answer.add(name, value)
    if body:
        answer.set("Content-Type", content_type)
    return SipResponse(status, REASONS.get(status, "") if reason is None else reason, answer, body)


def _lacks_tag(request: SipRequest) -> bool:
    try:
        return request.to.tag is None
    except SipParseError:
        return False
