"""Blank lines in front of a message (RFC 3261 7.5) take it past no limit of the user agent."""

from __future__ import annotations

import pytest

from softswitch.sip.addresses import Hop
from softswitch.sip.glance import HEADER_COUNT_LIMIT
from softswitch.sip.overload import Overload, OverloadLimits
from softswitch.sip.strangers import Strangers
from tests.support.peer import Peer
from tests.support.recorder import PHONE, Switch, play
from tests.support.wire import Wire

URI = "sip:100@10.0.0.1"
BLANK = [b"\r\n", b"\r\n" * 4, b"\n", b"\r"]


@pytest.mark.parametrize("blank", BLANK)
def test_a_new_call_is_one_behind_blank_lines_too(blank: bytes) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        switch.agent._receive(blank + phone.invite(URI).encode(), Hop("udp", *PHONE), 0)
        await phone.receive_response(503)
        assert switch.agent.entrance.counts == {"calls": 1}

    play(story, overload=Overload(OverloadLimits(calls=1), lambda: 1))


@pytest.mark.parametrize("blank", BLANK)
def test_headers_are_counted_behind_blank_lines_too(blank: bytes) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        long = phone.request("OPTIONS", headers=[("X", "y" * 20)] * HEADER_COUNT_LIMIT).encode()
        switch.agent._receive(blank + long, Hop("udp", *PHONE), 0)
        await phone.receive_response(400)
        assert switch.agent.entrance.counts == {"too_large": 1}
        assert not switch.agent.counts["in", "OPTIONS", 0]

    play(story)


@pytest.mark.parametrize("blank", BLANK)
def test_a_scanner_is_one_behind_blank_lines_too(blank: bytes) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        switch.agent.accept_source = lambda source: None
        scan = phone.request("OPTIONS", headers=[("User-Agent", "friendly-scanner")]).encode()
        switch.agent._receive(blank + scan, Hop("udp", *PHONE), 0)
        assert [why for _, why, _ in switch.agent.bans()] == ["scanner"]

    play(story, strangers=Strangers())


@pytest.mark.parametrize("blank", BLANK)
def test_blank_lines_alone_are_nothing(blank: bytes) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        switch.agent._receive(blank * 9, Hop("udp", *PHONE), 0)
        await phone.silence(1)
        assert not switch.agent.entrance.counts
        assert not switch.agent.core.malformed

    play(story, strangers=Strangers())
