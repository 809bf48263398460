"""Passes hold, resume and any other change of direction from one leg to the other; everything else stays on its leg.

RFC 3261 14, RFC 3311, RFC 3264 8.4. Addresses and codecs are each leg's own affair: only the direction is offered on.
Called by `bridge.py`.

    caller            switch            callee
      | INVITE sendonly |                 |
      |---------------->| INVITE sendonly |
      |       100       |---------------->|
      |<----------------|   200 recvonly  |
      |   200 recvonly  |<----------------|
      |<----------------|       ACK       |
      |       ACK       |---------------->|
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from softswitch.call.inbox import Inbox
from softswitch.call.leg import Leg
from softswitch.sdp.offer_answer import read_answer
from softswitch.sip.message import SipResponse
from softswitch.sip.session import InDialogRequest

GLARE_TRIES = 3
OWNER_WAITS_S = (2.1, 4.0)  # RFC 3261 14.1: the owner of the Call-ID; we own the callee's
OTHER_WAITS_S = (0.0, 2.0)


@dataclass(frozen=True, slots=True)
class Renegotiation:
    """`leg` asks for something; `request` is None where it has been answered and only `other` is to be told."""

    leg: Leg
    other: Leg
    request: InDialogRequest | None


class Partner:
    """The leg that `leg` talks to, as far as `leg` must know it: where its wishes go."""

    __slots__ = ("_leg", "_other", "_renegotiations")

    def __init__(self, renegotiations: Renegotiations, leg: Leg, other: Leg) -> None:
        self._renegotiations, self._leg, self._other = renegotiations, leg, other

    def ask(self, request: InDialogRequest) -> None:
        """`leg` got a re-INVITE or UPDATE."""
        self._renegotiations.ask(self._leg, self._other, request)

    def tell(self) -> None:
        """`leg` has answered an offer of ours with another direction than before."""
        self._renegotiations.tell(self._leg, self._other)

    def refresh(self) -> None:
        """`leg` is due a sign of life: what it was told last, once more; an offer that is due to it is sign enough."""
        if not self._renegotiations.asks(self._leg):
            self._renegotiations.tell(self._other, self._leg)


class Renegotiations:
    """What the two legs of a talk ask for, carried through one after the other."""

    def __init__(self) -> None:
        self._queue: Inbox[Renegotiation] = Inbox()
        self._pending: list[Renegotiation] = []  # the one under way and those in the queue
        self._offered: Leg | None = None  # it has an offer of ours and has not answered

    def ask(self, leg: Leg, other: Leg, request: InDialogRequest) -> None:
        """`leg` sent a re-INVITE or UPDATE; it gets its final response now or later."""
        if not request.message.body and request.message.method == "UPDATE":
            leg.answer_without_offer(request)
        elif leg is self._offered:
            request.respond(491)  # RFC 3261 14.2
        elif self.asks(leg):
            self._answer_first(leg, other, request)
        else:
            if request.message.method == "INVITE":
                request.respond(100)  # the other side may take longer than 200 ms (RFC 3261 17.2.1)
            self._put(Renegotiation(leg, other, request))

    def asks(self, leg: Leg) -> bool:
        """Whether an offer of ours to `leg` is due, or under way."""
        return any(change.other is leg for change in self._pending)

    def _answer_first(self, leg: Leg, other: Leg, request: InDialogRequest) -> None:
        """Our offer to `leg` is only due, perhaps after a 491: no glare (RFC 3261 14.1), and it goes after this one.

        It can't wait for `other`, who may be waiting for that very offer, and is told afterwards.
        """
        if not request.message.body:
            leg.answer_without_offer(request, other.wish)
            return
        offer = leg.offer_in(request)
        if offer is None:
            return
        changes, leg.wish = offer.direction != leg.wish, offer.direction
        leg.settle(request, offer, other.wish)
        if changes:
            self.tell(leg, other)

    def tell(self, leg: Leg, other: Leg) -> None:
        """`leg` has answered an offer of ours with another direction than before."""
        self._put(Renegotiation(leg, other, None))

    def _put(self, change: Renegotiation) -> None:
        self._pending.append(change)
        self._queue.put(change)

    async def run(self) -> None:
        """Carry them through until cancelled."""
        while True:
            change = await self._queue.get()
            await self._pass_on(change)
            self._pending.remove(change)

    async def _pass_on(self, change: Renegotiation) -> None:
        if change.request is None:
            await self._tell(change.other, change.leg.wish)
        elif change.request.answered:
            return  # cancelled while it waited its turn
        elif not change.request.message.body:
            change.leg.answer_without_offer(change.request, change.other.wish)
        else:
            await self._pass_offer(change.leg, change.other, change.request)

    async def _pass_offer(self, leg: Leg, other: Leg, request: InDialogRequest) -> None:
        offer = leg.offer_in(request)
        if offer is None:
            return
        if offer.direction == leg.wish:
            leg.settle(request, offer, other.wish)
            return
        status = await self._tell(other, offer.direction, lambda: not request.answered)
        if request.answered:  # cancelled (RFC 3261 9.2): nothing has changed, which the other side must know too
            if status < 300:
                await self._tell(other, leg.wish)
            return
        if status >= 300:
            request.respond(status if status in (488, 491, 606) else 488)
            return
        leg.wish = offer.direction
        leg.settle(request, offer, other.negotiated.far_direction if other.negotiated else "sendrecv")

    async def _tell(self, other: Leg, direction: str, wanted: Callable[[], bool] = lambda: True) -> int:
        """Offer `direction` to `other` and apply its answer; returns the status, 488 for an answer that is of no use.

        Waits for `other` to acknowledge what it asked for itself, and tries again, while that is `wanted`, where both
        sides asked at once (491), or where a session timer of ours was too short (422) and is longer now
        (RFC 4028 7.4).
        """
        tries_left = GLARE_TRIES
        while True:
            await other.free_to_reinvite()
            offered, timer = other.offer_sdp(direction=direction), other.session.timer
            interval = timer.request_lines
            response = await self._answer_to(other, offered)
            if response.status < 300:
                return response.status if _apply(other, offered, response) else 488
            tries_left -= 1
            longer = response.status == 422 and timer.request_lines != interval
            if not tries_left or not (longer or response.status == 491):
                return response.status
            if not longer:
                await asyncio.sleep(random.uniform(*(OWNER_WAITS_S if other.name == "callee" else OTHER_WAITS_S)))
            if not wanted():
                return response.status

    async def _answer_to(self, other: Leg, offered: bytes) -> SipResponse:
        """What `other` says to a re-INVITE; until we have read it, what it asks itself is glare."""
        self._offered = other
        try:
            return await other.session.request("INVITE", body=offered, content_type="application/sdp")
        finally:
            self._offered = None


def _apply(leg: Leg, offered: bytes, response: SipResponse) -> bool:
    negotiated = read_answer(offered, response.body)
    if negotiated is not None:
        leg.apply(negotiated)
    return negotiated is not None
