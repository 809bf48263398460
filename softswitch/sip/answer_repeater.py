"""The 2xx to an INVITE, repeated by the UAS itself because no transaction does it.

RFC 3261 13.3.1.4, RFC 6026 7.1. Used by sessions for the first INVITE and for re-INVITEs. It is woken by the core and
reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable

from softswitch.sip.endpoint import Endpoint
from softswitch.sip.timing import NEVER
from softswitch.sip.transaction import Transaction


class AnswerRepeater:
    """Repeats a 2xx to INVITE until its ACK comes or 64*T1 are over (RFC 3261 13.3.1.4)."""

    __slots__ = ("_core", "_end", "_interval", "_missed", "_transaction", "armed", "cseq", "deadline")

    def __init__(
        self, core: Endpoint, transaction: Transaction, cseq: int, missed: Callable[[AnswerRepeater], None]
    ) -> None:
        """`missed` is called when time is up."""
        self.cseq = cseq
        self.armed = NEVER
        self._core, self._transaction, self._missed = core, transaction, missed
        self._interval = core.timing.t1
        self._end = core.now + core.timing.timeout
        self.deadline = core.now + self._interval  # also over TCP: a hop behind the next may be UDP
        core.arm(self)

    def stop(self) -> None:
        """The ACK is here, or does not matter any more."""
        self.deadline = NEVER

    def wake(self, now: float) -> None:
        """Repeat the 2xx, or give up."""
        if now >= self._end:
            self.stop()
            self._missed(self)
            return
        transaction = self._transaction
        transaction.respond(transaction.status, transaction.data, now)
        self._interval = min(2 * self._interval, self._core.timing.t2)
        self.deadline = min(now + self._interval, self._end)
