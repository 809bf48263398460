"""A request of ours outside any dialog and any call: OPTIONS to see whether a peer lives, REGISTER to a registrar.

RFC 3261 8.1, 10.2 and 11.1. Made by the user agent for `UserAgent.request`. It keeps no state: who registers keeps
Call-ID and CSeq in its `Series`.
"""

from __future__ import annotations

from dataclasses import dataclass

from softswitch.sip.addresses import Path
from softswitch.sip.compose import closed
from softswitch.sip.digest import Account
from softswitch.sip.digest_client import Asking, open_proving
from softswitch.sip.endpoint import Endpoint, PendingResponse
from softswitch.sip.message import SipResponse
from softswitch.sip.session import local_response
from softswitch.sip.transaction import Failure, Told


@dataclass(slots=True)
class Series:
    """Requests that belong together: one Call-ID, rising CSeq (RFC 3261 10.2). `call_id` "" is made at the first."""

    call_id: str = ""
    cseq: int = 0

    def next(self) -> int:
        """The number of the next request."""
        self.cseq += 1
        return self.cseq


def send_lone(
    core: Endpoint,
    path: Path,
    method: str,
    *,
    uri: str,
    from_: str,
    to: str,
    more: str,
    series: Series,
    account: Account | None,
) -> PendingResponse:
    """Send it; the future gives its final response (408 and 503 made here, as for a call).

    `from_` and `to` are name-addrs without tag, `more` are header lines; `account` answers challenges.
    """
    future, branch = core.new_response(), f"z9hG4bK{core.tokens()}"
    series.call_id = series.call_id or core.tokens()

    def told(what: Told) -> None:
        final = local_response(what) if isinstance(what, Failure) else what
        if isinstance(final, SipResponse) and final.status >= 200 and not future.done():
            future.set_result(final)

    head = (
        f"{method} {uri} SIP/2.0\r\nVia: {core.via(path.listener, branch)}\r\nMax-Forwards: 70\r\n"
        f"From: {from_};tag={core.tokens()}\r\nTo: {to}\r\nCall-ID: {series.call_id}\r\n"
        f"CSeq: {series.next()} {method}\r\n{more}"
    )
    asking = Asking(method, told, _as_it_is, lambda: None if future.done() else series.next())
    open_proving(core, account, closed(head, b"", ""), branch, path, asking)
    return future


def _as_it_is(data: bytes) -> bytes:
    return data
