"""How a call is interrupted, and how its end is told on the wire: scopes that end with a leg, Reason and Warning.

RFC 3326 (Reason), RFC 3261 20.43 (Warning). Called by the story in `b2bua.py` and its chapters. It never
sends anything itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType

from softswitch.errors import FAILURES, Failure, SoftswitchError
from softswitch.sip.message import SipRequest, SipResponse

# What goes wrong with a leg by itself.
NO_IPV6 = Failure(7505, 488, 88, "the caller wants media over IPv6, of which we have none")
NO_SRTP = {
    "caller": Failure(7505, 488, 88, "the caller's trunk requires SRTP, which the media server lacks"),
    "callee": Failure(7506, 502, 88, "the callee's trunk requires SRTP, which the media server lacks"),
}
OTHER_PROTECTION = Failure(7505, 488, 88, "RTP profile or SRTP that the caller's trunk may not use, or lacks")
UNPROTECTED_ANSWER = Failure(7506, 502, 88, "the callee's answer takes none of the SRTP keys that were offered")
NO_COMMON_CODEC = Failure(7505, 488, 88, "no audio codec in common with the caller")
LATE_ANSWER_USELESS = {
    "caller": Failure(7505, 488, 88, "no usable answer from the caller"),
    "callee": Failure(7506, 488, 88, "no usable answer from the callee"),
}
GONE = {
    "caller": Failure(7505, 504, 38, FAILURES[7505].words),
    "callee": Failure(7506, 502, 38, "network fault on the callee's side"),
}
EXPIRED = {
    "caller": Failure(7505, 502, 102, "the caller's session was not refreshed in time"),
    "callee": Failure(7506, 502, 102, "the callee's session was not refreshed in time"),
}
BAD_OFFER = Failure(7505, 400, 111, "the caller's session description is malformed")


INCOMPATIBLE = [("Warning", '305 softswitch "none of our media formats is offered"')]  # of a 488 in a call


class Ending:
    """Something whose end ends the call: a leg, or the supervision of the talk.

    Who watches is told in the moment of the end, no turn of the loop later: a task that was woken in the same turn (by
    an answer, say, that came in one batch of datagrams with a CANCEL) must not go on as if nothing had happened.
    """

    name = ""  # who ended it, as the CDR says: "caller", "callee", "switch"

    def __init__(self) -> None:
        self.ended: Failure | None = None
        self.watchers: list[hangup_scope] = []

    def end(self, failure: Failure) -> None:
        """It is over; the first reason stands."""
        if self.ended is None:
            self.ended = failure
            for scope in list(self.watchers):
                scope.told(self)


class CallEnded(SoftswitchError):
    """`who` ended the call with `failure` (NORMAL for a plain hang-up)."""

    def __init__(self, who: Ending, failure: Failure) -> None:
        super().__init__(f"{who.name}: {failure.words}")
        self.who = who
        self.failure = failure


class hangup_scope:
    """Run the body until one of `watched` ends, then leave it with CallEnded.

    asyncio.timeout() with a hang-up in the place of the clock; the same rules of nesting and cancellation hold.
    `meaning` is what the end means here, in the place of what it was.
    """

    __slots__ = ("_cancelling", "_first", "_left", "_meaning", "_task", "_watched")

    def __init__(self, *watched: Ending, meaning: Failure | None = None) -> None:
        self._watched, self._meaning = watched, meaning
        self._first: Ending | None = None
        self._left = False  # a cancellation that was on its way already must not hit what comes after the block

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        for who in self._watched:
            who.watchers.append(self)
            if who.ended is not None:
                self.told(who)

    def told(self, who: Ending) -> None:
        """One that is watched has ended."""
        if asyncio.current_task() is self._task:  # running: perhaps it leaves the block before its next wait
            asyncio.get_running_loop().call_soon(self._cancel, who)
        else:
            self._cancel(who)

    def _cancel(self, who: Ending) -> None:
        if self._first is None and not self._left:
            self._first = who
            self._task.cancel()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._left = True
        for who in self._watched:
            who.watchers.remove(self)
        if self._first is None or self._first.ended is None:
            return
        if self._task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
            raise CallEnded(self._first, self._meaning or self._first.ended) from None


def with_cause(failure: Failure, cause: int) -> Failure:
    """`failure` with the Q.850 cause that the far end gave; 0: it gave none."""
    return failure if cause in (0, failure.cause) else replace(failure, cause=cause)


def warning_headers(failure: Failure) -> list[tuple[str, str]]:
    """The Warning header that a 488 explains itself by (RFC 3261 13.3.1.3, 20.43); nothing for any other status."""
    if failure.status != 488:
        return []
    code = {NO_IPV6: 301, NO_COMMON_CODEC: 305}.get(failure, 399)  # address format, media format, anything else
    return [("Warning", f'{code} softswitch "{failure.words}"')]


def reason_headers(failure: Failure) -> list[tuple[str, str]]:
    """The Reason header (RFC 3326) that tells `failure` as a Q.850 cause."""
    return [("Reason", f'Q.850;cause={failure.cause};text="{failure.words}"')]


def q850_cause(message: SipRequest | SipResponse) -> int | None:
    """The Q.850 cause that the far end gave in a Reason header, None where it gave none."""
    for value in message.headers.all("Reason"):
        protocol, *parameters = (part.strip() for part in value.split(";"))
        if protocol.lower() != "q.850":
            continue
        for parameter in parameters:
            name, _, cause = (part.strip() for part in parameter.partition("="))
            if name.lower() == "cause" and cause.isdecimal() and len(cause) <= 3 and int(cause) <= 127:
                return int(cause)
    return None


# How a callee's final status ends the call, and whether the hunt goes on to the next target (call treatment, the row
# "second leg").
_REFUSALS: dict[int, tuple[int, bool]] = {
    403: (7504, True),
    404: (8100, False),
    408: (8035, True),
    410: (8100, False),
    480: (8103, False),
    484: (8100, False),
    486: (8102, False),
    600: (8102, False),
    603: (7503, False),
    604: (8100, False),
    607: (7504, False),
    608: (7504, False),
}


def refusal(status: int, *, alerting: bool = False, cause: int = 0) -> tuple[Failure, bool]:
    """What a callee's final `status` of 300 and above means, and whether the next target may be tried.

    A 408 of who was `alerting` says, as our own patience would, that nobody answered; so does a 480 whose Q.850 `cause`
    (0: none given) is that of no answer, as a carrier's own timer ends a call (RFC 3398 8.2.6.1).
    """
    if alerting and status == 408:
        return FAILURES[8101], True
    if status == 480 and cause == FAILURES[8101].cause:
        return FAILURES[8101], False
    if status in _REFUSALS:
        code, go_on = _REFUSALS[status]
        return FAILURES[code], go_on
    if status < 400:
        return FAILURES[7508], True  # RFC 3261 21.3: a redirection could show the caller where the callee is
    return FAILURES[7506], status < 600


def given_up(collecting: bool, alerting: bool) -> Failure:
    """The failure code of a caller who gave up before the callee answered, by how far the call had come."""
    if collecting:
        return FAILURES[7516]
    return FAILURES[7502] if alerting else FAILURES[7501]
