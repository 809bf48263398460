"""A scripted SIP peer: sends and expects raw messages at the in-memory wire, with builders for the usual ones.

As a caller:
    phone = Peer(wire, ("10.0.0.9", 5060))
    phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER), to=("10.0.0.1", 5060))
    ok = await phone.receive(200, ignoring=(100, 180))
    phone.send(phone.ack(ok))                       # goes where the last message came from
    phone.send(phone.request("BYE")); await phone.receive(200)

As a callee:
    invite = await phone.receive("INVITE")
    phone.send(phone.response(invite, 180)); phone.send(phone.response(invite, 200, body=ANSWER))
    await phone.receive("ACK")

A peer keeps one dialog (`call_id`, `local`, `remote`, `target`, `cseq`), learnt from the messages that pass; it never
retransmits and never answers by itself. Use a second Peer, or `peer.fresh()`, for a second call.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Sequence

from softswitch.sip.message import SipRequest, SipResponse, parse_message
from tests.support.responses import make_response
from tests.support.wire import Address, Wire

Pairs = Sequence[tuple[str, str]]

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)

_serial = itertools.count(1)


class Peer:
    """One address on the wire with one dialog at a time.

    `receive` waits at most `patience` seconds of virtual time. What arrives meanwhile is kept in order.
    """

    def __init__(self, wire: Wire, address: Address, *, patience: float = 70.0) -> None:
        self.wire = wire
        self.patience = patience
        self.address = wire.attach(address, self._arrive)
        self.source: Address = address  # where the last message came from or went to
        self.inbox: asyncio.Queue[tuple[SipRequest | SipResponse, Address]] = asyncio.Queue()
        self.fresh()

    def fresh(self) -> None:
        """Forget the dialog: the next INVITE starts another one."""
        serial = next(_serial)
        self.call_id = f"peer-{serial}"
        self.tag = f"tag-{serial}"
        self.local = f"<sip:peer@{self.address[0]}>;tag={self.tag}"  # From of our requests
        self.remote = ""  # To of our requests
        self.target = ""  # Request-URI of our requests inside the dialog
        self.cseq = 0
        self.invite_sent: SipRequest | None = None

    @property
    def contact(self) -> str:
        """Our Contact."""
        return f"<sip:peer@{self.address[0]}:{self.address[1]}>"

    def close(self) -> None:
        """Leave the wire."""
        self.wire.detach(self.address)

    # Sending

    def send(self, message: SipRequest | SipResponse | bytes | str, to: Address | None = None) -> None:
        """Put a message on the wire, by default to where the last one came from or went to."""
        if isinstance(message, str):
            data = message.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        else:
            data = message if isinstance(message, bytes) else message.encode()
        self.source = to or self.source
        self.wire.send(data, self.address, self.source)

    def invite(self, uri: str, *, from_: str = "", to: str = "", headers: Pairs = (), body: bytes = b"") -> SipRequest:
        """An INVITE that starts a dialog. `from_` is the From value without tag."""
        if from_:
            self.local = f"{from_};tag={self.tag}"
        self.remote, self.target = to or f"<{uri}>", uri
        self.invite_sent = self.request("INVITE", headers=headers, body=body)
        return self.invite_sent

    def request(
        self,
        method: str,
        *,
        headers: Pairs = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
        cseq: int = 0,
    ) -> SipRequest:
        """A request inside the dialog (also re-INVITE) with the next CSeq, or `cseq`."""
        self.cseq = cseq or self.cseq + 1
        request = SipRequest(method, self.target)
        self._fill(request, f"{self.cseq} {method}", f"z9hG4bK-peer-{next(_serial)}")
        if method in ("INVITE", "UPDATE"):
            request.headers.add("Contact", self.contact)
        for name, value in headers:
            request.headers.add(name, value)
        if body:
            request.headers.add("Content-Type", content_type)
            request.body = body
        return request

    def ack(self, response: SipResponse, *, body: bytes = b"") -> SipRequest:
        """The ACK for a final response to our INVITE: a request of its own for a 2xx, else on the INVITE's branch."""
        branch = f"z9hG4bK-peer-{next(_serial)}" if response.status < 300 else response.via.branch
        request = SipRequest("ACK", self.target)
        if response.status >= 300 and self.invite_sent is not None:
            request.uri = self.invite_sent.uri
        self._fill(request, f"{response.cseq.number} ACK", branch)
        request.headers.set("To", response.headers.get("To") or "")
        if body:
            request.headers.add("Content-Type", "application/sdp")
            request.body = body
        return request

    def cancel(self, headers: Pairs = ()) -> SipRequest:
        """The CANCEL for the INVITE sent last."""
        invite = self.invite_sent
        assert invite is not None, "no INVITE was sent"
        request = SipRequest("CANCEL", invite.uri)
        for name in ("Via", "Max-Forwards", "From", "To", "Call-ID"):
            request.headers.add(name, invite.headers.get(name) or "")
        request.headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        for name, value in headers:
            request.headers.add(name, value)
        return request

    def response(
        self,
        request: SipRequest,
        status: int,
        *,
        headers: Pairs = (),
        body: bytes = b"",
        tag: str | None = None,
        reason: str | None = None,
    ) -> SipResponse:
        """A response with our tag (or `tag`, for a fork) and Contact. A tag opens our side of the dialog."""
        tag = None if status == 100 else tag or self.tag
        extra = [("Contact", self.contact)] if 100 < status < 300 and request.method in ("INVITE", "UPDATE") else []
        response = make_response(request, status, reason, to_tag=tag, headers=[*extra, *headers], body=body)
        if tag == self.tag and request.method == "INVITE":
            self.local = response.headers.get("To") or ""
            self.remote = request.headers.get("From") or ""
            self.call_id = request.call_id
            if request.contact is not None:
                self.target = request.contact.uri
        return response

    # Receiving

    async def receive(self, label: str | int, *, ignoring: Collection[str | int] = ()) -> SipRequest | SipResponse:
        """The next message that is not one of `ignoring`; fails where it is not the method or status `label`."""
        while True:
            message = await self.receive_any()
            got = message.method if isinstance(message, SipRequest) else message.status
            if got == label:
                return message
            assert got in ignoring, f"{self.address[0]} expected {label}, got {got}:\n{message.encode().decode()}"

    async def receive_request(self, method: str, *, ignoring: Collection[str | int] = ()) -> SipRequest:
        """As `receive`, typed."""
        message = await self.receive(method, ignoring=ignoring)
        assert isinstance(message, SipRequest)
        return message

    async def receive_response(self, status: int, *, ignoring: Collection[str | int] = ()) -> SipResponse:
        """As `receive`, typed."""
        message = await self.receive(status, ignoring=ignoring)
        assert isinstance(message, SipResponse)
        return message

    async def receive_any(self) -> SipRequest | SipResponse:
        """The next message, whatever it is."""
        message, self.source = await asyncio.wait_for(self.inbox.get(), self.patience)
        if isinstance(message, SipResponse) and message.cseq.method == "INVITE" and message.to.tag:
            self.remote = message.headers.get("To") or ""
            if message.contact is not None:
                self.target = message.contact.uri
        return message

    async def silence(self, seconds: float) -> None:
        """Fails where anything arrives within so many seconds."""
        await asyncio.sleep(seconds)
        assert self.inbox.empty(), f"{self.address[0]} expected silence, got {self.inbox.get_nowait()[0]}"

    def pending(self) -> list[str | int]:
        """Methods and statuses that have arrived and wait to be received; forgets them."""
        got: list[str | int] = []
        while not self.inbox.empty():
            message = self.inbox.get_nowait()[0]
            got.append(message.method if isinstance(message, SipRequest) else message.status)
        return got

    def _arrive(self, data: bytes, source: Address) -> None:
        self.inbox.put_nowait((parse_message(data), source))

    def _fill(self, request: SipRequest, cseq: str, branch: str) -> None:
        headers = request.headers
        headers.add("Via", f"SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch={branch};rport")
        headers.add("Max-Forwards", "70")
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", cseq)
