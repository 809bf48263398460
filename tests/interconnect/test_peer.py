"""How a trunk's far end is addressed (RFC 3261 8.1.1, 19.1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from softswitch.interconnect.peer import Peer
from softswitch.sip.addresses import Hop
from softswitch.sip.message import Headers, SipResponse
from tests.support.virtual_time import run


class Agent:
    """Notes what is asked of it; answers 200, or by `statuses` of hosts (0: not at all)."""

    def __init__(self, **statuses: int) -> None:
        self.asked: list[dict[str, Any]] = []
        self.statuses = statuses

    async def request(self, hop: Hop, method: str, **rest: Any) -> SipResponse:
        self.asked.append({"hop": hop, "method": method, **rest})
        status = self.statuses.get(hop.host, 200)
        if not status:
            await asyncio.sleep(100)
        return SipResponse(status, "", Headers([("Retry-After", "200")] if status == 503 else []))


@pytest.mark.parametrize(
    ("hop", "uri"),
    [
        (Hop("udp", "192.0.2.1", 5060), "sip:192.0.2.1:5060"),
        (Hop("tcp", "2001:db8::1", 5080), "sip:[2001:db8::1]:5080;transport=tcp"),
        (Hop("tls", "sip.example.com", 5061), "sip:sip.example.com:5061;transport=tls"),
        (Hop("auto", "sip.example.com", 0), "sip:sip.example.com"),
    ],
)
def test_its_uri_names_host_port_and_transport(hop: Hop, uri: str) -> None:
    assert Peer("p", hop, "sip:us@here", Agent()).uri == uri  # type: ignore[arg-type]


def test_its_uri_is_of_the_domain_that_its_proxy_serves() -> None:
    peer = Peer("p", Hop("tcp", "192.0.2.1", 5080), "sip:us@here", Agent(), uri_host="ims.example")  # type: ignore[arg-type]
    assert peer.uri == "sip:ims.example"


def test_its_certificate_must_name_what_the_trunk_says_where_that_is_not_its_host() -> None:
    """RFC 5922 7.2."""
    agent = Agent()
    for name in ("", "sbc.example"):
        hop = Hop("tls", "192.0.2.1", 5061)
        run(Peer("p", hop, "sip:us@here", agent, tls_name=name).request("OPTIONS"))  # type: ignore[arg-type]
    assert [asked["hop"].name for asked in agent.asked] == ["", "sbc.example"]


def test_options_are_about_the_peer_and_a_registration_about_ourselves() -> None:
    agent = Agent()
    peer = Peer("p", Hop("udp", "192.0.2.1", 5060), "sip:us@192.0.2.1", agent)  # type: ignore[arg-type]
    run(peer.request("OPTIONS"))
    run(peer.request("REGISTER", contact_user="us", headers=[("Expires", "60")]))
    options, register = agent.asked
    assert (options["from_"], options["to"]) == ("<sip:us@192.0.2.1>", "<sip:192.0.2.1:5060>")
    assert (register["from_"], register["to"]) == ("<sip:us@192.0.2.1>", "<sip:us@192.0.2.1>")
    assert (options["series"], register["series"]) == (None, peer.series)
    assert (register["contact_user"], register["headers"]) == ("us", [("Expires", "60")])


class Addresses:
    """`Locating` of one trunk."""

    def __init__(self, *hosts: str) -> None:
        self.hops = [Hop("udp", host, 5060) for host in hosts]
        self.told: list[str] = []

    async def locate(self, wanted: Hop) -> list[Hop]:
        assert wanted == Hop("auto", "sip.example.com", 0)
        return self.hops

    def answered(self, hop: Hop) -> None:
        self.told.append(f"{hop.host} answered")

    def shuns(self, wanted: Hop) -> bool:
        return False

    def failed(self, hop: Hop, why: str, for_s: float = 0, *, dead: bool = False) -> None:
        self.told.append(f"{hop.host} {why}" + (f" for {for_s} s" if for_s else ""))


def test_the_next_address_is_asked_after_503_and_silence() -> None:
    """RFC 3263 4.3; for how long a 503 says (RFC 3261 21.5.4)."""
    agent, addresses = Agent(busy=503, silent=0, refusing=403), Addresses("busy", "silent", "refusing", "other")
    peer = Peer("p", Hop("auto", "sip.example.com", 0), "sip:us@here", agent, locating=addresses)  # type: ignore[arg-type]
    assert run(peer.request("OPTIONS", patience_s=8)).status == 403
    assert [one["hop"].host for one in agent.asked] == ["busy", "silent", "refusing"]
    assert {one["request_uri"] for one in agent.asked} == {"sip:sip.example.com"}
    assert addresses.told == ["busy OPTIONS: 503 for 200 s", "silent OPTIONS: 408", "refusing answered"]


def test_a_trunk_without_an_address_gets_503() -> None:
    peer = Peer("p", Hop("auto", "sip.example.com", 0), "sip:us@here", Agent(), locating=Addresses())  # type: ignore[arg-type]
    assert run(peer.request("OPTIONS")).status == 503
