"""Reliable provisional responses: sent one after the other until each has its PRACK, received each once and in order.

RFC 3262. Used by server sessions for what they send and by client sessions for what they receive. It is woken by the
core, reads no clock and decides nothing about the call.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from softswitch.sip.dialog import Dialog
from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.timing import NEVER
from softswitch.sip.transaction import Transaction

RELIABLE = "100rel"  # the option tag
_RACK = re.compile(r"[ \t]*([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]+INVITE[ \t]*")
_RSEQ = re.compile(r"[ \t]*([0-9]{1,10})[ \t]*")

Send = Callable[[int, str, bytes], bool]


def reliable_number(response: SipResponse) -> int | None:
    """The RSeq of a provisional response that wants a PRACK, None for any other (RFC 3262 4)."""
    match = _RSEQ.fullmatch(response.headers.get("RSeq") or "")
    if match is None or not _names(response, "Require"):
        return None
    return int(match.group(1))


def _names(message: SipRequest | SipResponse, header: str) -> bool:
    tags = message.headers.all(header)
    return bool(tags) and RELIABLE in [tag.lower() for tag in tags]


class EarlyDialog:
    """UAC: a dialog that a provisional response made, and the number of the latest reliable one taken."""

    __slots__ = ("_latest", "dialog")

    def __init__(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self._latest: int | None = None

    def takes(self, number: int) -> bool:
        """Whether this one is next; repeated and early ones are dropped (RFC 3262 4)."""
        if self._latest is not None and number != self._latest + 1:
            return False
        self._latest = number
        return True


class ReliableProvisionals:
    """UAS: what one INVITE is answered with before the final response, as far as its sender takes it reliably."""

    __slots__ = (
        "_core",
        "_data",
        "_described",
        "_end",
        "_interval",
        "_missed",
        "_number",
        "_queue",
        "_required",
        "_send",
        "_status",
        "_supported",
        "_transaction",
        "armed",
        "deadline",
    )

    def __init__(
        self, core: Endpoint, invite: SipRequest, transaction: Transaction, send: Send, missed: Callable[[], object]
    ) -> None:
        """`send` sends a response (status, further header lines, body) and says whether it left; `missed`: no PRACK."""
        self.deadline = self.armed = NEVER
        on = RELIABLE in core.extensions
        self._required = on and _names(invite, "Require")
        self._supported = on and _names(invite, "Supported")
        self._core, self._transaction, self._send, self._missed = core, transaction, send, missed
        # RFC 3262 3: any number; one that nobody off the path can guess, as the token is.
        self._number = zlib.crc32(core.tokens().encode()) & 0x3FFFFFFF if self._required or self._supported else 0
        self._queue: list[tuple[int, str, bytes]] = []
        self._described = False
        self._status, self._data = 0, b""  # of the one that waits for its PRACK; 0: none does
        self._interval = 0.0
        self._end = NEVER

    def suits(self, body: bytes) -> bool:
        """Whether a provisional response goes out reliably: where it must, and where a description could get lost."""
        return self._required or (self._supported and bool(body))

    @property
    def holds_answer(self) -> bool:
        """Whether a 2xx must wait, for a session description is not yet acknowledged (RFC 3262 3)."""
        return self._described or (bool(self._queue) and any(body for _, _, body in self._queue))

    def put(self, status: int, more: str, body: bytes) -> None:
        """Send it, as soon as the one before is acknowledged."""
        self._queue.append((status, more, body))
        if not self._status:
            self.go_on()

    def go_on(self) -> None:
        """Send the next one, where there is one."""
        while self._queue and not self._status:
            status, more, body = self._queue.pop(0)
            self._number += 1
            if self._send(status, f"Require: {RELIABLE}\r\nRSeq: {self._number}\r\n{more}", body):
                self._wait(status, described=bool(body))

    def acknowledged(self, prack: SipRequest, cseq: int) -> bool:
        """Whether the PRACK is for the one that waits, in answer to the INVITE numbered `cseq` (RFC 3262 3)."""
        match = _RACK.fullmatch(prack.headers.get("RAck") or "")
        if not self._status or match is None or (int(match.group(1)), int(match.group(2))) != (self._number, cseq):
            return False
        self._rest()
        return True

    def stop(self) -> None:
        """The final response is out: nothing more is sent or repeated, and nobody is told."""
        self._queue.clear()
        self.deadline, self._described = NEVER, False
        self._send = self._missed = _nothing

    def wake(self, now: float) -> None:
        """Repeat it, each time after twice the time, or give up after 64*T1."""
        if now >= self._end:
            missed = self._missed
            self._rest()
            self.stop()
            missed()
            return
        self._transaction.respond(self._status, self._data, now)
        self._interval *= 2
        self.deadline = min(now + self._interval, self._end)

    def _wait(self, status: int, *, described: bool) -> None:
        core = self._core
        self._status, self._data, self._described = status, self._transaction.data, described
        self._interval = core.timing.t1
        self._end = core.now + core.timing.timeout
        self.deadline = core.now + self._interval
        core.arm(self)

    def _rest(self) -> None:
        self._status, self._described = 0, False
        self.deadline = NEVER


def _nothing(*_: object) -> bool:
    return False
