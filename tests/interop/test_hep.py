"""HEP3 (Homer): what Kamailio's sipcapture reads of our packets is what went over the wire, of both legs."""

from __future__ import annotations

import time

import pytest

from demo.phone import Phone
from demo.switch_process import wait_until
from tests.interop.collector import AGENT, KEY, Captured
from tests.interop.rig import SETTLE_S, Call, Rig
from tests.interop.world import LINES

pytestmark = [pytest.mark.interop, pytest.mark.phones]

AF_INET, SIP = 2, 1
IP_PROTOCOLS = {"udp": 17, "tcp": 6, "tls": 6}


@pytest.mark.parametrize("line", IP_PROTOCOLS)
def test_a_collector_of_others_reads_every_message_of_both_legs(
    rig: Rig, phones: tuple[Phone, Phone], line: str
) -> None:
    call, began = Call(rig, LINES[line], *phones), time.time()
    call.connect()
    call.caller.hang_up()
    call.over()
    legs = [call.wait_to_pass(proxy, "BYE", source).call_id
            for proxy, source in ((rig.front, rig.network.caller), (rig.behind, rig.network.switch))]  # fmt: skip

    def captured() -> list[Captured]:
        return rig.collector.captured(legs[0])

    def complete() -> bool:
        ended = {one.call_id for one in captured() if one.name == "200" and one.method == "BYE"}
        return ended == {*legs} and sent_to_proxies(call, legs) <= {one.text for one in captured()}

    assert wait_until(complete, SETTLE_S)
    for one in captured():
        assert (one.version, one.family, one.protocol) == (3, AF_INET, IP_PROTOCOLS[line])
        assert (one.kind, one.agent, one.key) == (SIP, AGENT, KEY)
        ours, theirs = sorted(
            (one.source, one.destination), key=lambda end: not end.startswith(f"{rig.network.switch}:")
        )
        assert ours == f"{rig.network.switch}:{5061 if line == 'tls' else 5060}"
        assert theirs.rpartition(":")[0] == (rig.network.front if one.call_id == legs[0] else rig.network.behind)
        assert began - 1 <= one.at <= time.time() + 1
    assert {one.call_id for one in captured()} == {*legs}
    invites = [one.call_id for one in captured() if one.name == "INVITE"]  # repeated ones too
    assert list(dict.fromkeys(invites)) == legs


def sent_to_proxies(call: Call, legs: list[str]) -> set[str]:
    """Every message of ours that the proxies saw in these legs, byte by byte."""
    switch = call.rig.network.switch
    passed = [one for proxy in (call.rig.front, call.rig.behind) for one in call.saw(proxy, source=switch)]
    return {one.text for one in passed if one.call_id in legs}
