"""What the two legs of a call share: one SIP dialog and one media endpoint, the offers between, the end.

RFC 3261 12 to 15, RFC 3264 (through `sdp`). `inbound_leg.py` is the caller's, `outbound_leg.py` a callee's; a leg knows
nothing of the other. What it sends is built from an allow-list; nothing is ever copied from the other leg.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from softswitch.call.dtmf import info_digit
from softswitch.call.hangup import EXPIRED, GONE, INCOMPATIBLE, LATE_ANSWER_USELESS, Ending, q850_cause, reason_headers
from softswitch.errors import FAILURES, NORMAL, CallRejected, Failure, MediaError, SipParseError
from softswitch.interfaces import EndpointStatistics, MediaDriver, MediaEndpoint, RtpRemote, SrtpKeys
from softswitch.sdp.crypto import NONE, Crypto, preferring, renewed
from softswitch.sdp.formats import NOTHING, STATIC
from softswitch.sdp.offer_answer import (
    USUAL_PACKETS,
    Answer,
    Negotiated,
    Offer,
    answer,
    local_offer,
    parse_offer,
    read_answer,
)
from softswitch.sip.core import ALLOWED
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.session import InDialogRequest
from softswitch.sip.user_agent import ClientSession, ServerSession

if TYPE_CHECKING:
    from softswitch.call.renegotiate import Partner

MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
RETRY_AFTER_S = 5  # media ports come free as calls end

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PendingOffer:
    """Sent in the 2xx to the INVITE numbered `cseq`: the ACK with that number brings the answer (RFC 3261 13.2.1)."""

    cseq: int
    body: bytes
    direction: str


class Leg(Ending):
    """What both legs share: the end, the endpoint, and the running offer/answer state."""

    name = "leg"
    session: ServerSession | ClientSession  # the SIP session, once it has `started`
    # With the class, since an object of more than 30 attributes takes a dictionary of its own.
    partner: Partner | None = None  # the other leg, while they talk
    goodbye: SipRequest | None = None  # its BYE
    heard_until: float | None = None  # loop time of its last sign of life, where it ended for want of them
    _pending_offer: PendingOffer | None = None
    started = False  # has this leg sent or received its INVITE?
    codec = ""  # the one agreed on
    liked = ""  # how Opus should be sent to the other leg, where it may pass (RFC 7587 6.1)
    _known = NOTHING  # the formats of its last offer
    protection = NONE  # as its trunk wants it: SRTP, with our keys, or plain RTP
    _refresh: PendingResponse | None = None  # by a re-INVITE of ours, of which the other leg knows nothing
    _free: asyncio.Event | None = None  # made, and waited for, by `free_to_reinvite`

    def __init__(self, call_id: str, media: MediaDriver, codecs: Sequence[str]) -> None:
        super().__init__()
        self.call_id = call_id
        self.codecs = tuple(codecs)
        self.packets = USUAL_PACKETS  # as its trunk wants them
        self.nat = self.ipv6 = False  # its media come from behind NAT; over IPv6
        self.endpoint: MediaEndpoint | None = None
        self.negotiated: Negotiated | None = None
        self.answered = False
        self.sip_status = self.cause = 0
        self.on_digit: Callable[[str, str], None] = _ignore_digit  # (digit, "rtp" | "info")
        self._digits_by = ""
        self._media = media
        self._sdp_id = random.getrandbits(31)
        self._sdp_version, self._sdp = 0, b""
        self._hung_up = False
        self.wish = "sendrecv"  # the direction the far end last asked for, as it writes it

    @property
    def held(self) -> bool:
        """Is this leg on hold, by its own wish or the other's?"""
        return self.negotiated is not None and not (self.negotiated.sending and self.negotiated.receiving)

    @property
    def likes(self) -> str:
        """What the far end asks of who sends it Opus."""
        return "" if self.negotiated is None else self.negotiated.likes

    # Media

    async def open_media(self) -> MediaEndpoint:
        """The leg's endpoint, opened on first use; raises CallRejected (7109) where there is none to be had."""
        if self.endpoint is None:
            try:
                self.endpoint = await self._media.open_endpoint(self.call_id, ipv6=self.ipv6)
            except MediaError as error:
                log.warning("no_media", call_id=self.call_id, leg=self.name, reason=str(error))
                raise CallRejected(FAILURES[7109], retry_after_s=RETRY_AFTER_S) from error
            self.endpoint.on_digit = self._press
        return self.endpoint

    def apply(self, negotiated: Negotiated) -> None:
        """Make the outcome of an offer/answer exchange true in the media."""
        self.negotiated, self.codec, keys = negotiated, negotiated.codec, negotiated.srtp
        assert self.endpoint is not None
        self.endpoint.configure(
            RtpRemote(
                negotiated.remote_address,
                negotiated.remote_port,
                negotiated.payload_type,
                negotiated.telephone_event,
                negotiated.sending,
                negotiated.receiving,
                negotiated.ptime_ms,
                negotiated.telephone_event_in,
                negotiated.rtcp_port,
                negotiated.rtcp_mux,
                self.nat,
                self.session.remote.host,
                None if keys is None else SrtpKeys(keys.suite, keys.local, keys.remote),
                coding=negotiated.coding,
            )
        )

    def statistics(self) -> asyncio.Future[EndpointStatistics] | None:
        """What the endpoint counted, resolved after `hang_up`; None where none was opened."""
        return None if self.endpoint is None else self.endpoint.statistics

    # Offer and answer

    def offer_sdp(self, *, direction: str = "sendrecv", codecs: Sequence[str] | None = None) -> bytes:
        """A new offer of this leg, with its o= version raised where the body changed (RFC 3264 8)."""
        wanted = tuple(codecs or self.codecs)
        if not self._sdp or self._offer_to(wanted, direction) != self._sdp:
            self._sdp_version += 1
            self._sdp = self._offer_to(wanted, direction)
        return self._sdp

    def _offer_to(self, codecs: Sequence[str], direction: str) -> bytes:
        assert self.endpoint is not None
        return local_offer(
            self.endpoint.address,
            self.endpoint.port,
            session_id=self._sdp_id,
            version=self._sdp_version,
            codecs=codecs,
            direction=direction,
            packets=self.packets,
            keys=self._offered_keys(),
            known=self._known,
            liked=self.liked,
        )

    def _offered_keys(self) -> Sequence[Crypto]:
        """SRTP is offered where the trunk requires it or the far end has chosen it; the suite in use comes first."""
        agreed = None if self.negotiated is None else self.negotiated.srtp
        if agreed is None:
            return () if self.protection.plain else self.protection.ours
        return preferring(self.protection, agreed.suite)

    def answer_sdp(self, offer: Offer, *, direction: str = "sendrecv", codec: str | None = None) -> bytes:
        """Answer `offer`, which has a codec of ours, and apply the outcome. `codec` is preferred, not forced."""
        made = self._answer_to(offer, direction, codec)
        if self._moved(made.negotiated):
            self.protection = renewed(self.protection, secrets.token_bytes)
            made = self._answer_to(offer, direction, codec)
        self._sdp_version += 1
        self._sdp = made.body
        if not STATIC.issuperset(self.codecs):  # else their numbers are of no interest
            self._known = offer.formats
        self.apply(made.negotiated)
        return made.body

    def _moved(self, negotiated: Negotiated) -> bool:
        """Has the far end gone elsewhere, or changed its key?

        Who receives there knows nothing of our packets so far, as how often their numbers have gone round: they need a
        key of their own (RFC 3711 3.2.1, RFC 4568 7.1.4).
        """
        then, now = self.negotiated, negotiated
        if then is None or then.srtp is None or now.srtp is None:
            return False
        place = then.remote_address, then.remote_port, then.srtp.remote
        return place != (now.remote_address, now.remote_port, now.srtp.remote)

    def _answer_to(self, offer: Offer, direction: str, codec: str | None) -> Answer:
        assert self.endpoint is not None
        made = answer(
            offer,
            self.endpoint.address,
            self.endpoint.port,
            session_id=self._sdp_id,
            version=self._sdp_version + 1,
            codecs=self.codecs,
            direction=direction,
            packets=self.packets,
            codec=codec if codec in offer.codecs and codec in self.codecs else None,
            protection=self.protection,
            liked=self.liked,
        )
        assert made is not None, "a common codec was seen before"
        return made

    def renegotiate_alone(self, request: InDialogRequest) -> None:
        """Answer a re-INVITE or UPDATE from what this leg knows, without asking the other leg."""
        if not request.message.body:
            self.answer_without_offer(request)
            return
        if self.negotiated is None:
            self.refuse_second_offer(request)
            return
        offer = self.offer_in(request)
        if offer is not None:
            self.wish = offer.direction
            self.settle(request, offer, "sendrecv")

    def refuse_second_offer(self, request: InDialogRequest) -> None:
        """RFC 3311 5.2: the first offer, of ours, is still without its answer."""
        request.respond(491)

    def offer_in(self, request: InDialogRequest) -> Offer | None:
        """The offer that `request` carries; None where we can't take it and it has been refused (400, 488, 491)."""
        if self._pending_offer is not None and request.message.method == "UPDATE":
            self.refuse_second_offer(request)
            return None
        try:
            offer = parse_offer(request.message.body, self.protection, codecs=self.codecs)
        except SipParseError:
            request.respond(400, reason="Bad session description")
            return None
        assert self.endpoint is not None
        if not set(offer.codecs) & set(self.codecs) or not offer.reaches(self.endpoint.address):
            # RFC 3261 14.2: the session goes on as it was, and the other leg hears nothing of it.
            request.respond(488, headers=INCOMPATIBLE)
            return None
        return offer

    def settle(self, request: InDialogRequest, offer: Offer, direction: str) -> None:
        """Answer `offer` with `direction` at the most, keeping the codec where it was offered again.

        Who offers anew has done with what we offered before: an answer to that, in an ACK that is late, counts no more.
        """
        self._pending_offer = None
        body = self.answer_sdp(offer, direction=direction, codec=self.negotiated.codec if self.negotiated else None)
        request.respond(200, body=body, content_type="application/sdp")

    def answer_without_offer(self, request: InDialogRequest, direction: str = "sendrecv") -> None:
        """A re-INVITE without an offer gets ours in the 200 (RFC 3261 14.2); an UPDATE without one is a refresh."""
        if request.message.method != "INVITE":
            request.respond(200)
            return
        self._pending_offer = PendingOffer(request.message.cseq.number, self.offer_sdp(direction=direction), direction)
        request.respond(200, body=self._pending_offer.body, content_type="application/sdp")

    def refresh_alone(self) -> None:
        """A re-INVITE that changes nothing, as a sign of life (RFC 4028 7.4); another one under way is sign enough."""
        if self.session.invite_under_way:
            return
        offered = self.offer_sdp()
        pending = self._refresh = self.session.request("INVITE", body=offered)
        pending.add_done_callback(lambda done: self._refreshed(offered, done))

    def _refreshed(self, offered: bytes, done: PendingResponse) -> None:
        response = done.result()
        if done is self._refresh:  # else it has met 422 and been repeated already
            self._refresh = None
            self._set_free()
        negotiated = read_answer(offered, response.body) if response.status < 300 else None
        if negotiated is not None and not self._hung_up:
            self.apply(negotiated)

    async def free_to_reinvite(self) -> None:
        """Return when every 2xx of ours has its ACK and our INVITE its answer: before that none may be sent (14.1)."""
        while self.session.unacknowledged or self._refresh is not None:
            self._free = asyncio.Event()
            await self._free.wait()

    def _set_free(self) -> None:
        if self._free is not None:
            self._free.set()

    # What the session tells (SessionListener)

    def on_provisional(self, response: SipResponse) -> None:
        """UAC only."""

    def on_answered(self, response: SipResponse) -> None:
        """UAC only."""

    def on_refused(self, response: SipResponse) -> None:
        """UAC only."""

    def on_cancelled(self, request: SipRequest) -> None:
        """UAS only."""

    def on_acknowledged(self, request: SipRequest) -> None:
        """The ACK of a 2xx of ours; it brings the answer where that 2xx made the offer."""
        self._set_free()
        offer = self._pending_offer
        if offer is None or offer.cseq != request.cseq.number:
            return
        self._pending_offer = None
        negotiated = read_answer(offer.body, request.body)
        if negotiated is None:
            self.end(LATE_ANSWER_USELESS[self.name])
            return
        self.apply(negotiated)
        wish = wish_of(negotiated, offer.direction)
        if wish != self.wish:
            self.wish = wish
            if self.partner is not None:
                self.partner.tell()

    def on_unacknowledged(self) -> None:
        """64*T1 without an ACK: the far end is gone (RFC 3261 13.3.1.4)."""
        self._lost(GONE[self.name])

    def on_bye(self, request: SipRequest) -> None:
        """The far end hung up."""
        self.goodbye = request
        self.cause = q850_cause(request) or NORMAL.cause
        self.end(NORMAL)

    def on_dead(self, why: str) -> None:
        """The dialog died without a BYE."""
        self.on_unacknowledged()

    def on_refresh_due(self) -> None:
        """RFC 4028: a sign of life is due, and the far end takes no UPDATE."""
        (self.refresh_alone if self.partner is None else self.partner.refresh)()

    def on_expired(self) -> None:
        """RFC 4028: the far end gave no sign of life."""
        self._lost(EXPIRED[self.name])

    def _lost(self, failure: Failure) -> None:
        """Nobody is there any more, and we know it late."""
        self.heard_until = max(self.session.heard_at, self._talked_until())
        self.end(failure)

    def _talked_until(self) -> float:
        """As far as media knows: it tells of no silence of one whom it need not hear."""
        if self.endpoint is None or self.negotiated is None or not self.negotiated.receiving:
            return 0.0
        return self.endpoint.silent_since if self.endpoint.silent else asyncio.get_running_loop().time()

    def on_request(self, request: InDialogRequest) -> None:
        """Any other request inside the dialog."""
        method = request.message.method
        if method in ("INVITE", "UPDATE") and self.partner is not None:
            self.partner.ask(request)
        elif method in ("INVITE", "UPDATE"):
            self.renegotiate_alone(request)
        elif method == "PRACK":
            self.on_prack(request)
        elif method == "INFO":
            self._on_info(request)
        elif method == "REFER":
            request.respond(603)  # a transfer would hand one party's dialog to a third
        else:
            request.respond(405, headers=[("Allow", ", ".join(ALLOWED))])

    def on_prack(self, request: InDialogRequest) -> None:
        """One with a new offer (RFC 3262 5): any other the session answers."""
        self.renegotiate_alone(request)

    def _on_info(self, request: InDialogRequest) -> None:
        digit = info_digit(request.message.content_type, request.message.body)
        if digit is None and request.message.body:
            request.respond(415)
            return
        request.respond(200)
        if digit is not None:
            self._press(digit, "info")

    def believe_any_digits(self) -> None:
        """Another phase of the call begins: digits may come another way than before."""
        self._digits_by = ""

    def _press(self, digit: str, via: str = "rtp") -> None:
        """A phone that sends its digits both ways presses each key once: the way that was first stands."""
        self._digits_by = self._digits_by or via
        if via == self._digits_by:
            self.on_digit(digit, via)

    # The end

    def hang_up(self, failure: Failure = NORMAL, *, headers: Sequence[tuple[str, str]] = ()) -> None:
        """End the leg from whatever state it is in and release its media; synchronous and idempotent."""
        if self._hung_up:
            return
        self._hung_up = True
        if self.started:
            status = failure.status if failure.status >= 300 else 480
            self.session.hang_up(status=status, headers=[*reason_headers(failure), *headers])
        if self.endpoint is not None:
            self.endpoint.close()
            self.endpoint.on_digit = None
        self.partner, self.on_digit = None, _ignore_digit  # leaves no cycle to the collector


def wish_of(negotiated: Negotiated, offered: str) -> str:
    """What an answer to our offer of a direction wishes: who takes all that was offered is not the one who holds."""
    return "sendrecv" if negotiated.far_direction == MIRRORED[offered] else negotiated.far_direction


def _ignore_digit(digit: str, via: str) -> None:
    """Nobody is waiting for digits."""
