"""The INVITE usage of a dialog as the call layer sees it: what UAS and UAC sides share.

RFC 3261 12.2, 14 and 15, RFC 6026. The core hands a session what arrives for it; the call layer calls its public
methods and listens through a SessionListener. A session never waits and never reads a clock of its own: `Endpoint`,
which is the core, tells the time and takes the bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from softswitch.errors import RemoteProtocolError, SoftswitchError
from softswitch.sip.addresses import Hop, Path
from softswitch.sip.answer_repeater import AnswerRepeater
from softswitch.sip.compose import Reply, header_lines
from softswitch.sip.content import DESCRIBING, TAKEN
from softswitch.sip.dialog import Dialog
from softswitch.sip.digest import Account
from softswitch.sip.digest_client import Asking, Renewed, unnoted
from softswitch.sip.endpoint import Endpoint, PendingResponse
from softswitch.sip.failover import open_inside
from softswitch.sip.in_dialog import REFRESHING, InDialogRequest, OutgoingRequest, local_response
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.session_listener import SessionListener
from softswitch.sip.session_timer import SessionTimer
from softswitch.sip.transaction import CLIENT, INVITE_CLIENT, Failure, Told, Transaction

__all__ = [
    "REFRESHING",
    "Guard",
    "Hop",
    "InDialogRequest",
    "LeakRefused",
    "Pairs",
    "Session",
    "SessionListener",
    "local_response",
]

log = logging.getLogger(__name__)

Pairs = Sequence[tuple[str, str]]
Guard = Callable[[bytes], bytes]

MOST_UNANSWERED = 8  # requests of the other side at once: a flood must not wait for us
DEAD = (408, 481)  # an answer that says that the other side has no such dialog any more (RFC 3261 12.2.1.2)


class LeakRefused(SoftswitchError):
    """Raised by a guard: this message must not leave."""


class Session:
    """One INVITE usage of a dialog. Public methods act at once: their bytes leave within this turn of the loop."""

    __slots__ = (
        "_bye_sent",
        "_listener",
        "_outgoing",
        "_path",
        "_repeaters",
        "_unanswered",
        "_undelivered",
        "account",
        "awaits_answer",
        "core",
        "credentials",
        "dialog",
        "ended",
        "guard",
        "heard_at",
        "hung_up",
        "local_tag",
        "sip_call_id",
        "takes_update",
        "timer",
    )

    def __init__(self, core: Endpoint, path: Path, local_tag: str, sip_call_id: str, guard: Guard | None) -> None:
        self.core = core
        self.sip_call_id = sip_call_id
        self.local_tag = local_tag
        self.guard = guard
        self.dialog: Dialog | None = None
        self.ended = False  # no call any more, though transactions may still be at work
        self.hung_up = False  # by us
        self.heard_at = core.now  # the latest sign of life of the other side, as far as messages are one
        self._listener: SessionListener | None = None
        self._undelivered: list[tuple[str, object]] = []
        self._path = path  # where the latest message came from, or the INVITE went
        self._outgoing: list[OutgoingRequest] = []
        self._unanswered: list[InDialogRequest] = []
        self._repeaters: list[AnswerRepeater] = []
        self._bye_sent = False
        self.account: Account | None = None  # who we are to a peer that challenges us (22.1)
        self.credentials = ""  # header lines of our latest INVITE, which its ACK repeats
        self.timer = SessionTimer(core, self._refresh, self._expire)
        self.awaits_answer = (
            False  # UAS: the offer was ours, in a provisional response: its PRACK is told even if empty
        )
        self.takes_update = False  # RFC 3311: the other side's Allow names UPDATE

    # For the call layer

    @property
    def remote(self) -> Hop:
        """Where the last message came from, or where requests go."""
        return self._path.hop

    @property
    def target(self) -> Hop:
        """Where our next request inside the dialog goes."""
        return self._path.hop if self.dialog is None else self.dialog.path.hop

    @property
    def listener(self) -> SessionListener | None:
        """Who hears of events; what happened before it was set is delivered on setting it."""
        return self._listener

    @listener.setter
    def listener(self, listener: SessionListener | None) -> None:
        self._listener = listener
        if listener is not None:
            queued, self._undelivered = self._undelivered, []
            for name, argument in queued:
                self.deliver(name, argument)

    def request(
        self, method: str, *, headers: Pairs = (), body: bytes = b"", content_type: str = ""
    ) -> PendingResponse:
        """Send a request inside the dialog; the future gives its final response (408 made here on time-out).

        The 2xx to a re-INVITE is acknowledged here. Raises RemoteProtocolError where there is no dialog yet, or for a
        second INVITE while one is under way (14.1).
        """
        core = self.core
        core.begin()
        dialog = self.dialog
        if self.ended:
            future = core.new_response()
            future.set_result(local_response(481))
            return future
        if dialog is None:
            raise RemoteProtocolError(f"{method}: the other side has not answered, there is no dialog yet")
        if method == "INVITE" and self.invite_under_way:
            raise RemoteProtocolError("re-INVITE: another INVITE is under way")
        outgoing = OutgoingRequest(self, method, dialog.local_cseq + 1)
        branch = self.new_branch()
        more = self.contact_line + core.capability_lines + self.timer.request_lines if method in REFRESHING else ""
        data = self.guarded(
            dialog.request(
                method,
                core.via(dialog.path.listener, branch),
                more=more + header_lines(headers),
                body=body,
                content_type=content_type or "application/sdp",
            )
        )
        if data is None:
            outgoing.future.set_result(local_response(500, "Withheld"))
            return outgoing.future
        self._outgoing.append(outgoing)
        if method == "INVITE":
            self.credentials = ""
        self.open_client(
            data, branch, dialog, method, outgoing.told, outgoing.renewed, lambda: not outgoing.future.done()
        )
        core.finish()
        return outgoing.future

    @property
    def invite_under_way(self) -> bool:
        """Whether an INVITE of either side waits for its final response, or a 2xx of ours for its ACK (14.1)."""
        waiting = [one.method for one in self._outgoing] + [one.message.method for one in self._unanswered]
        return self.unacknowledged or "INVITE" in waiting

    @property
    def unacknowledged(self) -> bool:
        """Whether a 2xx of ours waits for its ACK; the listener is told when it comes, or does not."""
        return bool(self._repeaters)

    def hang_up(self, *, status: int = 480, reason: str | None = None, headers: Pairs = ()) -> None:
        """End the call from whatever state it is in: see the two kinds of session. The listener hears no more."""
        raise NotImplementedError

    def leave(self) -> bool:
        """The call layer has lost interest: nothing is told any more. Returns whether the call was over already."""
        over = self.hung_up or self.ended
        self.hung_up, self._listener = True, None
        return over

    # For the core: what arrives

    def matches(self, request: SipRequest) -> bool:
        """Whether a request that carries our tag really belongs to this call (12.2.2)."""
        return request.call_id == self.sip_call_id and self.dialog_for(request) is not None

    def dialog_for(self, request: SipRequest) -> Dialog | None:
        """The dialog that a request of this call is in, by the other side's tag; None where there is none."""
        dialog = self.dialog
        return dialog if dialog is not None and (request.from_.tag or "") == dialog.remote_tag else None

    def receive_request(self, request: SipRequest, transaction: Transaction, reply: Reply, path: Path) -> None:
        """A new request inside the dialog, but ACK and CANCEL."""
        dialog = self.dialog_for(request)
        assert dialog is not None
        self._path, self.heard_at = path, self.core.now
        method = request.method
        if not dialog.accepts(request.cseq.number):
            self.answer(transaction, reply, 500, "CSeq Out of Order")
        elif method == "BYE":
            self._receive_bye(request, transaction, reply)
        elif method == "OPTIONS":
            self.answer(transaction, reply, 200, more=TAKEN + self.core.capability_lines)
        elif method == "PRACK" and not self.takes_prack(request):
            self.answer(transaction, reply, 481)
        elif method == "PRACK" and not (request.body or self.awaits_answer):
            self.answer(transaction, reply, 200)
            self.prack_answered()
        elif self.ended:
            self.answer(transaction, reply, 481)
        elif self._may_ask(request, transaction, reply):
            if method in REFRESHING:
                dialog.refresh(request)
                self.learn(request)
            asked = InDialogRequest(self, request, transaction, reply)
            transaction.tell = asked.told
            self._unanswered.append(asked)
            self.core.emit(self, "on_request", asked)

    def receive_ack(self, ack: SipRequest) -> None:
        """An ACK for a 2xx of ours; repeated ones are dropped."""
        for repeater in self._repeaters:
            if repeater.cseq == ack.cseq.number:
                repeater.stop()
                self._repeaters.remove(repeater)
                self.heard_at = self.core.now
                self.core.emit(self, "on_acknowledged", ack)
                self.acknowledged()
                return

    def deliver(self, name: str, argument: object) -> None:
        """Tell the listener, or keep it until there is one. What a listener raises is logged and hurts nobody else."""
        if self.hung_up:
            return
        if self._listener is None:
            self._undelivered.append((name, argument))
            return
        try:
            told = getattr(self._listener, name)
            told() if argument is None else told(argument)
        except Exception:
            log.exception("listener of session %s failed in %s", self.sip_call_id, name)
            if isinstance(argument, InDialogRequest):
                argument.respond(500)

    # Shared by both sides

    @property
    def contact_line(self) -> str:
        """Our Contact, as a header line."""
        return self.core.contact(self._path.listener)

    def new_branch(self) -> str:
        """A branch with the magic cookie (8.1.1.7)."""
        return f"z9hG4bK{self.core.tokens()}"

    def guarded(self, data: bytes) -> bytes | None:
        """The bytes as the guard lets them go, None where it withholds them."""
        if self.guard is None:
            return data
        try:
            return self.guard(data)
        except Exception as refusal:
            self.core.leaks_refused += 1
            if not isinstance(refusal, LeakRefused):
                log.exception("the guard of session %s failed, message withheld", self.sip_call_id)
            return None

    def open_client(
        self,
        data: bytes,
        branch: str,
        dialog: Dialog,
        method: str,
        tell: Callable[[Told], None],
        renewed: Renewed = unnoted,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start a transaction of `dialog`, for as long as the request is `wanted`: see `failover.py`."""
        if self.account is None and dialog.named is None:  # nothing to prove, and nowhere else to go
            machine = INVITE_CLIENT if method == "INVITE" else CLIENT
            path = dialog.path
            self.core.open_client(machine, data, branch, path, method=method, tell=tell, guarded=self.guarded)
            return
        asking = Asking(method, tell, self.guarded, lambda: dialog.next_cseq() if wanted() else None, renewed)
        open_inside(self, dialog, data, branch, asking, wanted)

    def answer(
        self,
        transaction: Transaction,
        reply: Reply,
        status: int,
        reason: str | None = None,
        *,
        tag: str = "",
        more: str = "",
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> int:
        """Send a response through the guard; returns the status sent. A final one withheld becomes a bare 500."""
        more = self.core.response_lines + more
        data = self.guarded(reply.encode(status, reason, tag=tag, more=more, body=body, content_type=content_type))
        if data is None and status < 200:
            return 0
        if data is None:
            status, data = 500, self.guarded(reply.encode(500, tag=tag))
        if data is None:
            transaction.terminate()
            return 0
        transaction.respond(status, data, self.core.now)
        return status

    def repeat_answer(self, transaction: Transaction, cseq: int) -> None:
        """The 2xx just sent is repeated until its ACK."""
        self._repeaters.append(AnswerRepeater(self.core, transaction, cseq, self._missed_ack))

    def send_ack(self, cseq: int, body: bytes = b"") -> bytes:
        """Send the ACK for a 2xx (13.2.2.4) and return it for repetitions."""
        assert self.dialog is not None
        ack = self.compose_ack(self.dialog, cseq, body)
        if ack:
            self.core.send(*self.core.by_size(ack, self.dialog.path), "ACK", 0)
        return ack

    def repeat_ack(self, ack: bytes) -> None:
        """The 2xx came again, so the ACK was lost: perhaps with the TCP connection that a long one went by."""
        assert self.dialog is not None
        if ack:
            self.core.send(ack, self.dialog.path, "ACK", 0, again=True)

    def refreshed(self, response: SipResponse) -> None:
        """The final response to our re-INVITE or UPDATE; a 2xx may move the remote target and is a sign of life."""
        assert self.dialog is not None
        if response.status < 300:
            self.dialog.refresh(response)
            self.learn(response)
            if not self.ended:  # else a BYE has crossed it, and the clock must stay at rest
                self.timer.agreed(response)
        elif response.status == 422 and not self.ended and self.timer.refused(response):
            if response.cseq.method == "UPDATE":
                self._refresh()
            else:  # whoever made its offer knows what still is to be said; an UPDATE beside that would say nothing
                self.core.emit(self, "on_refresh_due", None)
        elif response.status in (405, 501) and response.cseq.method == "UPDATE":
            self.takes_update = False  # its Allow promised too much: the next attempt is a re-INVITE

    def learn(self, message: SipRequest | SipResponse) -> None:
        """What the other side says that it takes."""
        if "Allow" in message.headers:
            self.takes_update = "UPDATE" in message.headers.all("Allow")

    def _refresh(self) -> None:
        """RFC 4028 7.4: by UPDATE without an offer where the other side takes it, else the call layer has to offer."""
        if self.takes_update:
            self.request("UPDATE")
        else:
            self.core.emit(self, "on_refresh_due", None)

    def _expire(self) -> None:
        """RFC 4028 10."""
        if not self.ended:
            self.core.emit(self, "on_expired", None)

    def answered_request(self, request: InDialogRequest) -> None:
        """It got its final response."""
        self._unanswered.remove(request)
        if request.message.method == "PRACK":
            self.prack_answered()

    def takes_prack(self, request: SipRequest) -> bool:
        """UAS: whether this PRACK acknowledges a provisional response of ours (RFC 3262 3)."""
        return False

    def prack_answered(self) -> None:
        """UAS: the final response to a PRACK is out; what waited for it may go."""

    def finished_request(self, outgoing: OutgoingRequest, status: int) -> None:
        """Our request has its final response; 481 and 408 mean that the dialog is dead (12.2.1.2)."""
        if outgoing not in self._outgoing:
            return
        self._outgoing.remove(outgoing)
        if status < 500 and status not in DEAD:  # else perhaps the word of a proxy, or our own
            self.heard_at = self.core.now
        if status in DEAD and not self.ended:
            self.core.emit(self, "on_dead", f"{outgoing.method} was answered {status}")
            if not self.confirmed:
                return  # the INVITE is still to be ended: the listener's `hang_up` knows how
            if status == 408:  # perhaps only a path is broken: tell the other side
                self.send_bye("")
            else:
                self.conclude()

    def _missed_ack(self, repeater: AnswerRepeater) -> None:
        """64*T1 without the ACK for a 2xx."""
        self._repeaters.remove(repeater)
        self.core.emit(self, "on_unacknowledged", None)
        self.acknowledged()

    def acknowledged(self) -> None:
        """UAS: the wait for an ACK is over, one way or the other."""

    def send_bye(self, more: str) -> None:
        """End the confirmed dialog (15.1.1). The session stays until the BYE is answered, for a BYE that crosses."""
        dialog, core = self.dialog, self.core
        assert dialog is not None
        self._bye_sent = True
        self._settle()
        branch = self.new_branch()
        via = core.via(dialog.path.listener, branch)
        data = self.guarded(dialog.request("BYE", via, more=more))
        if data is None:
            data = self.guarded(dialog.request("BYE", via))
        if data is None:
            self.conclude()
        else:
            self.open_client(data, branch, dialog, "BYE", self._bye_told)

    def conclude(self) -> None:
        """Nothing that arrives matters to this session any more."""
        if not self._bye_sent:  # else all has been settled then
            self._settle()
        self.core.close(self)

    def _settle(self) -> None:
        """The call is over: what waits gets its answer (15.1.2)."""
        self.ended = True
        self.timer.close()
        for repeater in self._repeaters:
            repeater.stop()
        self._repeaters.clear()
        for request in list(self._unanswered):
            request.respond(487)
        outgoing, self._outgoing = self._outgoing, []
        for one in outgoing:
            one.drop()

    def _receive_bye(self, request: SipRequest, transaction: Transaction, reply: Reply) -> None:
        self.answer(transaction, reply, 200)
        if not self.ended:
            self.core.emit(self, "on_bye", request)
        self.bye_received()

    def bye_received(self) -> None:
        """The dialog is over by the other side's wish."""
        if not self._bye_sent:
            self.conclude()

    def _may_ask(self, request: SipRequest, transaction: Transaction, reply: Reply) -> bool:
        """Whether the other side's request may go on; answers it where not (14.2, RFC 3311 5.2)."""
        method, offers = request.method, request.method == "UPDATE" and bool(request.body)
        waiting = [one.message for one in self._unanswered]
        again = method in REFRESHING and method in [one.method for one in waiting]
        again = again or (offers and any(one.method in DESCRIBING and one.body for one in waiting))
        if again or len(waiting) >= MOST_UNANSWERED or (method == "INVITE" and not self.confirmed):
            wait = sum(self.core.tokens().encode()) % 11  # "randomly chosen", 0 to 10 seconds
            self.answer(transaction, reply, 500, more=f"Retry-After: {wait}\r\n")
            return False
        if (offers or method == "INVITE") and any(one.method == "INVITE" for one in self._outgoing):
            self.answer(transaction, reply, 491)
            return False
        return True

    @property
    def confirmed(self) -> bool:
        """Whether the first INVITE has got its 2xx."""
        raise NotImplementedError

    def _bye_told(self, what: Told) -> None:
        if isinstance(what, Failure) or (isinstance(what, SipResponse) and what.status >= 200):
            self.conclude()

    def compose_ack(self, dialog: Dialog, cseq: int, body: bytes = b"") -> bytes:
        """The guarded ACK for a 2xx; empty where the guard withholds even the bare one."""
        via = self.core.via(dialog.path.listener, self.new_branch())
        ack = self.guarded(
            dialog.request("ACK", via, cseq=cseq, more=self.credentials, body=body, content_type="application/sdp")
        )
        if ack is None:
            ack = self.guarded(dialog.request("ACK", via, cseq=cseq))
        return ack or b""
