"""Passes hold, resume and any other change of direction from one leg to the other; everything else stays on its leg.

RFC 3261 14, RFC 3311, RFC 3264 8.4. Addresses and codecs are each leg's own affair: only the direction is offered on.
Called by `bridge.py`, one renegotiation at a time.

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
from dataclasses import dataclass

from softswitch.call.leg import Leg
from softswitch.errors import SipParseError
from softswitch.sdp.offer_answer import accept_answer
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


async def pass_on(change: Renegotiation) -> None:
    """Carry one renegotiation through; the requester always gets its final response."""
    if change.request is None:
        await _tell(change.other, change.leg.wish)
    elif not change.request.message.body:
        change.leg.answer_without_offer(change.request, _allowed(change.other))
    else:
        await _pass_offer(change.leg, change.other, change.request)


async def _pass_offer(leg: Leg, other: Leg, request: InDialogRequest) -> None:
    offer = leg.offer_in(request)
    if offer is None:
        return
    if offer.direction == leg.wish:
        leg.settle(request, offer, _allowed(other))
        return
    answered = await _tell(other, offer.direction)
    if answered.status >= 300:
        request.respond(answered.status if answered.status in (488, 491, 606) else 488)
        return
    leg.wish = offer.direction
    leg.settle(request, offer, other.negotiated.far_direction if other.negotiated else "sendrecv")


def _allowed(other: Leg) -> str:
    """What a leg may be answered, given what the other leg itself asked for."""
    return other.wish


async def _tell(other: Leg, direction: str) -> SipResponse:
    """Offer `direction` to `other` and apply its answer; waits and tries again where both sides asked at once (491)."""
    for attempt in range(GLARE_TRIES):
        offered = other.offer_sdp(direction=direction)
        response = await other.session.request("INVITE", body=offered, content_type="application/sdp")
        if response.status < 300:
            _apply(other, offered, response)
        if response.status != 491 or attempt == GLARE_TRIES - 1:
            return response
        await asyncio.sleep(random.uniform(*(OWNER_WAITS_S if other.name == "callee" else OTHER_WAITS_S)))
    raise AssertionError("unreachable: the last attempt returns")


def _apply(leg: Leg, offered: bytes, response: SipResponse) -> None:
    try:
        negotiated = accept_answer(offered, response.body)
    except SipParseError:
        negotiated = None
    if negotiated is not None:
        leg.apply(negotiated)
