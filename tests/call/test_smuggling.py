"""Each side writes its number and address wherever it can; nothing on the wire to the other side may hold them.

Call treatment, "Neither side may ever learn the other's real number": the allow-lists are proven here, the guard under
them in test_leak_guard.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

import pytest

from softswitch.call import presentation
from softswitch.sip.addresses import Hop
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.session import InDialogRequest
from tests.support.calls import CALLER, FIRST, STRANGER, SWITCH, X_AXB, X_AXE, A, B, Lab, play
from tests.support.peer import Pairs, Peer
from tests.support.wire import Address

FORMS = {
    A: ["+8613800000001", "008613800000001", "138-0000-0001", "%31%33%38%30%30%30%30%30%30%30%31"],
    B: ["+8613900000002", "008613900000002", "139-0000-0002", "%31%33%39%30%30%30%30%30%30%30%32"],
    STRANGER: ["+8613700000009", "008613700000009", "137-0000-0009", "%31%33%37%30%30%30%30%30%30%30%39"],
}


def headers(number: str, host: str) -> Pairs:
    """All that a phone or trunk may write about itself."""
    uri, tel = f"<sip:{number}@{host}>", f"<tel:{number}>"
    return [
        ("P-Asserted-Identity", f'"{number}" {uri}'),
        ("P-Preferred-Identity", uri),
        ("Remote-Party-ID", f'"{number}" {uri};party=calling;screen=yes;privacy=off'),
        ("Diversion", f"{tel};reason=unconditional"),
        ("History-Info", f"<sip:{number}@{host}?Reason=SIP%3Bcause%3D302>;index=1"),
        ("Referred-By", uri),
        ("Reply-To", uri),
        ("Alert-Info", f"<http://{host}/{number}.wav>"),
        ("Call-Info", f"<http://{host}/{number}.jpg>;purpose=icon"),
        ("Error-Info", uri),
        ("Warning", f'399 {host} "{number}"'),
        ("User-Agent", f"phone of {number} at {host}"),
        ("Server", f"phone of {number} at {host}"),
        ("Organization", number),
        ("Subject", f"call from {number}"),
        ("Reason", f'Q.850;cause=17;text="{number} at {host}"'),
        ("Geolocation", uri),
        ("Identity", number),
        ("X-Number", number),
        ("P-Charging-Vector", f"icid-value={number};orig-ioi={host}"),
        ("User-to-User", number),
    ]


def sdp(number: str, host: str, *, version: int = 1, direction: str = "sendrecv") -> bytes:
    lines = [
        "v=0", f"o={number} 77 {version} IN IP4 {host}", f"s=call of {number}", f"i={number} at {host}",
        f"u=http://{host}/{number}", f"e={number}@{host}", f"p={number}", f"c=IN IP4 {host}", "b=AS:64", "t=0 0",
        f"a=tool:{number}", f"a=ice-lite:{host}", f"k=clear:{number}", "m=audio 40000 RTP/AVP 8 101", f"i={number}",
        "a=rtpmap:101 telephone-event/8000", f"a=label:{number}", f"a=rtcp:40001 IN IP4 {host}",
        f"a=candidate:1 1 UDP 1 {host} 40000 typ host", f"a=ssrc:1 cname:{number}@{host}", f"a={direction}",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n").encode()


def digits(data: bytes) -> Iterable[bytes]:
    """The message as somebody would search it: without separators, with and without its escapes."""
    for text in (data, unquote_to_bytes(data)):
        yield re.sub(rb"[-.() _/\t]", b"", text)


def assert_hidden(lab: Lab, number: str, towards: Address, *hosts: str) -> None:
    """`number` in no form and none of `hosts` on the wire to `towards`, but where a response echoes its own request."""
    sent = [one for one in lab.wire.trace if one.source == SWITCH and one.destination == towards]
    assert sent
    for one in sent:
        for text in digits(one.data):
            assert number[3:].encode() not in text, one.text
        for host in hosts:
            assert host.encode() not in one.data, one.text


class Talkative(Peer):
    """A peer that writes its number wherever it can."""

    number = ""

    @property
    def contact(self) -> str:
        return f'"{self.number}" <sip:{self.number}@{self.address[0]}:5060;x={self.number}>;y="{self.number}"'

    def invite_x(self, dialled: str, by: str, more: Pairs = ()) -> None:
        host = self.address[0]
        self.call_id = f"{self.number}@{host}"
        invite = self.invite(
            f"sip:{dialled}@{SWITCH[0]};x={self.number}",
            from_=f'"{self.number}" <sip:{by}@{host};x={self.number}>;y={self.number}',
            to=f'"{self.number}" <sip:{dialled}@{SWITCH[0]}>',
            headers=[
                *(pair for pair in headers(self.number, host) if pair[0] != "P-Asserted-Identity"),
                ("P-Asserted-Identity", f'"{self.number}" <sip:{by}@{host}>'),
                ("Via", f"SIP/2.0/UDP {host}:5099;branch=z9hG4bK-{by};x={by}"),
                ("Record-Route", f"<sip:{by}@{host};lr>"),
                *more,
            ],
            body=sdp(self.number, host),
        )
        self.send(invite, to=SWITCH)

    def reply(self, request: SipRequest, status: int, *, body: bytes = b"", more: Pairs = ()) -> None:
        host = self.address[0]
        more = [*headers(self.number, host), *more, ("Record-Route", f"<sip:{self.number}@{host};lr>")]
        reason = f"{self.number} at {host}"
        self.send(self.response(request, status, headers=more, body=body, reason=reason))

    def ask(self, method: str, *, body: bytes = b"", content_type: str = "application/sdp") -> None:
        more = headers(self.number, self.address[0])
        self.send(self.request(method, headers=more, body=body, content_type=content_type))

    def sdp(self, version: int, direction: str = "sendrecv") -> bytes:
        return sdp(self.number, self.address[0], version=version, direction=direction)


def talkative(phone: Peer, number: str) -> Talkative:
    phone.close()
    made = Talkative(phone.wire, phone.address)
    made.number = number
    return made


async def answered(phone: Talkative) -> SipResponse:
    ok = await phone.receive_response(200, ignoring=(100, 180, 183))
    phone.send(phone.ack(ok))
    return ok


async def talk_of_everything(caller: Talkative, callee: Talkative) -> None:
    """Every request that may pass inside the dialog, by both sides, ending with the callee's BYE."""
    await asyncio.sleep(2)
    version = 1
    for one, other in ((caller, callee), (callee, caller)):
        for direction in ("sendonly", "sendrecv"):
            version += 1
            one.ask("INVITE", body=one.sdp(version, direction))
            other.reply(await other.receive_request("INVITE"), 200, body=other.sdp(version))
            await other.receive("ACK")
            await answered(one)
        one.ask("INVITE", body=one.sdp(version, "inactive"))
        other.reply(await other.receive_request("INVITE"), 488)
        await other.receive("ACK")
        one.send(one.ack(await one.receive_response(488, ignoring=(100,))))
        one.ask("UPDATE", body=one.sdp(version))
        await one.receive_response(200)
        for content_type, body in (
            ("application/dtmf-relay", f"Signal=5\r\nDuration=160\r\nNumber={one.number}\r\n".encode()),
            ("application/dtmf", b"5"),
        ):
            one.ask("INFO", body=body, content_type=content_type)
            await one.receive_response(200)
            other.reply(await other.receive_request("INFO"), 200)
        for method, status in (("REFER", 603), ("MESSAGE", 405), ("NOTIFY", 405), ("OPTIONS", 200)):
            one.ask(method, body=one.number.encode(), content_type="text/plain")
            await one.receive_response(status)
    callee.ask("BYE", body=callee.number.encode(), content_type="text/plain")
    await callee.receive_response(200)
    caller.reply(await caller.receive_request("BYE"), 200)


@pytest.mark.parametrize("form", range(4))
def test_neither_side_learns_the_other_of_an_answered_call(form: int) -> None:
    async def story(lab: Lab) -> None:
        caller, callee = talkative(lab.caller, FORMS[A][form]), talkative(lab.callee, FORMS[B][form])
        caller.invite_x(X_AXB, A)
        invite = await callee.receive_request("INVITE")
        for status, body in ((180, b""), (183, callee.sdp(1)), (181, b"")):
            callee.reply(invite, status, body=body)
        await caller.receive_response(183, ignoring=(100, 180))
        callee.reply(invite, 200, body=callee.sdp(1))
        await callee.receive("ACK")
        await answered(caller)
        await talk_of_everything(caller, callee)
        assert_hidden(lab, A, FIRST, "10.0.0.9")
        assert_hidden(lab, B, CALLER, "10.0.0.21", "10.0.0.22")
        assert lab.metrics.leaks == []  # the allow-lists alone kept it
        with pytest.raises(AssertionError):  # as it would look if they did not: each side reads its own back
            assert_hidden(lab, A, CALLER)
        assert (await lab.cdr()).failure == 0

    play(story)


@pytest.mark.parametrize("form", range(4))
def test_neither_side_learns_the_other_behind_an_extension(form: int) -> None:
    async def story(lab: Lab) -> None:
        caller, callee = talkative(lab.caller, FORMS[STRANGER][form]), talkative(lab.callee, FORMS[A][form])
        caller.invite_x(X_AXE, STRANGER)
        await answered(caller)
        for digit in "1234":
            caller.ask("INFO", body=digit.encode(), content_type="application/dtmf")
            await caller.receive_response(200)
        invite = await callee.receive_request("INVITE")
        callee.reply(invite, 183, body=callee.sdp(1))
        callee.reply(invite, 200, body=callee.sdp(1))
        await callee.receive("ACK")
        await talk_of_everything(caller, callee)
        assert_hidden(lab, STRANGER, FIRST, "10.0.0.9")
        assert_hidden(lab, A, CALLER, "10.0.0.21", "10.0.0.22")
        assert lab.metrics.leaks == []

    play(story)


@pytest.mark.parametrize("status", [301, 404, 480, 486, 488, 503, 603])
def test_a_refusal_tells_the_caller_nothing_of_the_callee(status: int) -> None:
    async def story(lab: Lab) -> None:
        caller, callee = talkative(lab.caller, FORMS[A][0]), talkative(lab.callee, FORMS[B][0])
        second = talkative(lab.second, FORMS[B][1])
        caller.invite_x(X_AXB, A)
        callee.reply(await callee.receive_request("INVITE"), status, body=callee.sdp(1))
        await callee.receive("ACK")
        await asyncio.sleep(1)
        if not second.inbox.empty():
            second.reply(await second.receive_request("INVITE"), status)
        await asyncio.sleep(1)
        assert_hidden(lab, B, CALLER, "10.0.0.21", "10.0.0.22")
        assert_hidden(lab, A, FIRST, "10.0.0.9", "10.0.0.22")
        assert (await lab.cdr()).failure != 0
        caller.send(caller.ack([m for m in _received(caller) if m.status >= 300][-1]))

    play(story)


def _received(phone: Peer) -> list[SipResponse]:
    got = []
    while not phone.inbox.empty():
        message, phone.source = phone.inbox.get_nowait()
        if isinstance(message, SipResponse):
            got.append(message)
    return got


def test_a_cancel_tells_the_callee_nothing_of_the_caller() -> None:
    async def story(lab: Lab) -> None:
        caller, callee = talkative(lab.caller, FORMS[A][0]), talkative(lab.callee, FORMS[B][0])
        caller.invite_x(X_AXB, A)
        callee.reply(await callee.receive_request("INVITE"), 180)
        await caller.receive_response(180, ignoring=(100,))
        caller.send(caller.cancel(headers=headers(caller.number, "10.0.0.9")))
        cancel = await callee.receive_request("CANCEL")
        callee.reply(cancel, 200)
        assert (cancel.headers.get("Reason") or "").startswith("Q.850;cause=17;")
        assert_hidden(lab, A, FIRST, "10.0.0.9")

    play(story)


def test_a_caller_who_calls_itself_an_address_is_not_believed() -> None:
    """The number may stand in the dialled text: X is asked for, never the text itself passed on."""

    async def story(lab: Lab) -> None:
        caller = talkative(lab.caller, FORMS[A][0])
        caller.invite_x("+8617099999999", A)
        await caller.receive_response(404, ignoring=(100, 183))
        assert lab.callee.pending() == []

    play(story)


# And where the allow-lists have a hole, the guard holds.


def test_a_leaking_invite_is_not_sent_and_the_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(host: str) -> str:
        return f"{A}.example" if host.startswith("10.0.0.2") else host

    async def story(lab: Lab) -> None:
        lab.dial()
        await lab.refused(502)
        assert lab.wire.sent("INVITE", source=SWITCH) == []
        assert set(lab.metrics.leaks) == {("number", "start line")}
        assert (await lab.cdr()).failure == 7506

    monkeypatch.setattr(presentation, "bracketed", leaking)
    play(story)


def test_a_leaking_answer_becomes_a_bare_500(monkeypatch: pytest.MonkeyPatch) -> None:
    respond = InDialogRequest.respond

    def leaking(self: InDialogRequest, status: int, **options: object) -> None:
        respond(self, status, **{**options, "headers": [("Contact", f"<sip:{B}@10.0.0.1>")]})  # type: ignore[arg-type]

    async def story(lab: Lab) -> None:
        await lab.establish()
        lab.caller.send(lab.caller.request("MESSAGE", body=b"hello", content_type="text/plain"))
        response = await lab.caller.receive_response(500)
        assert response.headers.get("Contact") is None
        assert ("number", "contact") in lab.metrics.leaks
        await lab.hang_up()

    monkeypatch.setattr(InDialogRequest, "respond", leaking)
    play(story)


def test_the_peers_address_is_no_secret_where_both_sides_share_a_trunk() -> None:
    async def story(lab: Lab) -> None:
        lab.dial(via=lab.callee)
        invite = await lab.callee.receive_request("INVITE", ignoring=(100,))
        assert invite.uri == f"sip:{B}@10.0.0.21"
        assert lab.services.trunk_of(Hop("udp", *FIRST)) == "first"
        lab.callee.send(lab.callee.cancel())
        await lab.callee.receive(200, ignoring=(100, 180))

    play(story)
