"""A callee's leg: our INVITE, what comes back before the answer, the answer.

RFC 3261 13.2 (UAC core), RFC 3264. Opened by `dial.py`, one for each address that is tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from softswitch.call.hangup import q850_cause
from softswitch.call.inbox import Inbox
from softswitch.call.leg import Leg
from softswitch.interfaces import MediaDriver
from softswitch.sdp.offer_answer import CODECS, Negotiated, Offer, read_answer
from softswitch.sip.client_session import FORKS
from softswitch.sip.message import SipResponse
from softswitch.sip.session import InDialogRequest
from softswitch.sip.user_agent import ClientSession

MOST_WAITING = 32  # provisional responses that the story has not come to
NOBODY: Mapping[str, str] = MappingProxyType({})


class OutboundLeg(Leg):
    """A callee's dialog: we are the UAC. Responses queue up in `responses` until the answer."""

    name = "callee"
    session: ClientSession
    _updated = NOBODY  # tags of the forks whose own offers we have answered before the talk, and the direction of each

    def __init__(self, call_id: str, media: MediaDriver, codecs: Sequence[str] = CODECS) -> None:
        super().__init__(call_id, media, codecs)
        self.responses: Inbox[SipResponse] = Inbox()
        self.offered = b""
        self.answered_at = 0.0  # loop time of the 2xx
        self._answers: dict[str, Negotiated] = {}  # by tag: each fork answers for itself (RFC 3261 13.2.1)

    def start(self, session: ClientSession, offered: bytes) -> None:
        """The INVITE with the offer `offered` is on its way."""
        self.session, self.offered, self.started = session, offered, True
        session.listener = self

    def read_answer(self, response: SipResponse) -> bool:
        """Apply the answer in a provisional or final response; False where it has none or a useless one.

        Whose own offer has followed its answer can only repeat that: it changes nothing any more (RFC 3261 13.2.1).
        """
        if (response.to.tag or "") in self._updated:
            return self.recall_answer(response)
        negotiated = read_answer(self.offered, response.body)
        if negotiated is None:
            return False
        self.apply(negotiated)
        if len(self._answers) < FORKS:
            self._answers[response.to.tag or ""] = negotiated
        return True

    def recall_answer(self, response: SipResponse) -> bool:
        """Apply the answer that the fork of a 2xx without any gave before; False where it gave none."""
        negotiated = self._answers.get(response.to.tag or "")
        if negotiated is None:
            return False
        self.apply(negotiated)
        return True

    def renegotiate_alone(self, request: InDialogRequest) -> None:
        """As any leg's; of a fork that has not answered our offer, whatever another has, it is a second one."""
        if request.message.body and (request.message.from_.tag or "") not in self._answers:
            self.refuse_second_offer(request)
        else:
            super().renegotiate_alone(request)

    def settle(self, request: InDialogRequest, offer: Offer, direction: str) -> None:
        """As any leg's; before the talk it is what the fork has settled on, whatever it answers to our INVITE."""
        super().settle(request, offer, direction)
        if self.partner is None and self.negotiated is not None:
            tag = request.message.from_.tag or ""
            self._updated = {**self._updated, tag: offer.direction}
            self._answers[tag] = self.negotiated

    def on_provisional(self, response: SipResponse) -> None:
        """1xx; in a flood only the first are heard."""
        if len(self.responses) < MOST_WAITING:
            self.responses.put(response)

    def on_answered(self, response: SipResponse) -> None:
        """2xx: acknowledged at once, whatever becomes of the call."""
        self.answered, self.sip_status = True, response.status
        self.answered_at = asyncio.get_running_loop().time()
        self.wish = self._updated.get(response.to.tag or "", "sendrecv")
        self.session.acknowledge()
        self.responses.put(response)

    def on_refused(self, response: SipResponse) -> None:
        """300 and above."""
        self.sip_status = response.status
        self.cause = q850_cause(response) or 0
        self.responses.put(response)
