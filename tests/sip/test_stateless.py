"""Answers without a transaction (RFC 3261 8.2.7), and that nobody can aim them at somebody else (26.1.5)."""

from __future__ import annotations

import itertools
import logging

import pytest

from softswitch.interconnect.proof import Proof
from softswitch.sip.addresses import Hop, Path
from softswitch.sip.core import SipCore
from softswitch.sip.digest import Account, answer, parse_challenge, strongest
from softswitch.sip.digest_server import Challenger
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.entrance import Entrance
from softswitch.sip.message import SipResponse, parse_message
from softswitch.sip.strangers import StrangerLimits, Strangers
from tests.routing.scene import PROVING_TRUNK, plan
from tests.sip.test_core import request

TRUNKS = plan(PROVING_TRUNK)
PROVING, STRANGER = Hop("udp", "10.0.0.9", 5060), Hop("udp", "192.0.2.66", 5060)
PLENTY = StrangerLimits(per_second=1e6, burst=1e6, ban_after=10**6)


def no_future() -> PendingResponse:
    raise AssertionError("no request of ours was expected")


class Gate:
    """Entrance, core and the check of passwords as the whole switch has them; `others` is what strangers get."""

    def __init__(self, *, others: bool | None = False, limits: StrangerLimits = PLENTY) -> None:
        serial = itertools.count(0x10000000000000000000)
        self.now = 1_000_000.0
        self.core = SipCore(
            [("10.0.0.1", 5060)],
            lambda: f"{next(serial):x}",
            clock=lambda: self.now,
            new_response=no_future,
            supported=["100rel", "timer", "replaces"],
        )
        self.entrance = Entrance(lambda hop: True if hop.host == PROVING.host else others, strangers=Strangers(limits))
        proof = Proof(
            lambda hop: TRUNKS.trunks["proving"],
            Challenger(b"secret", lambda: "Sa1t"),
            lambda trunk, verdict: None,
            ban=pytest.fail,
        )
        self.core.accept_source = lambda hop: True if hop.host == PROVING.host else others
        self.core.authenticate, self.core.doubt = proof, self.entrance
        self.entrance.unproved = proof.unproved

    def knock(self, data: bytes | str, source: Hop = PROVING) -> list[bytes]:
        """All that is sent on account of one datagram, also in the minute after it."""
        self.receive(data, source)
        end = self.now + 64.0
        while (at := self.core.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.core.handle_timers(self.now)
        self.now = end
        out = self.core.datagrams_to_send()
        assert all(one.path.hop.host == source.host for one in out)
        return [one.data for one in out]

    def receive(self, data: bytes | str, source: Hop = PROVING) -> None:
        """A message comes to the door."""
        data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        path = Path(source, 0, 0 if source.transport == "udp" else 7)
        if self.entrance.admits(data, path, self.now, self.core):
            self.core.receive(data, path, self.now)

    def answered(self, text: str, source: Hop = PROVING) -> SipResponse | None:
        """The answer, which is no longer than the question."""
        out = self.knock(text, source)
        assert sum(map(len, out)) <= len(text)
        if not out:
            return None
        (response,) = map(parse_message, out)
        assert isinstance(response, SipResponse)
        return response

    def prove(self, text: str) -> None:
        """The password is shown, in a copy of the INVITE `text`."""
        asked = self.answered(text)
        assert asked is not None
        (challenge,) = strongest(asked.headers.all("WWW-Authenticate"))
        uri = text.split(" ")[1]
        made = answer(challenge, Account("them", "secret"), "INVITE", uri, cnonce="c")
        self.receive(text.replace("\r\nCSeq:", f"\r\nAuthorization: {made}\r\nCSeq:", 1))
        assert self.core.next_event() is not None


def offered(response: SipResponse | None) -> list[str]:
    """The algorithms of a challenge."""
    assert response is not None
    assert response.status == 401
    return [parse_challenge(text).algorithm for text in response.headers.all("WWW-Authenticate")]


# Who sends INVITEs of which length: the header fields that each program writes besides those that come back

SDP = """v=0
o=- 3975208451 3975208451 IN IP4 10.0.0.9
s=-
c=IN IP4 10.0.0.9
t=0 0
m=audio 40000 RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
"""
ECHOED = """Via: SIP/2.0/UDP 10.0.0.9:5060;{via}
From: {from_}
To: <sip:17000000001@10.0.0.1>
Call-ID: {call_id}
CSeq: {cseq} {method}
Max-Forwards: 70
Contact: <sip:{contact}>
"""
PROGRAMS = {
    "Asterisk, chan_pjsip": (
        {
            "via": "rport;branch=z9hG4bKPj2ab8ce71-8d6a-4ba3-94a0-5b8d1c0b7d39",
            "from_": "<sip:13800000001@10.0.0.9>;tag=0b9e7f3c-8d5f-4f4b-a20b-6b1f1f6c1b8e",
            "call_id": "5d8ae1a0-9a1c-4c7e-8f57-0c1f9a9d8b3e",
            "contact": "asterisk@10.0.0.9:5060",
        },
        "Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE\n"
        "Supported: 100rel, timer, replaces, norefersub, histinfo\nSession-Expires: 1800\nMin-SE: 90\n",
        "User-Agent: Asterisk PBX 20.5.0\n",
    ),
    "Asterisk, chan_sip": (
        {
            "via": "branch=z9hG4bK4f9c1c2b;rport",
            "from_": '"13800000001" <sip:13800000001@10.0.0.9>;tag=as1d6a8f0c',
            "call_id": "4c3a1b7e5d0f9a8263d8c1f73a9e6b20@10.0.0.9:5060",
            "contact": "13800000001@10.0.0.9:5060",
        },
        "Date: Sun, 22 Nov 2026 02:50:00 GMT\nSupported: replaces, timer\n"
        "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE\n",
        "User-Agent: Asterisk PBX 16.28.0\n",
    ),
    "FreeSWITCH": (
        {
            "via": "rport;branch=z9hG4bKS1tgK3y5H0c9D",
            "from_": '"13800000001" <sip:13800000001@10.0.0.9>;tag=QeN7Zj02tF0yj',
            "call_id": "9c1f7a52-f0c4-123c-b1a3-0050568f0b6d",
            "contact": "mod_sofia@10.0.0.9:5060",
        },
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY\n"
        "Supported: timer, path, replaces\nAllow-Events: talk, hold, conference, refer\nX-FS-Support: update_display\n",
        "User-Agent: FreeSWITCH-mod_sofia/1.10.9-release~64bit\n",
    ),
    "SIPp": (
        {
            "via": "branch=z9hG4bK-41875-1-0",
            "from_": "sipp <sip:sipp@10.0.0.9:5060>;tag=41875SIPpTag001",
            "call_id": "1-41875@10.0.0.9",
            "contact": "sipp@10.0.0.9:5060",
        },
        "",
        "Subject: Performance Test\n",
    ),
    "pjsua": (
        {
            "via": "rport;branch=z9hG4bKPjq9TzXbC3m0dLk1vYwR7nE5sJ2hUa8fGo",
            "from_": "<sip:13800000001@10.0.0.9>;tag=Hk2Vb8sYp0QwEr5TzUi7OaLd3FgJx9Cn",
            "call_id": "m4NbVcXzLkJhGfDsApOiUyTrEwQ1029x",
            "contact": "13800000001@10.0.0.9:5060;ob",
        },
        "Allow: PRACK, INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS\n"
        "Supported: replaces, 100rel, timer, norefersub\nSession-Expires: 1800\nMin-SE: 90\n",
        "User-Agent: PJSUA v2.15 Linux-6.1/x86_64/glibc-2.36\n",
    ),
    "baresip": (
        {
            "via": "branch=z9hG4bK7d2f1e0a9c8b3d54;rport",
            "from_": "<sip:13800000001@10.0.0.9>;tag=5a8e1c7d9b3f2064",
            "call_id": "c3d9a57e1b2f8046",
            "contact": "13800000001-0x55d0c8a7b2f0@10.0.0.9:5060",
        },
        "Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,SUBSCRIBE,INFO,MESSAGE,UPDATE,REFER\nSupported: gruu\n",
        "User-Agent: baresip v1.0.0 (x86_64/linux)\n",
    ),
}
SHORT = {"SIPp": ["MD5"]}  # of what is sent without an offer: two challenges would be too long


def sent_by(program: str, method: str, sdp: str = "") -> str:
    """A request as the program writes it."""
    words, more, agent = PROGRAMS[program]
    head = f"{method} sip:17000000001@10.0.0.1 SIP/2.0\n" + ECHOED.format(method=method, cseq=1, **words)
    kind = "Content-Type: application/sdp\n" if sdp else ""
    body = sdp.replace("\n", "\r\n")
    allowed = more if method == "INVITE" else ""  # the least that one writes with OPTIONS
    head += f"{allowed}{agent}{kind}Content-Length: {len(body)}\n\n"
    return head.replace("\n", "\r\n") + body


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_calls_with_an_offer_is_asked_by_every_algorithm_and_let_in_when_it_answers(program: str) -> None:
    gate = Gate()
    invite = sent_by(program, "INVITE", SDP)
    assert offered(gate.answered(invite)) == ["SHA-256", "MD5"]
    gate.prove(invite)


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_calls_without_an_offer_is_asked_by_the_algorithm_at_least_that_everybody_knows(program: str) -> None:
    """By the best alone, whoever knows MD5 only, as most do, could never call."""
    gate = Gate()
    invite = sent_by(program, "INVITE")
    assert offered(gate.answered(invite)) == SHORT.get(program, ["SHA-256", "MD5"])
    gate.prove(invite)


@pytest.mark.parametrize("program", PROGRAMS)
def test_health_checks_of_who_has_proved_nothing_are_answered(program: str) -> None:
    response = Gate().answered(sent_by(program, "OPTIONS"))
    assert response is not None
    assert response.status == 200


# What is left out where an answer would be longer than what it answers


def test_a_challenge_gives_up_what_it_can_do_without_one_after_the_other_and_then_is_not_sent() -> None:
    """First the Server line, then long names (7.3.3), reason and length, then every algorithm but the plainest."""
    gate, kinds = Gate(), list[tuple[int, bool, bool, bool]]()
    for padding in range(400):
        out = gate.knock(request(X_Padding="x" * padding))
        if out:
            response = parse_message(out[0])
            assert isinstance(response, SipResponse)
            compact = b"\r\nv:" in out[0]
            kinds.append((len(offered(response)), "Server" in response.headers, compact, bool(response.reason)))
        else:
            assert not kinds, "silence is for the shortest"
    assert list(dict.fromkeys(kinds)) == [
        (1, False, True, False),
        (1, False, True, True),
        (1, False, False, True),
        (2, False, True, False),
        (2, False, True, True),
        (2, False, False, True),
        (2, True, False, True),
    ]


def test_options_is_answered_without_what_we_can_do_and_405_with_the_methods_it_must_name() -> None:
    gate = Gate()
    short = gate.answered(request("OPTIONS"))
    assert short is not None
    assert (short.status, short.headers.get("Allow")) == (200, None)
    fuller = gate.answered(request("OPTIONS", X="x" * 300))
    assert fuller is not None
    assert fuller.headers.get("Allow")
    refused = [gate.answered(request("REGISTER", X="x" * padding)) for padding in range(100)]
    told = [(one.status, "Allow" in one.headers, "Supported" in one.headers) for one in refused if one is not None]
    assert [kind for kind, _ in itertools.groupby(told)] == [(405, True, False), (405, True, True)]
    assert refused[0] is None


def test_what_is_malformed_is_refused_in_fewer_words_or_not_at_all() -> None:
    gate = Gate()
    told = gate.answered(request("OPTIONS", Max_Forwards="many", X="x" * 300))
    assert told is not None
    assert told.reason != "Bad Request"
    short = gate.answered(request("OPTIONS", Max_Forwards="many"))
    assert short is not None
    assert (short.status, short.reason) == (400, "")
    assert gate.answered("X x SIP/2.0\r\nVia: SIP/2.0/UDP h;rport\r\nCSeq: many\r\n\r\n") is None


def test_a_call_that_goes_without_an_answer_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    gate.now = 0.1  # the machine has just been started
    with caplog.at_level(logging.WARNING):
        assert gate.answered(request(Contact="")) is None
    assert gate.entrance.counts == {"short": 1}
    assert [record.getMessage() for record in caplog.records] == ["turned away 10.0.0.9 (short): 1 since the last line"]


def test_an_address_that_no_forger_has_and_one_that_has_proved_itself_get_the_full_answer() -> None:
    gate = Gate()
    (full,) = gate.knock(request("OPTIONS"), PROVING._replace(transport="tcp"))
    assert len(full) > len(request("OPTIONS"))
    gate.prove(sent_by("pjsua", "INVITE", SDP))
    gate.core.datagrams_to_send()
    gate.receive(request("OPTIONS"))
    (sent,) = gate.core.datagrams_to_send()
    assert len(sent.data) > len(request("OPTIONS"))
