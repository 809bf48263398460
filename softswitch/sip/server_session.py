"""The UAS side of a call: the INVITE that came, our responses to it, its CANCEL and its ACK.

RFC 3261 9.2, 13.3 and 17.2.1, RFC 6026. Made by the core for each new INVITE. It decides nothing about the call.
"""

from __future__ import annotations

from softswitch.sip.addresses import Hop, Path
from softswitch.sip.compose import Reply, header_lines
from softswitch.sip.dialog import Dialog, known_as
from softswitch.sip.endpoint import Endpoint
from softswitch.sip.invite_clocks import REMINDER_S, Countdown, expires_s
from softswitch.sip.message import SipRequest
from softswitch.sip.provisional import ReliableProvisionals
from softswitch.sip.session import Pairs, Session
from softswitch.sip.transaction import Told, Transaction, ignore


class ServerSession(Session):
    """A call that came. `hang_up` is right at any moment:

    no final response yet   the final response `status`
    2xx, its ACK not here   BYE after the ACK or after 64*T1 (15)
    2xx and ACK             BYE
    300-699, CANCEL, BYE    nothing
    """

    __slots__ = (
        "_answer_due",
        "_expiry",
        "_final",
        "_goodbye",
        "_progress",
        "_provisionals",
        "_reminder",
        "_reply",
        "_transaction",
        "invite",
        "passed",
        "source",
    )

    def __init__(
        self, core: Endpoint, invite: SipRequest, path: Path, *, transaction: Transaction, reply: Reply, local_tag: str
    ) -> None:
        """Raises SipParseError where the INVITE can't make a dialog."""
        super().__init__(core, path, local_tag, invite.call_id, None)
        self.invite = invite
        self.source: Hop = path.hop
        self.dialog = Dialog.as_uas(invite, local_tag, path, core.path_to)
        self._transaction, self._reply = transaction, reply
        self.passed: Pairs = ()  # headers of the other leg that go with our 101 to 299
        self._final = 0  # status of our final response
        self._goodbye = ""  # header lines for a BYE that waits for the ACK
        self._provisionals = ReliableProvisionals(core, invite, transaction, self._send_provisional, self._missed_prack)
        seconds = expires_s(invite)
        self._expiry = Countdown(core, seconds, self._expire_invite) if seconds else None
        self._reminder = Countdown(core, REMINDER_S, self._remind)
        self._progress = 0  # the latest of our 101 to 199
        self._answer_due: tuple[Pairs, bytes] | None = None  # what `accept` was given, while a PRACK is awaited
        transaction.tell = self._told
        self.learn(invite)

    # For the call layer

    def trying(self) -> None:
        """100: stops the other side's retransmissions; with the Timestamp that it measures by (8.2.6.1)."""
        timestamp = self.invite.headers.get("Timestamp")
        self._respond(100, more="" if timestamp is None else f"Timestamp: {timestamp}\r\n")

    def progress(self, status: int, *, headers: Pairs = (), body: bytes = b"") -> None:
        """101-199 with our tag, by RFC 3262 where the caller takes it so. Ignored after the final response.

        Where its PRACK does not come the listener hears `on_unacknowledged`.
        """
        if self._final:
            return
        self._progress = status
        more = self.contact_line + header_lines([*self.passed, *headers])
        if self._provisionals.suits(body):
            self.core.begin()
            self._provisionals.put(status, self.core.capability_lines + more, body)
            self.core.finish()
        else:
            self._respond(status, more=more, body=body)

    def sends_reliably(self, body: bytes = b"") -> bool:
        """Whether a provisional response with this body would go out reliably (RFC 3262 3)."""
        return self._provisionals.suits(body)

    @property
    def awaits_prack(self) -> bool:
        """Whether a description in a provisional response is out, or about to be, and its PRACK not here."""
        return self._provisionals.holds_answer

    def accept(self, *, headers: Pairs = (), body: bytes = b"") -> None:
        """200, repeated until the ACK comes; withheld by the guard, the caller gets 500 and the listener `on_dead`.

        Where a description in a provisional response still waits for its PRACK the 200 goes after that (RFC 3262 3).
        """
        if self._final:
            return
        if self.awaits_prack:
            self._answer_due = headers, body
            return
        self.core.begin()
        timer = self.timer.answer_lines(self.invite)
        more = self.contact_line + self.core.capability_lines + timer + header_lines([*self.passed, *headers])
        self._respond(200, more=more, body=body)

    def reject(self, status: int, reason: str | None = None, *, headers: Pairs = ()) -> None:
        """300-699. Ignored after the final response."""
        self._respond(status, reason, more=header_lines(headers))

    def hang_up(self, *, status: int = 480, reason: str | None = None, headers: Pairs = ()) -> None:
        """End the call from whatever state it is in; `headers` go on the response or the BYE. Idempotent."""
        if self.leave():
            return
        self.core.begin()
        more = header_lines(headers)
        if not self._final:
            self._respond(status, reason, more=more)
        elif self._repeaters:
            self.ended = True
            self._goodbye = more
        else:
            self.send_bye(more)
        self.core.finish()

    def know_peer(self, *, large_by_tcp: bool = False, tls_name: str = "") -> None:
        """Whether requests too long for UDP may go by TCP (18.1.1); whom its certificate must name (RFC 5922 7.2).

        The name counts where its connection is gone and another must be opened to it, also for a response (18.2.2).
        """
        assert self.dialog is not None
        self.dialog.know_peer(large_by_tcp=large_by_tcp, tls_name=tls_name)
        self._transaction.path = known_as(self._transaction.path, tls_name)

    # For the core

    @property
    def confirmed(self) -> bool:
        """Whether our 2xx is out."""
        return 200 <= self._final < 300

    def takes_prack(self, request: SipRequest) -> bool:
        """RFC 3262 3; a PRACK that comes after the final response is welcome too."""
        return self._provisionals.acknowledged(request, self.invite.cseq.number)

    def prack_answered(self) -> None:
        """The next provisional response, or the 200, may go."""
        if self._final:
            return
        self._provisionals.go_on()
        if self._answer_due is not None:
            headers, body = self._answer_due
            self.accept(headers=headers, body=body)

    def acknowledged(self) -> None:
        """The wait for the ACK is over: a BYE that waited for it may go."""
        if self.hung_up and not self._repeaters:
            self.send_bye(self._goodbye)

    def bye_received(self) -> None:
        """A BYE in the early dialog: the INVITE is still owed its final response (15.1.2)."""
        if not self._final:
            self._respond(487)
        super().bye_received()

    def conclude(self) -> None:
        """As any session's; the transaction, which outlives it, lets go of the INVITE."""
        super().conclude()
        self._transaction.tell = ignore

    def _told(self, what: Told) -> None:
        assert isinstance(what, SipRequest)  # failures come only after `conclude`
        if what.method == "ACK":
            self.receive_ack(what)
        else:
            self._cancel(what)

    def _cancel(self, cancel: SipRequest) -> None:
        """CANCEL: without effect once the final response is out (9.2)."""
        if self._final:
            return
        self.core.emit(self, "on_cancelled", cancel)
        self._respond(487)

    def _expire_invite(self) -> None:
        """The caller does not want to wait any longer: as if it had sent a CANCEL (13.3.1)."""
        self._cancel(self.invite)

    def _remind(self) -> None:
        """The INVITE has long had no word of us: proxies that it came by would give it up (13.3.1.1)."""
        self._reminder.restart(REMINDER_S)
        # Where none is out and the caller made no offer, the first reliable one must bring ours (13.2.1): not this one.
        if self._progress or self.invite.body or not self.sends_reliably():
            self.progress(self._progress or 183)

    def _send_provisional(self, status: int, more: str, body: bytes) -> bool:
        return self._respond(status, more=more, body=body) > 0

    def _missed_prack(self) -> None:
        """RFC 3262 3: 64*T1 without it; the INVITE is to be refused."""
        self.core.emit(self, "on_unacknowledged", None)

    def _respond(self, status: int, reason: str | None = None, *, more: str = "", body: bytes = b"") -> int:
        """Returns the status sent, 0 where nothing was."""
        if self._final:
            return 0
        core = self.core
        core.begin()
        tag = self.local_tag if status > 100 else ""
        sent = self.answer(self._transaction, self._reply, status, reason, tag=tag, more=more, body=body)
        if 100 < status < 200:
            self._reminder.restart(REMINDER_S)
        if status >= 200:
            self._final = sent or 500
            self._provisionals.stop()
            self._reminder.stop()
            if self._expiry is not None:
                self._expiry.stop()
            self._follow(status)
        core.finish()
        return sent

    def _follow(self, wanted: int) -> None:
        """What the final response just sent brings with it."""
        if self.confirmed:
            self.repeat_answer(self._transaction, self.invite.cseq.number)
            return
        if wanted < 300:
            self.core.emit(self, "on_dead", "the leak guard withheld the answer")
        self.conclude()
