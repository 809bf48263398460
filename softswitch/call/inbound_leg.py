"""The caller's leg: the INVITE that came, ringing and early media towards it, our answer.

RFC 3261 13.3 (UAS core), RFC 3264. Opened by the story in `b2bua.py`, rung by `dial.py`, answered by `bridge.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from softswitch.call.early_media import authorisation
from softswitch.call.hangup import (
    BAD_OFFER,
    NO_COMMON_CODEC,
    NO_IPV6,
    NO_SRTP,
    OTHER_PROTECTION,
    q850_cause,
    warning_headers,
)
from softswitch.call.leg import Leg, PendingOffer, wish_of
from softswitch.errors import NORMAL, CallRejected, Failure, SipParseError
from softswitch.interfaces import MediaDriver
from softswitch.sdp.offer_answer import CODECS, Offer, lacks_protection, parse_offer, read_answer
from softswitch.sip.message import SipRequest
from softswitch.sip.session import InDialogRequest
from softswitch.sip.user_agent import ServerSession

OUR_OFFER = b"v=0"  # stands for any, where only its being there counts


class InboundLeg(Leg):
    """The caller's dialog: we are the UAS."""

    name = "caller"
    session: ServerSession
    started = True
    _late_answer: asyncio.Future[None] | None = None
    _early = b""  # our description that opened the path before the answer
    _early_offer = b""  # ours, in a provisional response, where the INVITE had none
    _early_answer: asyncio.Future[None] | None = None  # done when the PRACK for it is here
    _next_prack: asyncio.Future[None] | None = None  # what our 200 waits for

    def __init__(
        self, session: ServerSession, call_id: str, media: MediaDriver, codecs: Sequence[str] = CODECS
    ) -> None:
        super().__init__(call_id, media, codecs)
        self.session = session
        self._offer: Offer | None = None
        session.listener = self

    @property
    def codec_wishes(self) -> tuple[str, ...]:
        """Our codecs, the one that the caller speaks already first, then those it offered: what the callee should be
        offered, to spare a conversion.
        """
        offered = () if self._offer is None else self._offer.codecs
        spoken = "" if self.negotiated is None else self.negotiated.codec
        return tuple(sorted(self.codecs, key=lambda codec: (codec != spoken, codec not in offered)))

    @property
    def likes(self) -> str:
        """As any leg's; before the answer what its offer says."""
        return self._offer.likes if self.negotiated is None and self._offer is not None else super().likes

    def read_offer(self) -> None:
        """Parse the INVITE's offer, if it has one; raises CallRejected (400, 488) before anybody is bothered."""
        body = self.session.invite.body
        if self.protection.impossible:
            raise CallRejected(NO_SRTP[self.name])
        if not body:
            self.ipv6 = self._media.ipv6 and ":" in self.session.source.host
        if not body or self._offer is not None:
            return
        try:
            self._offer = parse_offer(body, self.protection, codecs=self.codecs)
        except SipParseError as error:
            raise CallRejected(BAD_OFFER) from error
        if set(self._offer.codecs).isdisjoint(self.codecs):
            raise CallRejected(OTHER_PROTECTION if lacks_protection(self._offer, self.protection) else NO_COMMON_CODEC)
        self.ipv6 = self._offer.ipv6
        if self.ipv6 and not self._media.ipv6:
            raise CallRejected(NO_IPV6)

    def refuse_second_offer(self, request: InDialogRequest) -> None:
        """As any leg's; where the first offer is the caller's it is to try again later."""
        if self._offer is None or self.answered:
            super().refuse_second_offer(request)
        else:
            request.respond(500, headers=[("Retry-After", str(random.randint(0, 10)))])

    def trying(self) -> None:
        """100."""
        self.session.trying()

    @property
    def hears(self) -> bool:
        """Is there a path on which the caller hears what we play?"""
        return self.answered or bool(self._early)

    def ringing(self) -> None:
        """180, unless the caller already hears something else; a first reliable one must make the offer that is due."""
        if self.hears:
            return
        if self._owes_offer and self.endpoint is not None and self.session.sends_reliably():
            self._offer_early(180)
        else:
            self.session.progress(180)

    async def early_media(self, direction: str = "sendonly") -> bool:
        """183 with our answer, so that the caller hears what we play or relay.

        To a caller that made no offer ours goes reliably; False where that can't be, or brings no answer.
        """
        if self.hears:
            return True
        if self._offer is None:
            return await self._early_by_our_offer(direction)
        await self.open_media()
        self._early = self._answer_offer(None)
        self.session.progress(183, headers=authorisation(self.session.invite, direction), body=self._early)
        return True

    @property
    def _owes_offer(self) -> bool:
        return self._offer is None and self._early_answer is None

    async def _early_by_our_offer(self, direction: str) -> bool:
        """RFC 3261 13.2.1: the offer is due in the first reliable response; its PRACK brings the answer."""
        if self._owes_offer and self.session.sends_reliably(OUR_OFFER):
            await self.open_media()
            self._offer_early(183, direction)
        if self._early_answer is not None:
            await self._early_answer
        return self.hears

    def _offer_early(self, status: int, direction: str = "sendonly") -> None:
        self._early_offer = self.offer_sdp()
        self._early_answer = asyncio.get_running_loop().create_future()
        self.session.awaits_answer = True
        headers = authorisation(self.session.invite, direction) if status == 183 else ()
        self.session.progress(status, headers=headers, body=self._early_offer)
        if not self.session.awaits_prack:  # withheld by the guard
            self._early_answer.set_result(None)

    def on_prack(self, request: InDialogRequest) -> None:
        """The answer to our offer; where it brings none the offer goes out again in the 200."""
        owed, self.session.awaits_answer = self.session.awaits_answer, False
        if not owed or self._early_answer is None or self._early_answer.done():
            super().on_prack(request)
            if self._next_prack is not None and not self._next_prack.done():
                self._next_prack.set_result(None)
            return
        negotiated = read_answer(self._early_offer, request.message.body)
        if negotiated is not None:
            self.apply(negotiated)
            self.wish, self._early = wish_of(negotiated, "sendrecv"), self._early_offer
        request.respond(200)
        self._early_answer.set_result(None)

    async def answer(self, codec: str | None = None) -> None:
        """200 with our answer (or, to a late offer, with our offer; returns when its answer is here)."""
        if self.answered:
            return
        await self.open_media()
        if self._early_answer is not None:
            await self._early_answer
        while self.session.awaits_prack:  # until then the caller may still give up, and is not answered (RFC 3262 3)
            await self._prack()
        self.answered, self.sip_status = True, 200
        if self._offer is not None:
            self.session.accept(body=self._sdp if self._early else self._answer_offer(codec))
            return
        if self._early:
            self.session.accept()  # offered and answered before
            return
        offered = self.offer_sdp(codecs=sorted(self.codecs, key=lambda one: one != codec))
        self._pending_offer = PendingOffer(self.session.invite.cseq.number, offered, "sendrecv")
        self._late_answer = asyncio.get_running_loop().create_future()
        self.session.accept(body=offered)
        await self._late_answer

    async def _prack(self) -> None:
        """Return when a PRACK has come."""
        self.session.awaits_answer = True  # or the session would keep one without a body to itself
        self._next_prack = asyncio.get_running_loop().create_future()
        await self._next_prack
        self._next_prack = None

    def _answer_offer(self, codec: str | None) -> bytes:
        assert self._offer is not None
        return self.answer_sdp(self._offer, codec=codec)

    def on_acknowledged(self, request: SipRequest) -> None:
        """As any leg's; ends the wait of `answer` for a late offer's answer."""
        super().on_acknowledged(request)
        if self._late_answer is not None and not self._late_answer.done() and self.negotiated is not None:
            self._late_answer.set_result(None)

    def on_cancelled(self, request: SipRequest) -> None:
        """The caller gave up before the answer."""
        self.sip_status = 487
        self.cause = q850_cause(request) or NORMAL.cause
        self.end(NORMAL)

    def hang_up(self, failure: Failure = NORMAL, *, headers: Sequence[tuple[str, str]] = ()) -> None:
        """As any leg's; a call not yet answered, or whose 200 waits for a PRACK, gets `failure.status`."""
        if not self._hung_up and self.sip_status in (0, 200) and not self.session.confirmed:
            self.sip_status, self.cause = failure.status, failure.cause
            headers = [*warning_headers(failure), *headers]
        super().hang_up(failure, headers=headers)
