"""One request inside a dialog: of the other side, to be answered once, or of ours, with the future of its answer.

RFC 3261 12.2 and 14, RFC 3311, RFC 6026. Made by sessions, handed to the call layer. A request decides nothing: what
its answer means for the dialog is its session's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softswitch.sip.compose import Reply, header_lines
from softswitch.sip.invite_clocks import Countdown
from softswitch.sip.labels import REASONS
from softswitch.sip.message import Headers, SipRequest, SipResponse
from softswitch.sip.transaction import Failure, Told, Transaction, ignore

if TYPE_CHECKING:
    from softswitch.sip.session import Session

Pairs = Sequence[tuple[str, str]]

REFRESHING = frozenset({"INVITE", "UPDATE"})  # requests that move the remote target (RFC 3261 12.2.1, RFC 3311 5)
PATIENCE_S = 200.0  # since a word about our re-INVITE; proxies on the way give it up before (timer C, RFC 3261 16.6)


def local_response(status: int, reason: str | None = None) -> SipResponse:
    """A response that nobody sent: it stands for a failure on this side (RFC 3261 8.1.3.1)."""
    return SipResponse(status, REASONS.get(status, "") if reason is None else reason, Headers(), b"")


class InDialogRequest:
    """A request of the other side inside the dialog, to be answered once by `respond`."""

    __slots__ = ("_reply", "_session", "_transaction", "answered", "message")

    def __init__(self, session: Session, message: SipRequest, transaction: Transaction, reply: Reply) -> None:
        self.message = message
        self.answered = False
        self._session, self._transaction, self._reply = session, transaction, reply

    def respond(
        self,
        status: int,
        *,
        reason: str | None = None,
        headers: Pairs = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> None:
        """Answer it. A 2xx to a re-INVITE is repeated until its ACK. A second final response is ignored."""
        if self.answered:
            return
        session, method = self._session, self.message.method
        session.core.begin()
        self.answered = status >= 200
        more = header_lines(headers)
        if status < 300 and method in REFRESHING:
            more = session.contact_line + session.core.capability_lines + more
        if 200 <= status < 300 and method in REFRESHING:
            more = session.timer.answer_lines(self.message) + more
        sent = session.answer(
            self._transaction, self._reply, status, reason, more=more, body=body, content_type=content_type
        )
        if self.answered:
            session.answered_request(self)
            if method != "INVITE":
                self._transaction.tell = ignore  # nothing more will be told: let go of the message
            if method == "INVITE" and 200 <= sent < 300:
                session.repeat_answer(self._transaction, self.message.cseq.number)
        session.core.finish()

    def told(self, what: Told) -> None:
        """What its transaction tells: CANCEL (only INVITE is cancelled), an ACK, or a failure, which ends nothing."""
        if isinstance(what, SipRequest):
            if what.method == "CANCEL":
                self.respond(487)
            else:
                self._session.receive_ack(what)


class OutgoingRequest:
    """A request of ours inside the dialog and the future its answer goes to."""

    __slots__ = ("_ack", "_branch", "_patience", "_session", "cseq", "future", "method")

    def __init__(self, session: Session, method: str, cseq: int) -> None:
        self.method = method
        self.cseq = cseq
        self.future = session.core.new_response()
        self._session = session
        self._ack: bytes | None = None  # of the 2xx, to be repeated with it
        self._branch = ""  # of the re-INVITE that is waited for
        self._patience: Countdown | None = None

    def told(self, what: Told) -> None:
        """What the transaction tells: responses, or a failure."""
        if isinstance(what, Failure):
            self._finish(local_response(what))
        elif isinstance(what, SipResponse) and what.status >= 200:
            if self.method in REFRESHING:
                self._session.refreshed(what)
            if self.method == "INVITE" and what.status < 300:
                self._acknowledge()
            self._finish(what)
        elif isinstance(what, SipResponse) and self.method == "INVITE":
            self._wait(what)

    def renewed(self, transaction: Transaction, cseq: int, credentials: str) -> None:
        """It was challenged and is on its way again."""
        self.cseq = cseq
        if self.method == "INVITE":
            self._session.credentials = credentials

    def drop(self) -> None:
        """The call is over; its transaction still is to end, by a 487 (15.1.2) or without one."""
        if not self.future.done():
            self.future.set_result(local_response(481))
        if self._patience is not None:
            self._patience.restart(self._session.core.timing.timeout)

    def _acknowledge(self) -> None:
        if self._ack is None:
            self._ack = self._session.send_ack(self.cseq)
        else:
            self._session.repeat_ack(self._ack)

    def _wait(self, provisional: SipResponse) -> None:
        """From the first word on no transaction's timer runs; a far end that falls silent then must not hold up all."""
        session, known = self._session, self._branch
        self._branch, seconds = provisional.via.branch, session.core.timing.timeout if session.ended else PATIENCE_S
        if self._patience is None:
            self._patience = Countdown(session.core, seconds, self._give_up)
        elif provisional.status > 100 or self._branch != known:
            self._patience.restart(seconds)

    def _give_up(self) -> None:
        """As without any answer (12.2.1.2); where the call is over already only the transaction goes."""
        self._session.core.abandon(self._branch, self.method)
        self._finish(local_response(408))

    def _finish(self, response: SipResponse) -> None:
        if self._patience is not None:
            self._patience.stop()
        if not self.future.done():
            self.future.set_result(response)
        self._session.finished_request(self, response.status)
