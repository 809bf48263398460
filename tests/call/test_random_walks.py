"""Peers that do anything at any time, by seed: every call still ends, with one record and nothing left over."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from softswitch.errors import SipParseError
from softswitch.sip.message import SipRequest, SipResponse
from tests.support.calls import CALLER, FIRST, SECOND, STRANGER, SWITCH, X_AXB, X_AXE, A, Lab, play, sdp
from tests.support.peer import Peer

WISHES = ("INVITE", "INVITE", "UPDATE", "INFO", "late", "REFER", "refresh", "CANCEL", "BYE", "wait")
DIRECTIONS = ("", "sendonly", "recvonly", "inactive", "sendrecv")


class Erratic:
    """Answers most of what it gets, some of it late or strangely, and asks for things nobody expects."""

    def __init__(self, phone: Peer, dice: random.Random) -> None:
        self.phone, self.dice = phone, dice
        self.version = 1
        self.hung_up = False

    def body(self) -> bytes:
        self.version += 1
        if self.dice.random() < 0.05:
            return self.dice.choice([b"", b"nonsense", sdp(self.phone.address[0], 0)])
        return sdp(self.phone.address[0], 40000, direction=self.dice.choice(DIRECTIONS), version=self.version)

    async def live(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self.answer())
            asking = group.create_task(self.ask())
            await asyncio.sleep(seconds)
            asking.cancel()
            if not self.hung_up:
                self.send("BYE")
            await asyncio.sleep(100)
            answering.cancel()

    def send(self, method: str, body: bytes = b"", content_type: str = "application/sdp") -> None:
        if self.phone.target:
            self.phone.send(self.phone.request(method, body=body, content_type=content_type), to=SWITCH)

    async def ask(self) -> None:
        dice = self.dice
        while True:
            await asyncio.sleep(dice.choice([0.0, 0.01, 0.3, 1.0, 3.0]))
            what = dice.choice(
                ["INVITE", "INVITE", "UPDATE", "INFO", "late", "REFER", "refresh", "CANCEL", "BYE", "wait"]
            )
            if what in ("INVITE", "UPDATE"):
                self.send(what, self.body())
            elif what == "late":
                self.send("INVITE")
            elif what == "refresh":
                self.send("UPDATE")
            elif what == "INFO":
                self.send("INFO", b"Signal=5", "application/dtmf-relay")
            elif what == "REFER":
                self.send("REFER")
            elif what == "CANCEL" and self.phone.invite_sent is not None and dice.random() < 0.3:
                self.phone.send(self.phone.cancel(), to=SWITCH)
            elif what == "BYE" and dice.random() < 0.1:
                self.hung_up = True
                self.send("BYE")

    async def answer(self) -> None:
        while True:
            try:
                message = (await self.phone.inbox.get())[0]
                if isinstance(message, SipResponse):
                    self.take(message)
                else:
                    asyncio.get_running_loop().call_later(self.dice.choice([0.0, 0.0, 0.2, 2.0]), self.respond, message)
            except SipParseError:
                continue

    def take(self, response: SipResponse) -> None:
        phone = self.phone
        if response.cseq.method != "INVITE":
            return
        if response.to.tag:
            first = phone.invite_sent is not None and response.call_id == phone.invite_sent.call_id
            if first and response.contact is not None:
                phone.remote, phone.target = response.headers.get("To") or "", response.contact.uri
        if response.status >= 200 and self.dice.random() < 0.9:
            ack = phone.ack(response, body=self.body() if self.dice.random() < 0.5 else b"")
            phone.send(ack, to=SWITCH)

    def respond(self, request: SipRequest) -> None:
        phone, dice = self.phone, self.dice
        if request.method == "ACK" or dice.random() < 0.03:
            return
        if request.method != "INVITE":
            phone.send(phone.response(request, dice.choice([200, 200, 200, 481, 500])), to=SWITCH)
            return
        if request.to.tag is None:
            for status in dice.sample([100, 180, 183, 181], dice.randint(0, 3)):
                phone.send(phone.response(request, status, body=self.body() if status == 183 else b""), to=SWITCH)
        elif dice.random() < 0.2:
            phone.send(phone.response(request, 100), to=SWITCH)
            return  # and never another word
        status = dice.choice([200, 200, 200, 200, 200, 200, 491, 488, 486, 503, 404, 0])
        if status:
            phone.send(phone.response(request, status, body=self.body() if status == 200 else b""), to=SWITCH)


def key(lab: Lab) -> None:
    for endpoint in list(lab.media.endpoints):
        endpoint.press("1234")


@pytest.mark.parametrize("seed", range(60))
def test_whatever_they_do_the_call_ends_with_one_record(seed: int) -> None:
    dice = random.Random(seed)

    async def story(lab: Lab) -> None:
        longest = dice.choice([5, 20, 100])
        for binding in (lab.axb, lab.axe):
            lab.change(binding, max_duration_s=longest)
        lab.wire.loss, lab.wire.duplication = dice.choice([(0.0, 0.0), (0.05, 0.05)])
        lab.wire.delay = dice.choice([(0.0, 0.0), (0.0, 0.1)])
        by, dialled = dice.choice([(A, X_AXB), (STRANGER, f"{X_AXE}1234"), (STRANGER, X_AXE)])
        phones = [Erratic(phone, dice) for phone in (lab.caller, lab.callee, lab.second)]
        lab.dial(dialled, by=by, body=dice.choice([None, None, b""]))
        keys = asyncio.get_running_loop().call_later(1, key, lab)
        await asyncio.gather(*(phone.live(dice.choice([0.5, 5, 30])) for phone in phones))
        await asyncio.sleep(200)
        keys.cancel()
        trace = "\n".join(f"{sent.at:8.3f} {sent}" for sent in lab.wire.trace)
        assert len(lab.registry) == 0, f"a call is still up:\n{trace}"
        # An INVITE of theirs without a To tag is one more call.
        assert sorted(cdr.call_id for cdr in lab.records.closed) == sorted({cdr.call_id for cdr in lab.records.opened})
        assert (len(lab.user_agent.core.sessions), len(lab.user_agent.core.transactions)) == (0, 0)
        assert {sent.destination for sent in lab.wire.trace if sent.source == SWITCH} <= {CALLER, FIRST, SECOND}

    with capture_logs() as logs:
        play(story)
    assert [entry for entry in logs if entry["event"] in ("call_crashed", "call_failed")] == []
