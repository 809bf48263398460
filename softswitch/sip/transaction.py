"""The four transaction machines of RFC 3261 17 with the Accepted states of RFC 6026, each a table under its figure.

The core creates transactions, hands them what arrives and wakes them at their deadlines; sessions are their users. A
transaction is told the time and hands out bytes. It never looks inside a body, keeps no parsed message, and knows
neither dialogs nor sockets.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from softswitch.sip.addresses import Path
from softswitch.sip.compose import acknowledgement
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.timing import NEVER, Timed, Timing

GRAIN = 0.25  # seconds; see `Transaction._linger`


class State(enum.StrEnum):
    """States of all four machines."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(enum.StrEnum):
    """What drives the machines. Responses come from the wire for a client, from the user for a server."""

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    REQUEST = "request again"
    ACK = "ACK"
    TRANSPORT_ERROR = "transport error"
    TIMER_A = "A"
    TIMER_B = "B"
    TIMER_D = "D"
    TIMER_E = "E"
    TIMER_F = "F"
    TIMER_G = "G"
    TIMER_H = "H"
    TIMER_I = "I"
    TIMER_J = "J"
    TIMER_K = "K"
    TIMER_L = "L"
    TIMER_M = "M"


class Failure(enum.IntEnum):
    """Why a transaction ended without an answer, as the status that stands for it (RFC 3261 8.1.3.1)."""

    TIMEOUT = 408
    TRANSPORT = 503


Told = SipResponse | SipRequest | Failure


class Surroundings(Protocol):
    """What a transaction needs of the core."""

    timing: Timing

    def send(
        self,
        data: bytes,
        path: Path,
        method: str,
        status: int,
        sender: Transaction | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Queue a datagram; `status` is 0 for a request, `again` marks a retransmission."""

    def arm(self, timed: Timed) -> None:
        """Wake `timed` at its deadline."""

    def forget(self, transaction: Transaction) -> None:
        """The transaction is terminated."""


def ignore(what: Told) -> None:
    """The user of a transaction that it has lost interest in."""


def kind_of(status: int) -> Input:
    """The input that a response with `status` is."""
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE


class Transaction:
    """One transaction: a machine's table, where it stands in it, and the bytes it may have to repeat.

    `tell` is how the user hears of a message that is new to it, or of a failure. `guarded` sees the one message that a
    transaction makes by itself, the ACK for a non-2xx response, and may change or withhold it.
    """

    __slots__ = (
        "_ack",
        "_core",
        "armed",
        "data",
        "deadline",
        "expires_at",
        "expiry",
        "fallback",
        "guarded",
        "interval",
        "key",
        "machine",
        "method",
        "path",
        "resend_at",
        "state",
        "status",
        "tell",
    )

    def __init__(
        self,
        machine: Machine,
        core: Surroundings,
        key: object,
        path: Path,
        *,
        method: str,
        tell: Callable[[Told], None],
        guarded: Callable[[bytes], bytes | None] | None = None,
    ) -> None:
        self.machine = machine
        self.state = machine.initial
        self.key = key
        self.method = method
        self.path = path
        self.tell = tell
        self.guarded = guarded
        self.data = b""  # client: the request; server: the latest response
        self.status = 0  # of the latest response
        self.fallback: tuple[bytes, Path] | None = None  # the request for UDP, where it was too long for it
        self.interval = self.resend_at = self.expires_at = NEVER
        self.expiry = Input.TIMER_B  # the timer that `expires_at` belongs to
        self.deadline = self.armed = NEVER
        self._core = core
        self._ack: bytes | None = None

    @property
    def reliable(self) -> bool:
        """Whether the transport repairs loss by itself."""
        return self.path.hop.transport != "udp"

    @property
    def waiting(self) -> bool:
        """Client: whether nothing has come back yet."""
        return self.state in (CALLING, TRYING)

    # What happens to it

    def start(self, request: bytes, now: float) -> None:
        """Client: send `request`, and repeat it until somebody answers or 64*T1 are over (timers A, B or E, F)."""
        self.data = request
        timing = self._core.timing
        if not self.reliable:
            self.interval = timing.t1
            self.resend_at = now + timing.t1
        self.expiry, self.expires_at = self.machine.give_up, now + timing.timeout
        self._core.send(request, self.path, self.method, 0, self)
        self.deadline = min(self.resend_at, self.expires_at)
        self._core.arm(self)

    def fall_back(self, now: float) -> None:
        """Client: TCP was refused, so UDP must do for the long request (18.1.1)."""
        assert self.fallback is not None
        (data, self.path), self.fallback = self.fallback, None
        self.start(data, now)

    def receive_response(self, response: SipResponse, now: float) -> None:
        """Client: a response that matches has arrived."""
        self.step(kind_of(response.status), response, now)

    def receive_request(self, request: SipRequest, now: float) -> None:
        """Server: the request has arrived again, or an ACK that matches it (17.2.3)."""
        self.step(Input.ACK if request.method == "ACK" else Input.REQUEST, request, now)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Server: the user answers with the encoded response `data`. Ignored where a final response was sent before."""
        what = kind_of(status)
        if (self.state, what) in self.machine.table:
            self.data, self.status = data, status
            self.step(what, None, now)

    def wake(self, now: float) -> None:
        """A timer has run out."""
        if self.expires_at <= now:
            self.expires_at = NEVER
            self.step(self.expiry, None, now)
        elif self.resend_at <= now:
            self.resend_at = NEVER
            self.step(self.machine.resend, None, now)

    def terminate(self) -> None:
        """End at once and in silence: the user has no use for it any more."""
        if self.state is not TERMINATED:
            self.state = TERMINATED
            self._let_go()

    def step(self, what: Input, message: SipResponse | SipRequest | None, now: float) -> None:
        """Follow the edge for `what`; an input without an edge is absorbed."""
        edge = self.machine.table.get((self.state, what))
        if edge is None:
            return
        self.state, action = edge
        action(self, message, now)
        if self.state is TERMINATED:
            self._let_go()
        elif self.expires_at <= now:
            self.wake(now)  # a timer of zero seconds (D, I, J and K over a reliable transport)
        else:
            resend_at, expires_at = self.resend_at, self.expires_at
            self.deadline = deadline = resend_at if resend_at < expires_at else expires_at
            if deadline < self.armed:
                self._core.arm(self)

    # Actions of the tables

    def resend(self, message: object, now: float) -> None:
        """Timer A, and a repeated request that the latest response answers."""
        if self.data:
            self._core.send(self.data, self.path, self.method, self.status, self, again=True)

    def resend_doubling(self, message: object, now: float) -> None:
        """Timer A: twice as long until the next time."""
        self.resend(message, now)
        self.interval *= 2
        self.resend_at = now + self.interval

    def resend_capped(self, message: object, now: float) -> None:
        """Timers E and G: twice as long until the next time, at most T2."""
        self.resend(message, now)
        self.interval = min(self.interval * 2, self._core.timing.t2)
        self.resend_at = now + self.interval

    def resend_slowly(self, message: object, now: float) -> None:
        """Timer E in Proceeding: every T2."""
        self.resend(message, now)
        self.interval = self._core.timing.t2
        self.resend_at = now + self.interval

    def pass_up(self, message: SipResponse | SipRequest | None, now: float) -> None:
        """Tell the user."""
        if message is not None:
            self.tell(message)

    def ring(self, message: SipResponse | SipRequest | None, now: float) -> None:
        """A provisional response: the request has arrived, so it is not repeated, and ringing may last."""
        self.resend_at = self.expires_at = NEVER
        self.pass_up(message, now)

    def accept(self, message: SipResponse | SipRequest | None, now: float) -> None:
        """2xx to INVITE: stay for 64*T1 to pass on further 2xx (RFC 6026 8.4)."""
        self.resend_at = NEVER
        self._linger(Input.TIMER_M, now, self._core.timing.timeout)
        self.data = b""  # is never sent again: of calls that are over by then it would be the most that is kept
        self.pass_up(message, now)

    def fail(self, message: SipResponse | SipRequest | None, now: float) -> None:
        """300-699 to INVITE: ACK it, and stay for timer D to ACK its repetitions (17.1.1.2)."""
        self.resend_at = NEVER
        self._linger(Input.TIMER_D, now, 0.0 if self.reliable else self._core.timing.timeout)
        self.acknowledge(message, now)
        self.pass_up(message, now)

    def acknowledge(self, message: SipResponse | SipRequest | None, now: float) -> None:
        """The ACK for a non-2xx final response belongs to the transaction (17.1.1.3)."""
        again = self._ack is not None
        if self._ack is None and message is not None:
            ack: bytes | None = acknowledgement(self.data, message.headers.get("To") or "")
            self._ack = ack if ack is None or self.guarded is None else self.guarded(ack)
        if self._ack is not None:
            self._core.send(self._ack, self.path, "ACK", 0, self, again=again)

    def finish(self, message: SipResponse | SipRequest | None, now: float) -> None:
        """Final response to a non-INVITE request: stay for timer K to absorb its repetitions."""
        self.resend_at = NEVER
        self._linger(Input.TIMER_K, now, 0.0 if self.reliable else self._core.timing.t4)
        self.pass_up(message, now)

    def time_out(self, message: object, now: float) -> None:
        """Timers B, F and H: nobody answered."""
        self.tell(Failure.TIMEOUT)

    def lose(self, message: object, now: float) -> None:
        """The transport could not send."""
        self.tell(Failure.TRANSPORT)

    def send(self, message: object, now: float) -> None:
        """A response of the user."""
        self._core.send(self.data, self.path, self.method, self.status, self)

    def send_success(self, message: object, now: float) -> None:
        """2xx to INVITE: the user repeats it; stay for 64*T1 to absorb repeated INVITEs (RFC 6026 8.7)."""
        self._linger(Input.TIMER_L, now, self._core.timing.timeout)
        self.send(message, now)

    def send_failure(self, message: object, now: float) -> None:
        """300-699 to INVITE: repeat it until the ACK comes (timers G and H)."""
        timing = self._core.timing
        if not self.reliable:
            self.interval = timing.t1
            self.resend_at = now + timing.t1
        self.expiry, self.expires_at = Input.TIMER_H, now + timing.timeout
        self.send(message, now)

    def send_final(self, message: object, now: float) -> None:
        """Final response to a non-INVITE request: stay for timer J to repeat it."""
        self._linger(Input.TIMER_J, now, 0.0 if self.reliable else self._core.timing.timeout)
        self.send(message, now)

    def confirm(self, message: object, now: float) -> None:
        """ACK for our 300-699: stay for timer I to absorb its repetitions."""
        self.resend_at = NEVER
        self._linger(Input.TIMER_I, now, 0.0 if self.reliable else self._core.timing.t4)

    def end(self, message: object, now: float) -> None:
        """Nothing more to do."""

    def _let_go(self) -> None:
        """It is over: sessions know it as long as their call lasts, so it keeps neither bytes nor users."""
        self.resend_at = self.expires_at = self.deadline = NEVER
        self.data, self._ack, self.fallback = b"", None, None
        self.tell, self.guarded = ignore, None
        self._core.forget(self)

    def _linger(self, timer: Input, now: float, seconds: float) -> None:
        """A timer that only ends the absorbing of repetitions; a little later is as good, so many end at one wake."""
        self.expiry = timer
        self.expires_at = math.ceil((now + seconds) / GRAIN) * GRAIN if seconds else now


Action = Callable[[Transaction, SipResponse | SipRequest | None, float], None]
Table = dict[tuple[State, Input], tuple[State, Action]]


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """One of the four: its table, where it starts, the timer that repeats and the one that gives up a request."""

    name: str
    initial: State
    resend: Input
    give_up: Input
    table: Table


CALLING, TRYING, PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED, TERMINATED = State

#                   | INVITE from the user: send it, set A and B
#  A: resend,       V                 B, transport error: tell the user
#  A *= 2   +--> CALLING -------------------------------------+
#           +-----+ |  | 2xx: to the user, set M              |
#        300-699: | | 1xx: to the user                        |
#  ACK, to user,   | V  +---------------> ACCEPTED -----M----->|
#  set D           | PROCEEDING --2xx-------^  | 2xx: to user  |
#                  |  | 300-699 (1xx: stay,    +--> stay       V
#                  V  V            to user)               TERMINATED
#                COMPLETED --------D, transport error----------^
#                  300-699: ACK again, stay
INVITE_CLIENT = Machine(
    "INVITE client",
    CALLING,
    Input.TIMER_A,
    Input.TIMER_B,
    {
        (CALLING, Input.TIMER_A): (CALLING, Transaction.resend_doubling),
        (CALLING, Input.TIMER_B): (TERMINATED, Transaction.time_out),
        (CALLING, Input.TRANSPORT_ERROR): (TERMINATED, Transaction.lose),
        (CALLING, Input.PROVISIONAL): (PROCEEDING, Transaction.ring),
        (CALLING, Input.SUCCESS): (ACCEPTED, Transaction.accept),
        (CALLING, Input.FAILURE): (COMPLETED, Transaction.fail),
        (PROCEEDING, Input.PROVISIONAL): (PROCEEDING, Transaction.ring),
        (PROCEEDING, Input.SUCCESS): (ACCEPTED, Transaction.accept),
        (PROCEEDING, Input.FAILURE): (COMPLETED, Transaction.fail),
        (COMPLETED, Input.FAILURE): (COMPLETED, Transaction.acknowledge),
        (COMPLETED, Input.TIMER_D): (TERMINATED, Transaction.end),
        (COMPLETED, Input.TRANSPORT_ERROR): (TERMINATED, Transaction.end),
        (ACCEPTED, Input.SUCCESS): (ACCEPTED, Transaction.pass_up),
        (ACCEPTED, Input.TIMER_M): (TERMINATED, Transaction.end),
    },
)

#                   | request from the user: send it, set E and F
#  E: resend,       V                 F, transport error: tell the user
#  E = min(2E,T2) TRYING -------------------------------------+
#                  |  | 1xx: to the user                      |
#                  |  V         F, transport error            |
#      200-699: to | PROCEEDING ----------------------------->|
#      user, set K |  | 200-699   (1xx: to the user; E: resend, E = T2)
#                  V  V                                       V
#                COMPLETED ----------------K------------> TERMINATED
CLIENT = Machine(
    "non-INVITE client",
    TRYING,
    Input.TIMER_E,
    Input.TIMER_F,
    {
        (TRYING, Input.TIMER_E): (TRYING, Transaction.resend_capped),
        (TRYING, Input.TIMER_F): (TERMINATED, Transaction.time_out),
        (TRYING, Input.TRANSPORT_ERROR): (TERMINATED, Transaction.lose),
        (TRYING, Input.PROVISIONAL): (PROCEEDING, Transaction.pass_up),
        (TRYING, Input.SUCCESS): (COMPLETED, Transaction.finish),
        (TRYING, Input.FAILURE): (COMPLETED, Transaction.finish),
        (PROCEEDING, Input.TIMER_E): (PROCEEDING, Transaction.resend_slowly),
        (PROCEEDING, Input.TIMER_F): (TERMINATED, Transaction.time_out),
        (PROCEEDING, Input.TRANSPORT_ERROR): (TERMINATED, Transaction.lose),
        (PROCEEDING, Input.PROVISIONAL): (PROCEEDING, Transaction.pass_up),
        (PROCEEDING, Input.SUCCESS): (COMPLETED, Transaction.finish),
        (PROCEEDING, Input.FAILURE): (COMPLETED, Transaction.finish),
        (COMPLETED, Input.TIMER_K): (TERMINATED, Transaction.end),
    },
)

# A transport error changes nothing: the INVITE may come again and must not be taken for another (RFC 6026 7.1).
#
#                   | INVITE from the wire, to the user
#   1xx: send       V   2xx: send, set L
#   INVITE: +--> PROCEEDING ---------------> ACCEPTED ----L----+
#   resend  +-----+ |                        2xx: send, ACK: to the user,
#                   | 300-699: send,         INVITE: absorb    |
#                   V set G and H                              |
#                COMPLETED --H: tell the user------------------>|
#      INVITE,    | |                                         |
#      G: resend  | | ACK: set I                              V
#                   V                                     TERMINATED
#                CONFIRMED -----------------I-----------------^
INVITE_SERVER = Machine(
    "INVITE server",
    PROCEEDING,
    Input.TIMER_G,
    Input.TIMER_H,
    {
        (PROCEEDING, Input.REQUEST): (PROCEEDING, Transaction.resend),
        (PROCEEDING, Input.PROVISIONAL): (PROCEEDING, Transaction.send),
        (PROCEEDING, Input.SUCCESS): (ACCEPTED, Transaction.send_success),
        (PROCEEDING, Input.FAILURE): (COMPLETED, Transaction.send_failure),
        (COMPLETED, Input.REQUEST): (COMPLETED, Transaction.resend),
        (COMPLETED, Input.TIMER_G): (COMPLETED, Transaction.resend_capped),
        (COMPLETED, Input.TIMER_H): (TERMINATED, Transaction.time_out),
        (COMPLETED, Input.ACK): (CONFIRMED, Transaction.confirm),
        (CONFIRMED, Input.TIMER_I): (TERMINATED, Transaction.end),
        (ACCEPTED, Input.SUCCESS): (ACCEPTED, Transaction.resend),
        (ACCEPTED, Input.ACK): (ACCEPTED, Transaction.pass_up),
        (ACCEPTED, Input.TIMER_L): (TERMINATED, Transaction.end),
    },
)

#                   | request from the wire, to the user
#                   V      200-699: send, set J
#                 TRYING ------------------+
#          1xx: send |                     V
#                    V     200-699     COMPLETED --J, transport error--> TERMINATED
#      +------> PROCEEDING ---------------^  | request: resend                ^
#      +--------------+ |                    +--> stay                        |
#   1xx: send;          +------------------transport error: tell the user-----+
#   request: resend
SERVER = Machine(
    "non-INVITE server",
    TRYING,
    Input.TIMER_J,
    Input.TIMER_J,
    {
        (TRYING, Input.PROVISIONAL): (PROCEEDING, Transaction.send),
        (TRYING, Input.SUCCESS): (COMPLETED, Transaction.send_final),
        (TRYING, Input.FAILURE): (COMPLETED, Transaction.send_final),
        (PROCEEDING, Input.REQUEST): (PROCEEDING, Transaction.resend),
        (PROCEEDING, Input.PROVISIONAL): (PROCEEDING, Transaction.send),
        (PROCEEDING, Input.SUCCESS): (COMPLETED, Transaction.send_final),
        (PROCEEDING, Input.FAILURE): (COMPLETED, Transaction.send_final),
        (PROCEEDING, Input.TRANSPORT_ERROR): (TERMINATED, Transaction.lose),
        (COMPLETED, Input.REQUEST): (COMPLETED, Transaction.resend),
        (COMPLETED, Input.TRANSPORT_ERROR): (TERMINATED, Transaction.lose),
        (COMPLETED, Input.TIMER_J): (TERMINATED, Transaction.end),
    },
)
