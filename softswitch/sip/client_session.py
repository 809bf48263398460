"""The UAC side of a call: the INVITE that we send, its provisional and final responses, CANCEL and all its races.

RFC 3261 9.1, 13.2 and 17.1.1, RFC 6026. Made by the core for `UserAgent.invite`. It decides nothing about the call.
"""

from __future__ import annotations

from softswitch.sip.acceptance import same_callee
from softswitch.sip.addresses import Path
from softswitch.sip.compose import cancellation, closed, header_lines
from softswitch.sip.dialog import Dialog
from softswitch.sip.digest_client import Asking, open_proving
from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.provisional import RELIABLE, EarlyDialog, reliable_number
from softswitch.sip.session import Guard, Pairs, Session, local_response
from softswitch.sip.timing import NEVER
from softswitch.sip.transaction import CLIENT, Failure, Told, Transaction, ignore

FORKS = 16  # branches of one call that may ring reliably, or answer, at once


class ClientSession(Session):
    """A call of ours. `hang_up` is right at any moment:

    before a provisional   remember; CANCEL as soon as one comes (9.1)
    after a provisional    CANCEL; a 2xx that crosses it gets ACK and BYE; silence for 64*T1 ends it
    after the 2xx          ACK if still owed, BYE
    after 300-699, a BYE   nothing
    """

    __slots__ = (
        "_ack",
        "_body",
        "_cancelled",
        "_cseq",
        "_early",
        "_final",
        "_forks",
        "_from",
        "_goodbye",
        "_invite",
        "_more",
        "_rings",
        "_to",
        "_uri",
        "armed",
        "deadline",
    )

    def __init__(self, core: Endpoint, path: Path, local_tag: str, sip_call_id: str, guard: Guard | None) -> None:
        super().__init__(core, path, local_tag, sip_call_id, guard)
        self.deadline = self.armed = NEVER  # after CANCEL: when to give up waiting for the final response
        self._from = self._uri = self._to = self._more = ""
        self._body = b""
        self._cseq = 1  # of the latest INVITE
        self._invite: Transaction | None = None
        self._rings = False  # a provisional response has come
        self._final = 0  # status of the first final response
        self._cancelled = False  # CANCEL was sent
        self._goodbye = ""  # header lines for CANCEL or BYE
        self._ack: bytes | None = None
        self._early: dict[str, EarlyDialog] = {}  # by tag: who rings reliably, and forks behind the first that rang
        self._forks: dict[str, tuple[bytes, Path]] = {}  # tag of a 2xx that came too late: its ACK

    # For the call layer

    def acknowledge(self, body: bytes = b"") -> None:
        """ACK the 2xx, with the answer if the 2xx brought the offer. A repeated 2xx gets the same ACK by itself."""
        if 200 <= self._final < 300 and self._ack is None:
            self.core.begin()
            self._ack = self.send_ack(self._cseq, body)
            self.core.finish()

    def hang_up(self, *, status: int = 480, reason: str | None = None, headers: Pairs = ()) -> None:
        """End the call from whatever state it is in; `headers` go on CANCEL and BYE. Idempotent.

        `status` and `reason` are for the other kind of session.
        """
        if self.leave():
            return
        self.core.begin()
        self._goodbye = header_lines(headers)
        if self._final:
            self._end_answered()
        else:
            self.ended = True
            if self._rings:
                self._cancel()
        self.core.finish()

    # For the core

    def calls(self, uri: str) -> bool:
        """Whether it is the user of `uri` that we call."""
        return same_callee(uri, self._uri)

    def start(self, request_uri: str, from_: str, to: str, more: str, body: bytes) -> None:
        """Send the INVITE. `from_` and `to` are name-addrs without tag, `more` the header lines of the caller's."""
        self._uri, self._to, self._more, self._body = request_uri, to, more, body
        self._from = f"{from_};tag={self.local_tag}"
        self._send_invite()

    def _send_invite(self) -> None:
        """The INVITE, for the first time or anew as a refusal of it asked."""
        core, branch, more = self.core, self.new_branch(), self._more
        forwards = "" if "\r\nmax-forwards:" in f"\r\n{more.lower()}" else "Max-Forwards: 70\r\n"
        head = (
            f"INVITE {self._uri} SIP/2.0\r\nVia: {core.via(self._path.listener, branch)}\r\n{forwards}"
            f"From: {self._from}\r\nTo: {self._to}\r\nCall-ID: {self.sip_call_id}\r\nCSeq: {self._cseq} INVITE\r\n"
            f"{self.contact_line}{core.capability_lines}{self.timer.request_lines}{more}"
        )
        data = self.guarded(closed(head, self._body, "application/sdp"))
        if data is None:
            self._final = 500
            core.emit(self, "on_refused", local_response(500, "Withheld"))
            self.conclude()
            return
        asking = Asking("INVITE", self._told, self.guarded, self._next_cseq, self._renewed)
        self._invite = open_proving(core, self.account, data, branch, self._path, asking)

    def _next_cseq(self) -> int | None:
        """The number of another INVITE in the place of a refused one; None where the call is not wanted any more."""
        if self.hung_up or self.ended:
            return None
        early = [one.dialog for one in self._early.values()]
        self._cseq = 1 + max(self._cseq, *(one.local_cseq for one in (self.dialog, *early) if one is not None), 0)
        return self._cseq

    def _renewed(self, invite: Transaction, cseq: int, credentials: str) -> None:
        """The INVITE was challenged and is on its way again."""
        self._invite, self.credentials = invite, credentials
        self._start_over()

    def _start_over(self) -> None:
        """What came of an INVITE that another replaces counts no more."""
        self.dialog, self._rings = None, False
        self._early.clear()

    def wake(self, now: float) -> None:
        """64*T1 after CANCEL and still no final response: take it as cancelled (9.1)."""
        assert self._invite is not None
        self.deadline = NEVER
        self._invite.terminate()
        self.conclude()

    def dialog_for(self, request: SipRequest) -> Dialog | None:
        """As any session's; before the answer also that of another fork, whose BYE, though, must not end the call."""
        early = None if self._final or request.method == "BYE" else self._early.get(request.from_.tag or "")
        return super().dialog_for(request) if early is None else early.dialog

    def _refresh(self) -> None:
        if self._is_one_dialog:
            super()._refresh()

    def _expire(self) -> None:
        if self._is_one_dialog:
            super()._expire()

    @property
    def _is_one_dialog(self) -> bool:
        """Whether the session timer is all the call's: before the answer it is that of the fork that asked for it."""
        dialog = self.dialog
        return self._final > 0 or (dialog is not None and self._early.keys() <= {dialog.remote_tag})

    @property
    def confirmed(self) -> bool:
        """Whether the 2xx has come."""
        return 200 <= self._final < 300

    def bye_received(self) -> None:
        """A BYE may overtake our knowledge of the 2xx, or end an early dialog (15): then the INVITE must end too."""
        if self._final:
            super().bye_received()
        else:
            self._settle()
            self._give_up_later()

    # Responses to the INVITE

    def _told(self, what: Told) -> None:
        if isinstance(what, Failure):
            self._refuse(local_response(what))
            return
        assert isinstance(what, SipResponse)
        if what.status < 200:
            self._ring(what)
        elif what.status < 300:
            self._succeed(what)
        elif what.status == 422 and self.timer.refused(what) and self._next_cseq():
            self._start_over()
            self._send_invite()  # RFC 4028 7.3
        else:
            self._refuse(what)

    def _ring(self, response: SipResponse) -> None:
        self._rings = True
        if self.hung_up:
            self._cancel()
            return
        if response.status > 100 and response.to.tag:
            self._ring_in(response, response.to.tag)
        number = reliable_number(response) if RELIABLE in self.core.extensions else None
        if number is None or self._acknowledge_provisional(response, number):
            self.core.emit(self, "on_provisional", response)

    def _ring_in(self, response: SipResponse, tag: str) -> None:
        """It makes an early dialog, each fork one of its own (12.1)."""
        if self.dialog is None:
            self.dialog = self._dialog(response)
        elif tag != self.dialog.remote_tag:
            self._early_dialog(tag, response)

    def _acknowledge_provisional(self, response: SipResponse, number: int) -> bool:
        """PRACK, unless it came before, comes too early, or from more forks than anybody has (RFC 3262 4)."""
        core, tag = self.core, response.to.tag or ""
        early = self._early_dialog(tag, response)
        if early is None or not early.takes(number):
            return False
        branch = self.new_branch()
        more = f"RAck: {number} {response.cseq.number} INVITE\r\n"
        prack = self.guarded(early.dialog.request("PRACK", core.via(early.dialog.path.listener, branch), more=more))
        if prack is not None:
            self.open_client(prack, branch, early.dialog, "PRACK", ignore)
        return True

    def _early_dialog(self, tag: str, response: SipResponse) -> EarlyDialog | None:
        """That of a fork, known or new; None where there are more than anybody has."""
        early = self._early.get(tag)
        if early is None and len(self._early) < FORKS:
            early = self._early[tag] = EarlyDialog(self._dialog_of(tag, response))
        return early

    def _dialog_of(self, tag: str, response: SipResponse) -> Dialog:
        """The dialog of this branch of the call, known or new; the response tells its target and route (13.2.2.4)."""
        early = self._early.get(tag)
        known = early.dialog if early is not None else self.dialog
        if known is None or known.remote_tag != tag:
            return self._dialog(response)
        known.update(response)
        return known

    def _refuse(self, response: SipResponse) -> None:
        self._final = response.status
        self.deadline = NEVER
        if not self.ended:
            self.core.emit(self, "on_refused", response)
        self.conclude()

    def _succeed(self, response: SipResponse) -> None:
        tag = response.to.tag or ""
        if not self._final:
            self._confirm(response, tag)
        elif self.dialog is not None and tag == self.dialog.remote_tag:
            if self._ack is not None:
                self.repeat_ack(self._ack)
        else:
            self._drop_fork(response, tag)

    def _confirm(self, response: SipResponse, tag: str) -> None:
        """The first 2xx makes the dialog (13.2.2.4)."""
        self._final, self.heard_at = response.status, self.core.now
        self.deadline = NEVER
        self._more, self._body = "", b""  # no INVITE will need them again
        self.learn(response)
        self.dialog = self._dialog_of(tag, response)
        if self.hung_up:
            self._end_answered()  # it crossed our CANCEL
        elif self.ended:
            self._ack = self.send_ack(self._cseq)  # its BYE was faster: the dialog is over, the ACK is still owed
            self.conclude()
        else:
            self.timer.agreed(response)
            self.core.emit(self, "on_answered", response)

    def _end_answered(self) -> None:
        if self._ack is None:
            self._ack = self.send_ack(self._cseq)
        self.send_bye(self._goodbye)

    def _drop_fork(self, response: SipResponse, tag: str) -> None:
        """A 2xx of another branch of a forked INVITE: one answer is enough, so ACK and BYE it (13.2.2.4)."""
        core = self.core
        if tag in self._forks:
            ack, path = self._forks[tag]
            if ack:
                core.send(ack, path, "ACK", 0, again=True)
            return
        if len(self._forks) >= FORKS:
            return  # nobody forks so often: a flood of 2xx must make us neither keep nor send more
        dialog = self._dialog_of(tag, response)
        path = dialog.path
        ack = self.compose_ack(dialog, self._cseq)
        self._forks[tag] = ack, path
        if ack:
            core.send(*core.by_size(ack, path), "ACK", 0)
        branch = self.new_branch()
        bye = self.guarded(dialog.request("BYE", core.via(path.listener, branch)))
        if bye is not None:
            self.open_client(bye, branch, dialog, "BYE", ignore)

    def _dialog(self, response: SipResponse) -> Dialog:
        return Dialog.as_uac(self._from, self._cseq, self._uri, response, self._path, self.core.path_to)

    # CANCEL

    def _cancel(self) -> None:
        invite = self._invite
        if self._cancelled or invite is None:
            return
        self._cancelled = True
        data = self.guarded(cancellation(invite.data, self._goodbye))
        if data is None:
            data = self.guarded(cancellation(invite.data))
        if data is not None:
            self.core.open_client(CLIENT, data, invite_branch(invite), invite.path, method="CANCEL", tell=ignore)
        self._give_up_later()

    def _give_up_later(self) -> None:
        self.deadline = self.core.now + self.core.timing.timeout
        self.core.arm(self)


def invite_branch(invite: Transaction) -> str:
    """The branch of the INVITE's Via, which its CANCEL shares (9.1)."""
    key = invite.key
    assert isinstance(key, tuple)
    return str(key[0])
