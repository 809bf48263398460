"""Two phones in a talk: the one who asks for a hold or resume and the one who is told. Used by the tests of call/."""

from __future__ import annotations

import pytest

from softswitch.sip.message import SipRequest, SipResponse
from tests.support.calls import Lab, sdp
from tests.support.peer import Peer

MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive", "sendrecv": "sendrecv"}

both_sides = pytest.mark.parametrize("side", ["caller", "callee"])


class Pair:
    """The one who asks and the one who is told."""

    def __init__(self, lab: Lab, side: str) -> None:
        self.asks, self.told = (lab.caller, lab.callee) if side == "caller" else (lab.callee, lab.caller)
        self.mine, self.theirs = lab.endpoints() if side == "caller" else lab.endpoints()[::-1]
        self.version = 1

    def body(self, phone: Peer, direction: str = "") -> bytes:
        self.version += 1
        return sdp(phone.address[0], 41000, direction=direction, version=self.version)

    def ask(self, direction: str, method: str = "INVITE") -> SipRequest:
        request = self.asks.request(method, body=self.body(self.asks, direction))
        self.asks.send(request)
        return request

    async def tell(self, direction: str, status: int = 200) -> SipRequest:
        """The other side is offered `direction` and answers its mirror image, or refuses."""
        invite = await self.told.receive_request("INVITE")
        assert f"a={direction}\r\n".encode() in invite.body
        body = self.body(self.told, MIRROR[direction]) if status < 300 else b""
        self.told.send(self.told.response(invite, status, body=body))
        await self.told.receive("ACK")
        return invite

    async def answered(self, status: int = 200) -> SipResponse:
        response = await self.asks.receive_response(status, ignoring=(100,))
        if response.cseq.method == "INVITE":
            self.asks.send(self.asks.ack(response))
        return response
