"""INVITEs of trunks with `auth = "digest"` (RFC 3261 22.4), seen by a scripted trunk at the core's own door."""

from __future__ import annotations

from collections import Counter

import pytest
import structlog.testing

from softswitch.interconnect.proof import Proof
from softswitch.routing.trunk import NO_TRUNK
from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account, Credentials, answer, strongest
from softswitch.sip.digest_server import Challenger
from softswitch.sip.message import Headers, SipRequest, SipResponse
from tests.routing.scene import PROVING_TRUNK, plan
from tests.support.peer import OFFER, Peer
from tests.support.recorder import SWITCH, Switch, play
from tests.support.wire import Wire

URI = "sip:100@10.0.0.1"
TRUNKS = plan(
    PROVING_TRUNK
    + """
[[trunk]]
name = "trusted"
host = "10.0.0.8"
sources = ["10.0.0.8/32"]
"""
)
THEM = Account("them", "secret")


def guarded(switch: Switch, *, ban_after: int = 0) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    switch.agent.authenticate = Proof(
        lambda hop: TRUNKS.trunk_of(hop.host, hop.port, hop.transport) or NO_TRUNK,
        Challenger(b"secret", lambda: "salt"),
        lambda trunk, verdict: counts.update([(trunk, verdict)]),
        ban=lambda source: counts.update([("ban", source)]),
        ban_after=ban_after,
    )
    return counts


def proof(refused: SipResponse, account: Account = THEM) -> Credentials:
    (challenge,) = strongest(refused.headers.all("WWW-Authenticate"))
    return answer(challenge, account, "INVITE", URI, cnonce="c")


async def challenged(phone: Peer) -> SipResponse:
    phone.send(phone.invite(URI, body=OFFER), to=SWITCH)
    refused = await phone.receive_response(401)
    phone.send(phone.ack(refused))
    return refused


def test_a_call_begins_only_when_the_password_is_proved() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        counts = guarded(switch)
        refused = await challenged(phone)
        assert refused.to.tag and not switch.calls
        phone.remote = f"<{URI}>"
        phone.send(phone.invite(URI, body=OFFER, headers=[("Authorization", str(proof(refused)))]))
        session, _ = await switch.arrived()
        session.reject(486)
        phone.send(phone.ack(await phone.receive_response(486)))
        assert counts == {("proving", "challenged"): 1, ("proving", "accepted"): 1}

    play(story)


@pytest.mark.parametrize("account", [Account("them", "wrong"), Account("nobody", "secret")])
def test_who_proves_nothing_right_is_asked_again_and_noted(account: Account) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        counts = guarded(switch)
        refused = await challenged(phone)
        with structlog.testing.capture_logs() as logs:
            phone.send(phone.invite(URI, headers=[("Authorization", str(proof(refused, account)))]))
            again = await phone.receive_response(401)
        assert not strongest(again.headers.all("WWW-Authenticate"))[0].stale
        assert [(entry["event"], entry["trunk"], entry["source"]) for entry in logs] == [
            ("digest_wrong", "proving", "10.0.0.9")
        ]
        assert counts["proving", "wrong"] == 1 and not switch.calls

    play(story)


@pytest.mark.parametrize(("ban_after", "banned"), [(2, 1), (3, 0), (0, 0)])
def test_who_goes_on_guessing_is_banned_where_the_setting_says_so(ban_after: int, banned: int) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        counts = guarded(switch, ban_after=ban_after)
        refused = await challenged(phone)
        for _ in range(2):
            wrong = str(proof(refused, Account("them", "wrong")))
            phone.send(phone.invite(URI, headers=[("Authorization", wrong)]), to=SWITCH)
            refused = await phone.receive_response(401)
        assert (counts["ban", "10.0.0.9"], counts["proving", "banned"]) == (banned, banned)

    play(story)


def test_malformed_credentials_are_answered_400() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        guarded(switch)
        phone.send(phone.invite(URI, headers=[("Authorization", 'Digest realm="softswitch"')]), to=SWITCH)
        await phone.receive_response(400)

    play(story)


def test_a_trunk_that_is_known_by_its_address_is_not_asked_nor_is_anything_but_a_new_call() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        counts = guarded(switch)
        trusted = Peer(wire, ("10.0.0.8", 5060))
        trusted.send(trusted.invite(URI), to=SWITCH)
        session, _ = await switch.arrived()
        session.reject(486)
        trusted.send(trusted.ack(await trusted.receive_response(486)))
        phone.remote, phone.target = f"<{URI}>", URI
        phone.send(phone.request("OPTIONS"), to=SWITCH)
        await phone.receive_response(200)
        assert not counts

    play(story)


def judge(proof: Proof, phone_at: Hop, now: float, account: Account = THEM) -> int:
    """One INVITE with the proof that it was asked for; returns the status, 0 where it may go on."""
    asked = proof(request(), phone_at, now)
    assert asked is not None
    (challenge,) = strongest([line.partition(": ")[2] for line in asked[1][0].split("\r\n")[:-1]])
    made = answer(challenge, account, "INVITE", URI, cnonce="c")
    outcome = proof(request(("Authorization", str(made))), phone_at, now)
    return 0 if outcome is None else outcome[0]


def request(*headers: tuple[str, str]) -> SipRequest:
    return SipRequest("INVITE", URI, Headers(headers))


def test_a_trunk_is_believed_for_an_hour_after_each_right_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softswitch.interconnect.proof.REMEMBERED", 1)
    proof = Proof(
        lambda hop: TRUNKS.trunks["proving" if hop.host != "10.0.0.8" else "trusted"],
        Challenger(b"secret", lambda: "salt"),
        lambda trunk, verdict: None,
        ban=pytest.fail,
    )
    phone, other = Hop("udp", "10.0.0.9", 5060), Hop("udp", "10.0.0.7", 5060)
    assert not proof.unproved(Hop("udp", "10.0.0.8", 5060), 0.0)
    assert proof.unproved(phone, 0.0)
    assert judge(proof, phone, 0.0, Account("them", "wrong")) == 401
    assert proof.unproved(phone, 0.0)
    assert judge(proof, phone, 10.0) == 0
    assert not proof.unproved(phone, 3609.9)
    assert proof.unproved(phone, 3610.0)
    assert judge(proof, other, 20.0) == 0
    assert proof.unproved(phone, 21.0), "only so many are remembered"


def test_all_addresses_of_an_ipv6_network_guess_as_one() -> None:
    """Who has one of them has 2**64."""
    banned: list[str] = []
    proof = Proof(
        lambda hop: TRUNKS.trunks["proving"],
        Challenger(b"secret", lambda: "salt"),
        lambda trunk, verdict: None,
        ban=banned.append,
        ban_after=3,
    )
    for number in range(3):
        judge(proof, Hop("udp", f"2001:db8::{number}", 5060), float(number), Account("them", "wrong"))
    assert banned == ["2001:db8::2"]
    assert judge(proof, Hop("udp", "2001:db8::9", 5060), 2.5) == 403, "it has to wait"
