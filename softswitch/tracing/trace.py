"""Keeps the SIP messages of chosen calls for a while, both legs of a call together, within a bound of memory.

RFC 3261 8.1.1.4 (Call-ID). It is the user agent's tap while something is to be traced, and absent from there otherwise;
`app.py` builds it, `api/tracing.py` switches and reads it. It parses no message whole and delays none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from softswitch.sip.addresses import Hop
from softswitch.tracing.masking import without_keys

MESSAGE_COST = 400  # bytes of memory beside the message itself
CALL_COST = 2000
SHORTEST_NUMBER = 7  # digits; fewer are no phone number but a port or a count

_CALL_ID = re.compile(rb"\r\n(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]*[^\r\n \t])", re.IGNORECASE)
_TAGGED_TO = re.compile(rb"\r\n(?:To|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_DIGITS = re.compile(rb"\d{%d,}" % SHORTEST_NUMBER)
_caller_leg: ContextVar[str] = ContextVar("caller_leg", default="")  # SIP Call-ID of the call that a task works for

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One message as it came or went."""

    at: float  # UTC epoch seconds
    received: bool
    transport: str
    source: Address
    destination: Address
    leg: str  # its SIP Call-ID
    data: bytes


@dataclass(slots=True)
class TracedCall:
    """The messages of one call; `legs` are SIP Call-IDs, the caller's first."""

    began_at: float
    legs: list[str]
    call_id: str = ""  # ours, as in logs and CDRs; empty where the call layer never saw the call
    messages: list[TracedMessage] = field(default_factory=list)
    size: int = CALL_COST  # bytes of memory
    left_off: int = 0  # messages beyond the limit of one call


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which new calls are traced: all, those with a number in their INVITE's header, or those of a trunk."""

    what: Literal["all", "number", "trunk"] = "all"
    value: str = ""
    ratio: float = 1.0  # share of these calls
    until: float | None = None  # UTC epoch seconds; None: until switched off


@dataclass(frozen=True, slots=True)
class TraceLimits:
    """What a trace may hold."""

    memory: int = 32 << 20  # bytes
    keep_s: float = 3600.0  # since a call began
    messages: int = 500  # of one call


class Trace:
    """All that is traced. `attach(True)` is called when messages are to be noted from now on, `attach(False)` else.

    `local_address` tells a listener's address, `trunk_of` the trunk at a hop, `call_id_of` our id of the live
    call with a leg of this SIP Call-ID, empty where there is none.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        attach: Callable[[bool], None],
        local_address: Callable[[int], Address],
        trunk_of: Callable[[Hop], str] = lambda hop: "",
        call_id_of: Callable[[str], str] = lambda leg: "",
        chance: Callable[[], float] = lambda: 0.0,
        limits: TraceLimits | None = None,
    ) -> None:
        self.on_message: Callable[[TracedMessage, str], None] = lambda message, leg: None  # with the caller's leg
        self.forgotten = 0  # calls that had to go before their time, for want of memory
        self._clock, self._attach, self._chance = clock, attach, chance
        self._local_address, self._trunk_of, self._call_id_of = local_address, trunk_of, call_id_of
        self._limits = limits or TraceLimits()
        self._wanted: list[Wanted] = []
        self._calls: dict[int, TracedCall] = {}  # in the order of their beginning
        self._legs: dict[str, TracedCall] = {}
        self._size = 0

    # What is traced

    def want(self, wanted: Wanted) -> None:
        """Trace these calls too; the same again takes the place of the earlier wish."""
        self._wanted = [one for one in self._wanted if (one.what, one.value) != (wanted.what, wanted.value)]
        self._wanted.append(wanted)
        self._attach(True)

    def stop(self) -> None:
        """Note nothing more; what was noted stays for its time."""
        self._wanted.clear()
        self._attach(False)

    def wanted(self) -> Sequence[Wanted]:
        """What is being traced."""
        self.expire()
        return tuple(self._wanted)

    def expire(self) -> None:
        """Forget wishes and calls whose time is over; to be called now and then."""
        now = self._clock()
        if self._wanted:
            self._wanted = [one for one in self._wanted if one.until is None or one.until > now]
            if not self._wanted:
                self._attach(False)
        while self._calls and self._oldest().began_at + self._limits.keep_s <= now:
            self._forget(self._oldest())

    def work_for(self, leg: str) -> None:
        """What this task sends from now on belongs to the call whose caller's leg has this SIP Call-ID."""
        # As `note` names it.
        _caller_leg.set(leg if leg.isascii() else leg.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))

    # What was traced

    def calls(self) -> Sequence[TracedCall]:
        """All that is kept, oldest first."""
        self.expire()
        return tuple(self._calls.values())

    def find(self, name: str) -> TracedCall | None:
        """A call by our id or the SIP Call-ID of a leg."""
        self.expire()
        found = self._legs.get(name)
        return found or next((call for call in self._calls.values() if name and call.call_id == name), None)

    @property
    def size(self) -> int:
        """Bytes of memory that the trace takes, about."""
        return self._size

    # The tap

    def note(self, data: bytes, peer: Hop, listener: int, *, received: bool) -> None:
        """A message came from or goes to `peer`; kept where it is of a traced call, or begins one that is wanted."""
        found = _CALL_ID.search(data)
        if found is None:
            return
        leg = found[1].decode("utf-8", "replace")
        call = self._legs.get(leg) or self._begun(data, leg, peer, received=received)
        if call is None:
            return
        call.call_id = call.call_id or self._call_id_of(call.legs[0])
        if len(call.messages) >= self._limits.messages:
            call.left_off += 1
            return
        ours, theirs = self._local_address(listener), (peer.host, peer.port)
        ends = (theirs, ours) if received else (ours, theirs)
        message = TracedMessage(self._clock(), received, peer.transport, *ends, leg, without_keys(data))
        call.messages.append(message)
        self._grow(call, len(data) + MESSAGE_COST)
        self.on_message(message, call.legs[0])

    def _begun(self, data: bytes, leg: str, peer: Hop, *, received: bool) -> TracedCall | None:
        """The call that a message begins, or begins another leg of; None where it is not to be traced."""
        if not data.startswith(b"INVITE ") or _TAGGED_TO.search(data):
            return None
        caller_leg = "" if received else _caller_leg.get()
        call = self._legs.get(caller_leg)
        if call is None:
            self.expire()
            if not any(self._is_wanted(one, data, peer) for one in self._wanted):
                return None
            call = TracedCall(self._clock(), [caller_leg or leg])
            self._calls[id(call)] = self._legs[caller_leg or leg] = call
            self._size += call.size
        if leg not in call.legs:
            call.legs.append(leg)
            self._legs[leg] = call
        return call

    def _is_wanted(self, wanted: Wanted, invite: bytes, peer: Hop) -> bool:
        if wanted.what == "number":
            number = wanted.value.lstrip("+").encode()
            runs = _DIGITS.findall(invite.partition(b"\r\n\r\n")[0])
            if not any(run.endswith(number) or number.endswith(run) for run in runs):
                return False
        if wanted.what == "trunk" and self._trunk_of(peer) != wanted.value:
            return False
        return self._chance() < wanted.ratio

    # Memory

    def _grow(self, call: TracedCall, size: int) -> None:
        call.size += size
        self._size += size
        while self._size > self._limits.memory:
            self._forget(self._oldest())
            self.forgotten += 1

    def _oldest(self) -> TracedCall:
        return next(iter(self._calls.values()))

    def _forget(self, call: TracedCall) -> None:
        del self._calls[id(call)]
        for leg in call.legs:
            del self._legs[leg]
        self._size -= call.size
