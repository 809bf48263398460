"""How many connections are taken, of whom, and what the log says of the others: over real loopback sockets, and alone.

Limits in all, of one source and of strangers (stream_transport.py).
"""

from __future__ import annotations

import asyncio
import functools

import pytest

from softswitch.sip.addresses import Hop, Listener
from softswitch.sip.connection import Connection
from softswitch.sip.log_pace import LOG_EVERY_S
from softswitch.sip.stream_transport import StreamLimits, StreamTransport
from tests.support.streams import LOOPS, PATIENCE_S, Bench, Loop, gone, open_now, play


@LOOPS
def test_connections_are_limited_in_all_and_for_each_source(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open(Listener("0.0.0.0", 0, "tcp"))
        sources = ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3")
        peers = [await bench.peer(local_addr=(source, 0)) for source in sources]
        assert await gone(peers[2][0])
        assert await gone(peers[4][0])
        assert bench.counts == {"accepted": 3, "refused": 2}
        peers[0][1].close()
        await bench.until(lambda: open_now(bench) == 2)
        await bench.peer()
        await bench.until(lambda: open_now(bench) == 3)

    play(story, loop, connections=3, per_source=2)


def has_counted(bench: Bench, number: int) -> bool:
    return bench.counts.total() == number


@LOOPS
def test_strangers_leave_room_for_trunks(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open(Listener("0.0.0.0", 0, "tcp"))
        bench.strangers = {"127.0.0.1": 0.5, "127.0.0.2": 0.0}
        sources = ["127.0.0.1"] * 3 + ["127.0.0.2"] + ["127.0.0.3"] * 3
        for number, source in enumerate(sources, 1):
            await bench.peer(local_addr=(source, 0))
            await bench.until(functools.partial(has_counted, bench, number))
        assert bench.counts == {"accepted": 4, "refused": 3}
        streams = bench.transport.streams
        assert [one.source.host for one in streams._connections.values()] == ["127.0.0.1"] * 2 + ["127.0.0.3"] * 2

    play(story, loop, connections=4)


def nowhere(*what: object) -> None:
    """Nothing comes."""


def test_an_ipv6_source_is_its_64_bits_of_network_and_gets_its_places_back() -> None:
    """One attacker has 2**64 addresses."""

    async def story() -> None:
        streams = StreamTransport(nowhere, nowhere, limits=StreamLimits(per_source=2))
        hops = [Hop("tcp", f"2001:db8:0:1::{number:x}", 5060) for number in range(5)]
        assert [bool(streams._admit(hop)) for hop in hops] == [True, True, False, False, False]
        assert streams._admit(Hop("tcp", "2001:db8:0:2::1", 5060))
        leaving = Connection(streams, 1, hops[0], 0, accepted=True)
        leaving.admitted = "2001:db8:0:1::/64"
        streams._leave(leaving)
        streams._leave(leaving)  # once is enough
        assert [bool(streams._admit(hop)) for hop in hops] == [True, False, False, False, False]

    asyncio.run(story())


def test_a_trunks_neighbours_in_its_64_bits_take_no_place_of_it() -> None:
    """There are hosters whose customers share one /64."""

    async def story() -> None:
        shares = {"2001:db8:0:1::a": 1.0}
        streams = StreamTransport(
            nowhere, nowhere, limits=StreamLimits(per_source=2), room_for=lambda hop: shares.get(hop.host, 0.5)
        )
        trunk, *others = [Hop("tcp", f"2001:db8:0:1::{name}", 5060) for name in "abcd"]
        assert [bool(streams._admit(hop)) for hop in others] == [True, True, False]
        assert [bool(streams._admit(trunk)) for _ in range(3)] == [True, True, False]
        leaving = Connection(streams, 1, others[0], 0, accepted=True)
        leaving.admitted = "2001:db8:0:1::/64 as a stranger"
        shares.clear()  # whatever they are by then
        streams._leave(leaving)
        assert [bool(streams._admit(hop)) for hop in others] == [True, False, False]

    asyncio.run(story())


@LOOPS
def test_however_many_connections_are_refused_the_log_has_a_line_in_ten_seconds(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        bench.strangers["127.0.0.1"] = 0.0
        for _ in range(20):
            await bench.peer()
        await bench.until(lambda: bench.counts["refused"] == 20)
        told = [record.getMessage() for record in caplog.records if "too many connections" in record.getMessage()]
        assert told[0].endswith("of 127.0.0.1 as a stranger (connections refused: 1 since the last line)")
        assert len(told) <= 1 + PATIENCE_S // LOG_EVERY_S

    play(story, loop)


@LOOPS
def test_who_is_banned_can_neither_connect_nor_stay(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open(Listener("0.0.0.0", 0, "tcp"))
        staying, _ = await bench.peer(local_addr=("127.0.0.1", 0))
        leaving, _ = await bench.peer(local_addr=("127.0.0.2", 0))
        await bench.until(lambda: open_now(bench) == 2)
        bench.unwelcome.add("127.0.0.2")
        coming, _ = await bench.peer(local_addr=("127.0.0.2", 0))
        assert await gone(coming)
        bench.transport.streams.sweep(asyncio.get_running_loop().time())
        assert await gone(leaving)
        assert not staying.at_eof()
        assert bench.counts == {"accepted": 2, "banned": 2}
        assert open_now(bench) == 1

    play(story, loop)
