"""What a session tells the call layer.

RFC 3261 9, 13, 14 and 15, RFC 4028. Implemented by the legs of `call/`, called by `session.Session.deliver`. Nothing
runs here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from softswitch.sip.message import SipRequest, SipResponse

if TYPE_CHECKING:
    from softswitch.sip.in_dialog import InDialogRequest


class SessionListener(Protocol):
    """What a session tells. Called one at a time from the receive path; after `hang_up` nothing more is told."""

    def on_provisional(self, response: SipResponse) -> None:
        """UAC: 100-199."""

    def on_answered(self, response: SipResponse) -> None:
        """UAC: the first 2xx; to be followed by `acknowledge` or `hang_up`."""

    def on_refused(self, response: SipResponse) -> None:
        """UAC: 300-699, also made here: 408 timer B, 503 transport error, 500 withheld by the guard."""

    def on_cancelled(self, request: SipRequest) -> None:
        """UAS: CANCEL before the final response; CANCEL and INVITE are answered already."""

    def on_acknowledged(self, request: SipRequest) -> None:
        """The ACK for a 2xx of ours, of the first INVITE or a later one."""

    def on_unacknowledged(self) -> None:
        """64*T1 passed without the ACK, or (UAS) without the PRACK (RFC 3262 3); `hang_up` is due."""

    def on_bye(self, request: SipRequest) -> None:
        """The other side hung up; answered already."""

    def on_request(self, request: InDialogRequest) -> None:
        """Any other request inside the dialog; to be answered by `respond`."""

    def on_dead(self, why: str) -> None:
        """The dialog died without BYE."""

    def on_refresh_due(self) -> None:
        """RFC 4028: a re-INVITE is due, that the session does not expire; nothing is lost while one is under way."""

    def on_expired(self) -> None:
        """RFC 4028: the session was not refreshed in time; `hang_up` is due."""
