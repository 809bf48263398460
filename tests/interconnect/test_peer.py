"""How a trunk's far end is addressed (RFC 3261 8.1.1, 19.1)."""

from __future__ import annotations

from typing import Any

import pytest

from softswitch.interconnect.peer import Peer
from softswitch.sip.addresses import Hop
from softswitch.sip.message import SipResponse
from tests.support.virtual_time import run


class Agent:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def request(self, hop: Hop, method: str, **rest: Any) -> SipResponse:
        self.asked.append({"hop": hop, "method": method, **rest})
        return SipResponse(200, "OK")


@pytest.mark.parametrize(
    ("hop", "uri"),
    [
        (Hop("udp", "192.0.2.1", 5060), "sip:192.0.2.1:5060"),
        (Hop("tcp", "2001:db8::1", 5080), "sip:[2001:db8::1]:5080;transport=tcp"),
        (Hop("tls", "sip.example.com", 5061), "sip:sip.example.com:5061;transport=tls"),
    ],
)
def test_its_uri_names_host_port_and_transport(hop: Hop, uri: str) -> None:
    assert Peer("p", hop, "sip:us@here", Agent()).uri == uri  # type: ignore[arg-type]


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
