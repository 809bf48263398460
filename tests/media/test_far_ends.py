"""Far ends of every kind at the real media server: other packet lengths, behind NAT, strangers in between, floods."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Sequence

import pytest

from softswitch.errors import MediaError
from softswitch.interfaces import RtpRemote
from tests.media.phone import Packet, Phone, rtp, tone, wait_for_seconds, wait_until, wav
from tests.media.support import room, run
from tests.support.loopback import HOST

pytestmark = pytest.mark.real_time


def assert_gapless(packets: Sequence[Packet]) -> None:
    """Each stands behind the one before, by number and by the time that it lasts."""
    for before, after in itertools.pairwise(packets):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == len(before.payload)


async def talk_in(phone: Phone, codes: bytes, samples: int) -> None:
    """Send `codes` in packets of `samples`, on their grid."""
    start = asyncio.get_running_loop().time()
    for at in range(0, len(codes), samples):
        await wait_until(start + at / 8000)
        phone.send(phone.frame(codes[at : at + samples]))


@pytest.mark.parametrize(("ptime", "other"), [(10, 60), (30, 20), (40, 50)])
def test_sides_that_want_packets_of_another_length_hear_all_of_each_other(ptime: int, other: int) -> None:
    """RFC 3264 5.1: ptime is what its writer would like to receive."""

    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(ptime_ms=ptime), await place.leg(ptime_ms=other)
            await place.connect(a, b)
            codes = tone(400, 0.6)
            await asyncio.gather(talk_in(anna, codes, 8 * ptime), talk_in(bert, codes, 8 * other))
            await bert.wait_for(lambda: len(bert.heard) == 600 // other)
            await anna.wait_for(lambda: len(anna.heard) == 600 // ptime)
            for phone, length in ((anna, ptime), (bert, other)):
                assert {len(packet.payload) for packet in phone.heard} == {8 * length}
                assert phone.audio() == codes
                assert_gapless(phone.heard)

    run(story)


def test_prompts_are_sent_in_the_length_that_is_asked_for() -> None:
    async def story() -> None:
        async with room() as place:
            anna, a = await place.leg(ptime_ms=30)
            (report,) = await place.driver.play([a], [wav(place.folder / "a.wav", tone(700, 0.6))]).finished
            await anna.wait_for(lambda: len(anna.heard) == 20)
            assert {len(packet.payload) for packet in anna.heard} == {240}
            assert anna.audio() == tone(700, 0.6)
            assert_gapless(anna.heard)
            assert (report.frames, report.first_timestamp) == (30, anna.heard[0].timestamp)

    run(story)


def test_behind_nat_the_far_end_is_followed_and_a_stranger_gets_nothing() -> None:
    """Symmetric RTP (RFC 4961): SDP named a port that nobody sends from. Who sprays it hears nothing (RTP bleed)."""

    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(nat=True), await place.leg()
            await place.connect(a, b)
            outside, stranger = Phone.bind(), Phone.bind()
            place.phones += [outside, stranger]
            outside.target = stranger.target = anna.target
            stranger.ssrc, stranger.sequence = 0x9999, 7000
            await outside.talk(tone(400, 0.1))
            flood = asyncio.gather(outside.talk(tone(400, 0.4)), stranger.talk(tone(1500, 0.4)))
            await bert.talk(tone(900, 0.4))
            await flood
            await outside.wait_for(lambda: len(outside.heard) == 20)
            assert anna.heard == stranger.heard == []
            a.close()
            statistics = await a.statistics
            assert statistics.packets_received == 23  # two had to prove the third
            assert statistics.packets_from_strangers == 22
            assert len(bert.heard) == 23

    run(story)


def test_who_was_at_the_port_before_the_phone_gives_way_to_the_host_that_sip_comes_from() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(nat=True, signalling="127.0.0.3"), await place.leg()
            await place.connect(a, b)
            outside, stranger = Phone.bind(host="127.0.0.3"), Phone.bind(host="127.0.0.2")
            place.phones += [outside, stranger]
            outside.target = stranger.target = anna.target
            stranger.ssrc, stranger.sequence = 0x9999, 7000
            flood = asyncio.create_task(stranger.talk(tone(1500, 1.0)))
            await wait_for_seconds(0.5)
            await outside.talk(tone(400, 0.2))
            await flood
            await bert.talk(tone(900, 0.2))
            await outside.wait_for(lambda: len(outside.heard) == 10)
            assert stranger.heard == []

    run(story)


@pytest.mark.parametrize("io", ["epoll", "auto"])
def test_a_flood_of_one_port_harms_no_other_call(io: str) -> None:
    async def story() -> None:
        async with room(io=io) as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            _, victim = await place.leg()
            await place.connect(a, b)
            stranger = Phone.bind()
            place.phones.append(stranger)
            stranger.target = (victim.address, victim.port)
            packet = rtp(1, 1, alaw_silence())
            talk = asyncio.gather(anna.talk(tone(400, 1.0)), bert.talk(tone(900, 1.0)))
            began_at = asyncio.get_running_loop().time()
            while not talk.done():
                for _ in range(200):
                    stranger.send(packet)
                await wait_for_seconds(0.002)
            await bert.wait_for(lambda: len(bert.heard) == 50)
            await anna.wait_for(lambda: len(anna.heard) == 50)
            victim.close()
            lasted_s = asyncio.get_running_loop().time() - began_at
            assert 500 < (await victim.statistics).packets_from_strangers < 10_000 * lasted_s  # of some 70,000 a second

    run(story)


def alaw_silence() -> bytes:
    """20 ms of it."""
    return b"\xd5" * 160


def test_a_far_end_that_sends_too_fast_is_heard_at_the_highest_rate() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            await place.connect(a, b)
            for _ in range(8):
                for _ in range(100):
                    anna.send(anna.frame(alaw_silence()))
                await wait_for_seconds(0.005)
            await wait_for_seconds(0.3)
            a.close()
            statistics = await a.statistics
            assert statistics.packets_excess > 100
            assert len(bert.heard) == statistics.packets_received < 700

    run(story)


def test_extensions_csrcs_and_padding_are_taken_off_and_floods_of_them_dropped() -> None:
    """RFC 3550 5.1, 5.3.1: what goes out has none of them."""

    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            await place.connect(a, b)
            voice = tone(400, 0.02)
            header = struct.pack("!HII", 1, 160, anna.ssrc)
            anna.send(b"\x9f\x08" + header + bytes(60) + struct.pack("!HH", 0xBEDE, 200) + bytes(800) + voice)
            anna.send(b"\xa0\x08" + struct.pack("!HII", 2, 320, anna.ssrc) + voice + b"\0\0\0\4")
            await bert.wait_for(lambda: len(bert.heard) == 2)
            assert [packet.payload for packet in bert.heard] == [voice, voice]
            for _ in range(50):
                anna.send(b"\x9f\x08" + header + bytes(60) + struct.pack("!HH", 0xBEDE, 0xFFFF) + bytes(1300))
            await wait_for_seconds(0.1)
            a.close()
            assert (await a.statistics).packets_dropped == 50

    run(story)


@pytest.mark.parametrize("mux", [False, True])
def test_reports_reach_the_far_end_on_the_port_it_named_or_on_that_of_its_rtp(mux: bool) -> None:
    """RFC 3605 a=rtcp and RFC 5761 a=rtcp-mux; the end is told by a BYE (RFC 3550 6.3.7)."""

    async def story() -> None:
        async with room() as place:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
                far.setblocking(False)
                far.bind(("127.0.0.1", 0))
                port = far.getsockname()[1]
                a = await place.driver.open_endpoint("call")
                if mux:
                    a.configure(RtpRemote("127.0.0.1", port, 8, None, rtcp_mux=True))
                else:
                    a.configure(RtpRemote("127.0.0.1", 9, 8, None, rtcp_port=port))
                await place.driver.play([a], [wav(place.folder / "a.wav", tone(700, 0.02))]).finished
                a.close()
                await a.statistics
                heard = [await asyncio.get_running_loop().sock_recv(far, 2048) for _ in range(1 + mux)]
                report = heard[-1]
                assert report[:2] == b"\x80\xc8"  # a sender report without blocks: nothing was received
                assert report[-8:-4] == b"\x81\xcb\x00\x01"
                assert report[-4:] == report[4:8]

    run(story)


@pytest.mark.parametrize("io", ["epoll", "auto"])
def test_talk_crosses_from_ipv6_to_ipv4_and_back(io: str) -> None:
    async def story() -> None:
        async with room(io=io) as place:
            (anna, a), (bert, b) = await place.leg(ipv6=True), await place.leg()
            assert (a.address, b.address) == ("::1", HOST)
            await place.connect(a, b)
            await asyncio.gather(anna.talk(tone(400, 0.2)), bert.talk(tone(900, 0.2)))
            await bert.wait_for(lambda: bert.audio() == tone(400, 0.2))
            await anna.wait_for(lambda: anna.audio() == tone(900, 0.2))
            a.close()
            assert (await a.statistics).packets_received == 10

    run(story)


async def readable(far: socket.socket) -> None:
    """Until there is something to be read: io_uring may send a moment after the end of a prompt is told."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(far, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(far)


@pytest.mark.parametrize("ipv6", [False, True])
def test_what_is_sent_bears_its_mark(ipv6: bool) -> None:
    """RFC 2474: DSCP stands in the upper six bits; EF is 46 (RFC 3246)."""

    async def story() -> None:
        async with room(dscp=46) as place:
            family = socket.AF_INET6 if ipv6 else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as far:
                far.setblocking(False)
                far.bind(("::1" if ipv6 else "127.0.0.1", 0))
                if ipv6:
                    far.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
                else:
                    far.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
                a = await place.driver.open_endpoint("call", ipv6=ipv6)
                host, port, *_ = far.getsockname()
                a.configure(RtpRemote(host, port, 8, None))
                await place.driver.play([a], [wav(place.folder / "a.wav", tone(700, 0.02))]).finished
                await readable(far)
                _, ancillary, *_ = far.recvmsg(2048, 64)
                assert [data[0] for _, _, data in ancillary] == [46 << 2]

    run(story)


def test_ports_that_have_run_out_are_told_and_counted() -> None:
    async def story() -> None:
        async with room(pairs=1) as place:
            await place.leg()
            with pytest.raises(MediaError, match=f"no free RTP port pair in 31000-31001 on {HOST}"):
                await place.driver.open_endpoint("second")
            async with asyncio.timeout(25):
                while not place.driver.totals.ports_exhausted:
                    await wait_for_seconds(0.05)
            assert place.driver.totals.ports_free == 1  # that of IPv6

    run(story)
