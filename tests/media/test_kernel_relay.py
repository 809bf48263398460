"""Streams that the kernel passes on: whatever comes in between, nobody can tell who has passed on what.

On loopback, with the real program in the kernel; skipped where that is not permitted, or kernel or build are too old.
How it goes from one machine to another is in test_kernel_relay_ways.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import pytest

from media import _native
from softswitch.interfaces import MediaEndpoint
from tests.media.phone import Packet, Phone, key, rtp, tone, wait_for_seconds, wait_until, wav
from tests.media.support import Room, obeyed, remote, room, run

FRAME_S = 0.02
EVENT = 101


def refusal() -> str:
    """Why the kernel takes no streams here; empty where it does."""
    try:
        _native.KernelRelay(1)
    except OSError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.real_time, pytest.mark.skipif(bool(refusal()), reason=refusal())]


@dataclass(slots=True)
class Call:
    """Anna and Bert, joined, and both their streams in the kernel."""

    place: Room
    anna: Phone
    a: MediaEndpoint
    bert: Phone
    b: MediaEndpoint
    said: dict[bytes, int]  # Anna's payloads, by their number
    due_at: float = 0.0  # her next packet

    def frames(self, count: int) -> list[bytes]:
        """As many of Anna's, each unlike all others."""
        made = [struct.pack("!I", len(self.said) + number) * 40 for number in range(count)]
        self.said.update({payload: len(self.said) + number for number, payload in enumerate(made)})
        return made

    async def say(self, packets: Sequence[bytes]) -> None:
        """Anna sends them, 20 ms apart, and from the one before, if that is not longer ago."""
        self.due_at = max(self.due_at, asyncio.get_running_loop().time())
        for packet in packets:
            await wait_until(self.due_at)
            self.anna.send(packet)
            self.due_at += FRAME_S

    async def talk(self, count: int) -> None:
        """Anna says so much that is ordinary."""
        await self.say([self.anna.frame(payload) for payload in self.frames(count)])

    async def steady(self) -> None:
        """Anna says so much that the kernel gets her stream; and it has it, so that her next finds no socket."""
        await self.talk(10)
        await obeyed(self.place.driver, self.place.folder)

    async def in_kernel(self, streams: int) -> None:
        """Until the media server tells that so many are there: it tells each second what was."""
        seen = self.place.driver.totals
        async with asyncio.timeout(10):
            while seen is self.place.driver.totals or self.place.driver.totals.kernel_streams != streams:
                await wait_for_seconds(FRAME_S)

    async def heard(self, count: int) -> list[Packet]:
        """What Bert has of it, once it is so much."""
        await self.bert.wait_for(lambda: len(self.bert.heard) >= count)
        return self.bert.heard


@contextlib.asynccontextmanager
async def call(**how: object) -> AsyncIterator[Call]:
    """Both have said 20 packets: the kernel has had their streams since the tenth."""
    async with room(kernel=True, **how) as place:  # type: ignore[arg-type]
        (anna, a), (bert, b) = await place.leg(), await place.leg()
        await place.connect(a, b)
        made = Call(place, anna, a, bert, b, {})
        for _ in range(2):
            await asyncio.gather(made.steady(), bert.talk(tone(400, 0.2)))
            await obeyed(place.driver, place.folder)  # Bert's too
        yield made


def assert_as_said(call: Call, packets: Sequence[Packet]) -> None:
    """Each packet is behind the one before by as many numbers, and as much time, as it was said."""
    told = [(call.said[packet.payload], packet) for packet in packets]
    for (first, before), (second, after) in itertools.pairwise(told):
        assert (after.sequence - before.sequence) & 0xFFFF == (second - first) & 0xFFFF
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == (second - first) * 160 & 0xFFFFFFFF
    assert len({packet.ssrc for packet in packets}) == 1


def assert_in_order(packets: Sequence[Packet]) -> None:
    """One line, of which nothing is missing."""
    assert {(after.sequence - before.sequence) & 0xFFFF for before, after in itertools.pairwise(packets)} == {1}
    assert len({packet.ssrc for packet in packets}) == 1


def told(story: Callable[[Call], Awaitable[None]], **how: object) -> None:
    """Run a story of a call whose streams are in the kernel."""

    async def whole() -> None:
        async with call(**how) as made:
            await story(made)

    run(whole)


async def passed(call: Call) -> int:
    """Packets that the kernel has passed on by now."""
    await obeyed(call.place.driver, call.place.folder)  # and totals that were on their way before the last of them
    before = call.place.driver.totals
    async with asyncio.timeout(10):
        while call.place.driver.totals is before:
            await wait_for_seconds(FRAME_S)
    return call.place.driver.totals.packets_kernel


def test_an_ordinary_stream_is_passed_on_bit_by_bit_and_in_one_line() -> None:
    async def story(call: Call) -> None:
        await call.talk(30)
        heard = await call.heard(50)
        assert [call.said[packet.payload] for packet in heard] == list(range(50))
        assert_as_said(call, heard)
        assert {(packet.payload_type, packet.marker) for packet in heard[1:]} == {(8, False)}
        assert await passed(call) == 40 + 10  # Anna's, Bert's
        call.a.close()
        report = await call.a.statistics
        assert (report.packets_received, report.packets_lost, report.packets_sent) == (50, 0, 20)

    told(story)


def test_it_is_told_of_as_if_it_came_by_a_socket() -> None:
    """RFC 3550 6.4: of what passed in the kernel too."""

    async def story(call: Call) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports:
            reports.bind((call.anna.host, 0))
            reports.setblocking(False)
            call.a.configure(remote(call.anna, rtcp_port=reports.getsockname()[1]))
            talk = asyncio.gather(call.talk(400), call.bert.talk(tone(400, 8.0)))
            async with asyncio.timeout(10):
                report = await loop.sock_recv(reports, 512)
            come, said = len(call.anna.heard), len(call.bert.heard)
            talk.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await talk
        _, kind, _, ssrc = struct.unpack_from("!BBHI", report)
        timestamp, packets, octets = struct.unpack_from("!III", report, 16)
        lost, highest, jitter = struct.unpack_from("!III", report, 32)
        assert (kind, ssrc) == (200, call.anna.heard[0].ssrc)
        assert abs(packets - come) <= 2
        assert octets == 160 * packets
        assert abs(timestamp - call.anna.heard[packets - 1].timestamp) <= 2 * 160
        assert lost == 0
        assert abs((highest & 0xFFFF) - (1000 + said - 1)) <= 2
        assert jitter < 80  # samples
        assert await passed(call) > (come + said) // 2

    told(story)


def test_a_key_is_passed_on_once_and_the_talk_is_the_kernels_again() -> None:
    async def story(call: Call) -> None:
        at = call.anna.timestamp
        presses: list[bytes] = []
        digits: list[str] = []
        call.a.on_digit = digits.append
        for number in range(6):
            payload = key(5, 160 * (number + 1), end=number > 3)
            presses.append(
                rtp(call.anna.sequence, at, payload, payload_type=EVENT, ssrc=call.anna.ssrc, marker=not number)
            )
            call.anna.sequence += 1
        await call.say(presses)
        call.anna.timestamp += 6 * 160
        await call.steady()
        await call.talk(10)
        heard = await call.heard(46)
        assert [packet.payload_type for packet in heard[20:26]] == [EVENT] * 6
        assert len({packet.timestamp for packet in heard[20:26]}) == 1
        assert_in_order(heard)
        talk = [packet for packet in heard if packet.payload_type == 8]
        assert (talk[20].timestamp - talk[19].timestamp) & 0xFFFFFFFF == 7 * 160
        assert digits == ["5"]
        assert await passed(call) == 10 + 10 + 10
        call.a.close()
        assert (await call.a.statistics).packets_received == 46

    told(story)


def test_a_prompt_takes_the_place_of_the_talk_and_gives_it_back() -> None:
    async def story(call: Call) -> None:
        async def prompt() -> None:
            await wait_for_seconds(0.1)
            await call.place.driver.play([call.b], [wav(call.place.folder / "p.wav", tone(700, 0.4))]).finished

        await asyncio.gather(call.talk(50), prompt())
        await call.bert.wait_for(lambda: call.said.get(call.bert.heard[-1].payload) == 69)
        heard = call.bert.heard
        assert_in_order(heard)
        assert b"".join(packet.payload for packet in heard if packet.payload not in call.said) == tone(700, 0.4)
        numbers = [call.said[packet.payload] for packet in heard if packet.payload in call.said]
        assert numbers == sorted(numbers)
        assert 18 <= 70 - len(numbers) <= 22
        assert await passed(call) > 10 + 10 + 10

    told(story)


def test_what_is_lost_doubled_or_late_is_counted_and_numbered_as_it_was() -> None:
    async def story(call: Call) -> None:
        packets = [call.anna.frame(payload) for payload in call.frames(60)]
        lost = {5, 6, 40}
        packets[20], packets[21] = packets[21], packets[20]
        packets.insert(31, packets[30])
        order = [packet for number, packet in enumerate(packets) if number not in lost]
        await call.say(order)
        heard = await call.heard(20 + len(order))
        assert [packet.payload for packet in heard[20:]] == [packet[12:] for packet in order]
        assert_as_said(call, heard)
        call.a.close()
        report = await call.a.statistics
        assert (report.packets_received, report.packets_lost) == (20 + len(order), 3 - 1)  # one came twice
        assert await passed(call) > 10 + 10 + 15

    told(story)


def test_another_source_begins_behind_the_one_before() -> None:
    async def story(call: Call) -> None:
        call.anna.ssrc, call.anna.sequence, call.anna.timestamp = 0x777, 9, 0xFFFFFF00
        await call.steady()
        await call.talk(30)
        heard = await call.heard(60)
        assert_in_order(heard)
        assert heard[20].marker
        assert_as_said(call, heard[20:])
        assert await passed(call) == 10 + 10 + 30

    told(story)


def test_a_stranger_gets_nothing_and_stops_nothing() -> None:
    async def story(call: Call) -> None:
        stranger = Phone.bind()
        call.place.phones.append(stranger)
        stranger.target = call.anna.target

        async def disturb() -> None:
            for number in range(30):
                await wait_for_seconds(FRAME_S)
                stranger.send(rtp(call.anna.sequence, call.anna.timestamp, bytes([number]) * 160, ssrc=call.anna.ssrc))

        await asyncio.gather(call.talk(40), disturb())
        heard = await call.heard(60)
        assert [call.said[packet.payload] for packet in heard] == list(range(60))
        assert await passed(call) == 50 + 10
        assert not stranger.heard
        call.a.close()
        assert (await call.a.statistics).packets_from_strangers == 30

    told(story)


def test_who_falls_silent_is_missed_though_no_socket_has_heard_it() -> None:
    async def story(call: Call) -> None:
        loop = asyncio.get_running_loop()
        silent: asyncio.Future[float] = loop.create_future()

        def tell(gone: bool) -> None:
            assert gone
            silent.set_result(loop.time())

        call.a.on_silence = tell
        await call.talk(75)  # longer than it may be silent
        assert not silent.done()
        until = loop.time()
        assert await asyncio.wait_for(silent, 10) - until > 0.7

    told(story, silence_s=1.0)


def test_what_is_recorded_is_passed_on_and_recorded_whole() -> None:
    async def story(call: Call) -> None:
        path = call.place.folder / "r.wav"
        recording = call.place.driver.record(str(path), call.a, call.b)
        recording.voices()
        await obeyed(call.place.driver, call.place.folder)
        await call.steady()
        await call.talk(43)  # the last ones are cut off at the close, by as much as the first was long in coming
        await call.heard(73)
        recording.close()
        await recording.finished
        kept = path.read_bytes()
        assert all(payload in kept for payload, number in call.said.items() if 20 <= number < 70)
        assert await passed(call) == 10 + 10 + 43

    told(story)


def test_who_is_parted_is_passed_on_no_more() -> None:
    async def story(call: Call) -> None:
        call.place.driver.disconnect(call.a, call.b)
        await obeyed(call.place.driver, call.place.folder)
        await call.talk(30)
        await call.in_kernel(0)
        assert len(call.bert.heard) == 20
        await call.place.connect(call.a, call.b)
        await call.talk(30)
        heard = await call.heard(50)
        assert_as_said(call, heard)

    told(story)


def test_a_far_end_that_moves_is_followed() -> None:
    """Bert's side, by a re-INVITE, while Anna's stream is in the kernel."""

    async def story(call: Call) -> None:
        elsewhere = Phone.bind(host="127.0.0.5")
        call.place.phones.append(elsewhere)
        call.b.configure(remote(elsewhere))
        await obeyed(call.place.driver, call.place.folder)
        await call.steady()
        await call.talk(30)
        await elsewhere.wait_for(lambda: len(elsewhere.heard) == 40)
        assert len(call.bert.heard) == 20
        assert (elsewhere.heard[0].sequence - call.bert.heard[-1].sequence) & 0xFFFF == 1
        assert await passed(call) == 10 + 10 + 30

    told(story)


def test_it_leaves_with_the_server() -> None:
    """Nothing is attached any more, and nothing passed on."""

    async def story(_: Call) -> None:
        assert len(attached()) == _native.KernelRelay(1).interfaces

    before = attached()
    told(story)
    assert attached() == before


def attached() -> list[int]:
    """Links of programs that this process holds."""
    held = []
    for descriptor in os.listdir("/proc/self/fdinfo"):
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as file:
            if "link_type:\ttcx" in file.read():
                held.append(int(descriptor))
    return held
