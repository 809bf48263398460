"""The media server over real loopback sockets: what phones at its endpoints hear, in which numbers."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import statistics
import struct
from pathlib import Path

import pytest

from media import protocol
from media.engine import Settings
from media.server import MediaServer, ServerSettings
from media.workers import Workers
from softswitch.errors import MediaError
from tests.media.phone import FRAME, Packet, key, loudness, rtp, tone, tones, wait_for_seconds, wav
from tests.media.support import obeyed, remote, room, run

pytestmark = pytest.mark.real_time


def assert_one_line(packets: list[Packet]) -> None:
    """RFC 3550 5.1: one SSRC, sequence numbers without a gap, timestamps that grow by whole frames."""
    assert len({packet.ssrc for packet in packets}) == 1
    for before, after in itertools.pairwise(packets):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        step = (after.timestamp - before.timestamp) & 0xFFFFFFFF
        assert step % FRAME == 0
        assert 0 < step <= 4 * FRAME


@pytest.mark.parametrize("io", ["epoll", "auto"])
def test_talk_passes_both_ways_and_statistics_tell_it(io: str) -> None:
    async def story() -> None:
        async with room(io=io) as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            await place.connect(a, b)
            await asyncio.gather(anna.talk(tone(400, 0.4)), bert.talk(tone(900, 0.4)))
            await bert.wait_for(lambda: len(bert.heard) == 20)
            await anna.wait_for(lambda: len(anna.heard) == 20)
            assert loudness(bert.audio(), 400) > 7000
            assert loudness(anna.audio(), 900) > 7000
            assert loudness(anna.audio(), 400) < 500
            assert_one_line(bert.heard)
            a.close()
            b.close()
            statistics = await a.statistics
            assert (statistics.packets_received, statistics.packets_sent) == (20, 20)
            assert (statistics.packets_lost, statistics.packets_dropped) == (0, 0)

    run(story)


def test_talk_ends_where_two_are_parted() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            await place.connect(a, b)
            await anna.talk(tone(400, 0.1))
            await bert.wait_for(lambda: len(bert.heard) == 5)
            place.driver.disconnect(a, b)
            await obeyed(place.driver, place.folder)
            await anna.talk(tone(400, 0.1))
            await obeyed(place.driver, place.folder)  # what came before is read by then
            a.close()
            assert (await a.statistics).packets_received == 10
            assert len(bert.heard) == 5

    run(story)


def test_numbers_go_on_from_prompt_to_talk_to_mixed_prompt_to_talk() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            hello = wav(place.folder / "hello.wav", tone(1500, 0.2))
            first = place.driver.play([a, b], [hello])
            talk = asyncio.gather(anna.talk(tone(400, 1.0)), bert.talk(tone(900, 1.0)))
            reports = await first.finished
            assert [(report.frames, report.completed) for report in reports] == [(10, True)] * 2
            await bert.wait_for(lambda: len(bert.heard) > 0 and bert.heard[-1].timestamp == reports[1].last_timestamp)
            assert loudness(bert.audio(), 1500) > 7000
            assert loudness(bert.audio(), 400) < 100  # no talk leaks before the announcement ends
            announced = len(bert.heard)
            await place.connect(a, b)
            await wait_for_seconds(0.2)
            mixed = place.driver.play([b], [hello], mix=True)
            (report,) = await mixed.finished
            assert report.completed
            await talk
            await wait_for_seconds(0.05)
            assert_one_line(bert.heard)
            assert_one_line(anna.heard)
            over = [p for p in bert.heard if 0 <= (p.timestamp - report.first_timestamp) & 0xFFFFFFFF < 10 * FRAME]
            audio = b"".join(packet.payload for packet in over)
            assert loudness(audio, 1500) > 6000
            ducked = audio[FRAME : 9 * FRAME]  # down within the first frame, up within the last
            by_frame = [loudness(ducked[at : at + FRAME], 400) for at in range(0, len(ducked), FRAME)]
            talk_level = statistics.median(by_frame)  # one packet of the phone's may have come too late
            assert 20 * math.log10(talk_level / 8000) == pytest.approx(-12, abs=1)
            assert 20 * math.log10(loudness(ducked, 1500) / 8000) == pytest.approx(0, abs=0.5)
            assert bert.heard[0].timestamp == reports[1].first_timestamp
            assert bert.heard[announced - 1].timestamp == reports[1].last_timestamp
            assert bert.heard[announced].marker

    run(story)


def test_prompts_start_together_within_a_frame_and_keep_the_pace() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(payload_type=0)
            one = wav(place.folder / "one.wav", tone(700, 0.21))
            two = wav(place.folder / "two.wav", tone(1100, 0.19))
            asked = asyncio.get_running_loop().time()
            reports = await place.driver.play([a, b], [one, two]).finished
            assert [report.frames for report in reports] == [20, 20]
            assert anna.heard[0].at - asked < 0.025
            assert abs(anna.heard[0].at - bert.heard[0].at) < 0.01
            assert anna.heard[-1].at - anna.heard[0].at == pytest.approx(19 * 0.02, abs=0.01)
            assert {packet.payload_type for packet in bert.heard} == {0}
            assert anna.audio() == tone(700, 0.21) + tone(1100, 0.19)

    run(story)


def test_a_loop_plays_until_it_is_stopped_and_a_new_prompt_takes_over() -> None:
    async def story() -> None:
        async with room() as place:
            anna, a = await place.leg()
            short = wav(place.folder / "short.wav", tone(700, 0.05))
            loop = place.driver.play([a], [short], loop=True)
            await anna.wait_for(lambda: len(anna.heard) >= 10)
            assert anna.audio()[: 3 * 400] == tone(700, 0.05) * 3
            over = place.driver.play([a], [short], loop=True)
            (report,) = await loop.finished
            assert not report.completed
            over.stop()
            over.stop()
            (report,) = await over.finished
            assert not report.completed
            assert_one_line(anna.heard)

    run(story)


def test_a_file_that_cannot_be_played_fails_the_playback() -> None:
    async def story() -> None:
        async with room() as place:
            _, a = await place.leg()
            bad = wav(place.folder / "bad.wav", b"12", tag=1)
            with pytest.raises(MediaError, match="WAVE format is 1, expected 6"):
                await place.driver.play([a], [bad]).finished

    run(story)


def test_pcmu_and_pcma_sides_understand_each_other() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(payload_type=0)
            await place.connect(a, b)
            await anna.talk(tone(400, 0.2))
            await bert.wait_for(lambda: len(bert.heard) == 10)
            assert {packet.payload_type for packet in bert.heard} == {0}
            for packet in bert.heard:
                bert.send(bert.frame(packet.payload, payload_type=0))
            await anna.wait_for(lambda: len(anna.heard) == 10)
            assert loudness(anna.audio(), 400) > 7000

    run(story)


def test_a_key_press_is_told_once_even_if_its_start_and_first_end_are_lost() -> None:
    """RFC 4733 2.5.1.4: the end packet comes three times; section 2.3.1: all with the timestamp of the start."""

    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            digits: asyncio.Queue[str] = asyncio.Queue()
            a.on_digit = digits.put_nowait
            await place.connect(a, b)
            for number, press in enumerate((5, 5, 11)):
                start = 8000 + number * 1600
                whole = [key(press, 160, end=False)] * 3 + [key(press, 480, end=True)] * 3
                for payload in whole if number == 0 else whole[-2:]:
                    anna.send(rtp(anna.sequence, start, payload, payload_type=101))
                    anna.sequence += 1
            await bert.wait_for(lambda: len(bert.heard) == 10)
            assert [await digits.get() for _ in range(3)] == ["5", "5", "#"]
            a.close()
            await a.statistics
            assert digits.empty()
            assert {packet.payload_type for packet in bert.heard} == {101}
            assert [packet.payload[1] >> 7 for packet in bert.heard] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]

    run(story)


def test_keys_are_heard_in_the_audio_where_no_events_were_agreed() -> None:
    """ITU-T Q.23; the other side does not hear them while the two are not connected."""

    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, _) = await place.leg(payload_type=0, telephone_event=None), await place.leg()
            digits: asyncio.Queue[str] = asyncio.Queue()
            a.on_digit = digits.put_nowait
            keyed = b"".join(
                tones(low, high, 0.1) + tone(0, 0.1) for low, high in ((697, 1209), (852, 1477), (941, 1336))
            )
            await anna.talk(keyed)
            assert [await digits.get() for _ in range(3)] == ["1", "9", "0"]
            a.close()
            await a.statistics
            assert digits.empty()
            assert bert.heard == []

    run(story)


def test_digits_are_kept_from_the_peer_where_they_shall_not_pass() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(telephone_event=None)
            digits: asyncio.Queue[str] = asyncio.Queue()
            a.on_digit = digits.put_nowait
            for passing in (False, True):  # the second time only the negotiation forbids it
                await place.connect(a, b, digits=passing)
                bert.heard.clear()
                anna.send(anna.frame(tone(400, 0.02)))
                anna.send(rtp(anna.sequence, anna.timestamp, key(1, 160), payload_type=101))
                anna.sequence += 1
                if not passing:
                    await wait_for_seconds(0.1)  # what sounds beside a key that is kept back is its tone
                anna.send(anna.frame(tone(400, 0.02)))
                await bert.wait_for(lambda: len(bert.heard) == 2)
                assert_one_line(bert.heard)  # what was kept back does not look like loss
            assert [await digits.get() for _ in range(2)] == ["1", "1"]

    run(story)


def test_silence_is_told_once_and_its_end_too_but_never_on_hold() -> None:
    async def story() -> None:
        async with room(silence_s=0.3) as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(receiving=False)
            told: asyncio.Queue[bool] = asyncio.Queue()
            held: list[bool] = []
            a.on_silence, b.on_silence = told.put_nowait, held.append
            assert await told.get()
            anna.send(anna.frame(tone(400, 0.02)))
            assert not await told.get()
            assert await told.get()
            assert held == []
            assert bert.heard == []
            assert a.silent
            assert not b.silent

    run(story)


def test_a_new_far_end_begins_the_silence_time_anew() -> None:
    async def story() -> None:
        async with room(silence_s=0.3) as place:
            anna, a = await place.leg()
            told: asyncio.Queue[bool] = asyncio.Queue()
            a.on_silence = told.put_nowait
            assert await told.get()
            a.configure(remote(anna, receiving=False))
            assert not await told.get()
            assert not a.silent

    run(story)


def test_strangers_and_garbage_are_dropped_and_counted() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            await place.connect(a, b)
            await anna.talk(tone(400, 0.1))
            good = anna.frame(tone(400, 0.02))
            garbage = [
                b"",
                b"\x80",
                good[:11],
                b"\x40" + good[1:],  # version 1
                b"\x8f" + good[1:40],  # 15 CSRCs that are not there
                b"\x90" + good[1:12] + b"\xbe\xde\xff\xff",  # an extension longer than the packet
                b"\xa0" + good[1:171] + b"\xff",  # more padding than packet
                good[:1] + b"\x60" + good[2:],  # payload type 96 was never agreed
            ]
            for data in garbage:
                anna.send(data)
            stranger, _ = await place.leg()
            stranger.target = anna.target
            stranger.send(rtp(1, 1, tone(2000, 0.02), ssrc=99))
            await anna.talk(tone(400, 0.1))
            await bert.wait_for(lambda: len(bert.heard) == 10)
            assert loudness(bert.audio(), 2000) < 100
            a.close()
            assert (await a.statistics).packets_dropped == len(garbage) + 1

    run(story)


def test_late_packets_of_the_last_call_do_not_get_into_the_next_on_the_same_port() -> None:
    async def story() -> None:
        async with room(pairs=2) as place:
            late, last = await place.leg()
            last.close()
            await last.statistics
            (bert, b), (anna, a) = await place.leg(), await place.leg()
            assert a.port == last.port
            await place.connect(a, b)
            await late.talk(tone(2000, 0.2))
            await anna.talk(tone(400, 0.2))
            await bert.wait_for(lambda: len(bert.heard) == 10)
            assert loudness(bert.audio(), 400) > 7000
            assert loudness(bert.audio(), 2000) < 100
            a.close()
            statistics = await a.statistics
            assert (statistics.packets_received, statistics.packets_dropped) == (10, 10)

    run(story)


def test_behind_nat_a_far_end_on_another_port_is_followed() -> None:
    async def story() -> None:
        async with room(nat=True) as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            moved, other = await place.leg()
            await place.connect(a, b)
            other.close()
            moved.target = anna.target
            await moved.talk(tone(400, 0.2))
            await bert.wait_for(lambda: len(bert.heard) == 8)  # the first two proved the third
            await bert.talk(tone(900, 0.1))
            await moved.wait_for(lambda: len(moved.heard) == 5)
            assert anna.heard == []

    run(story)


def test_loss_and_jitter_and_the_far_ends_reports_are_in_the_statistics() -> None:
    """RFC 3550 6.4.2, A.3, A.8."""

    async def story() -> None:
        async with room() as place:
            anna, a = await place.leg()
            hello = wav(place.folder / "hello.wav", tone(1500, 0.1))
            delays = [0.0, 0.015] * 15
            await anna.talk(tone(400, 0.6), delays=delays, lost=(7, 8, 9))
            await place.driver.play([a], [hello]).finished
            block = struct.pack("!IIIIII", anna.heard[0].ssrc, 0x20000004, 5, 80, 0, 0)
            report = struct.pack("!BBHI", 0x81, 201, 7, anna.ssrc) + block
            rtcp = anna.target[0], anna.target[1] + 1
            anna.bound.sendto(b"\x81\xc9\xff\xff" + report[4:], rtcp)  # tells more than there is
            anna.bound.sendto(report, rtcp)
            await wait_for_seconds(0.05)
            a.close()
            statistics = await a.statistics
            assert (statistics.packets_received, statistics.packets_lost) == (27, 3)
            assert statistics.reported
            assert (statistics.remote_lost, statistics.remote_jitter_ms) == (4, 10.0)
            assert 5 < statistics.jitter_ms < 20

    run(story)


def test_opening_more_pairs_than_the_range_has_is_refused() -> None:
    async def story() -> None:
        async with room(pairs=2) as place:
            await place.leg()
            await place.leg()
            with pytest.raises(MediaError, match="no free RTP port pair in 31000-31003"):
                await place.driver.open_endpoint("third")

    run(story)


async def read_event(reader: asyncio.StreamReader) -> protocol.Event:
    """The next event but totals."""
    while True:
        size = int.from_bytes(await reader.readexactly(4), "big")
        event = protocol.decode_event(await reader.readexactly(size))
        if not isinstance(event, protocol.Totals):
            return event


def test_bad_commands_are_refused_and_harm_nobody() -> None:
    async def story() -> None:
        async with room() as place:
            reader, writer = await asyncio.open_unix_connection(str(place.folder / "media.sock"))

            async def answer(body: bytes) -> protocol.Event:
                writer.write(len(body).to_bytes(4, "big") + body)
                return await read_event(reader)

            def body(command: protocol.Command) -> bytes:
                return protocol.encode(command)[4:]

            assert isinstance(await answer(b"garbage"), protocol.Refused)
            early = await answer(body(protocol.CloseEndpoint(1)))
            assert early == protocol.Refused("CloseEndpoint", "expected Hello first")
            assert isinstance(await answer(body(protocol.Hello(99))), protocol.Refused)
            assert isinstance(await answer(body(protocol.Hello())), protocol.Welcome)
            unknown = await answer(body(protocol.CloseEndpoint(1)))
            assert unknown == protocol.Refused("CloseEndpoint", "endpoint 1 does not exist")
            assert isinstance(await answer(body(protocol.OpenEndpoint(1))), protocol.EndpointOpened)
            again = await answer(body(protocol.OpenEndpoint(1)))
            assert again == protocol.Refused("OpenEndpoint", "endpoint 1 is in use")
            for address, port, payload_type in (("x", 1, 8), ("127.0.0.1", 70000, 8), ("127.0.0.1", 1, 18)):
                wrong = await answer(body(protocol.ConfigureEndpoint(1, address, port, payload_type)))
                assert isinstance(wrong, protocol.Refused)
            failed = await answer(body(protocol.OpenEndpoint(2, 1)))
            assert isinstance(failed, protocol.EndpointFailed)
            five = await answer(body(protocol.Play(1, (1,) * 5, (wav(place.folder / "a.wav", b"12"),))))
            assert five == protocol.Played(1, error="5 listeners, expected 1 to 4")
            assert await answer(b"") != five
            writer.write(b"\xff\xff\xff\xff")
            assert isinstance(await read_event(reader), protocol.Refused)
            assert await reader.read() == b""
            writer.close()
            await place.leg()  # the other controller notices nothing

    run(story)


def test_who_asks_whether_all_is_well_hears_nothing_while_a_worker_stands_still(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with room() as place:
            await place.leg()
            reader, writer = await asyncio.open_unix_connection(str(place.folder / "media.sock"))
            for command in (protocol.Hello(), protocol.Ping()):
                writer.write(protocol.encode(command))
            assert isinstance(await read_event(reader), protocol.Welcome)
            assert await read_event(reader) == protocol.Pong()
            monkeypatch.setattr(Workers, "lag_s", 3.5)
            for other in (protocol.Ping(), protocol.CloseEndpoint(9)):
                writer.write(protocol.encode(other))
            assert isinstance(await read_event(reader), protocol.Refused)
            assert "stands still for 3.5 s" in caplog.text
            monkeypatch.undo()
            writer.close()

    run(story)


def test_a_server_that_ends_late_leaves_the_next_ones_socket_alone(tmp_path: Path) -> None:
    """The switch was killed and is back while its old media server still waited for the disk."""

    async def story() -> None:
        path = str(tmp_path / "media.sock")
        old, new = (MediaServer(ServerSettings(path, engine=Settings(io="epoll"))) for _ in range(2))
        await old.start()
        await new.start()
        assert await old.stop()
        assert os.path.exists(path)  # noqa: ASYNC240
        assert await new.stop()
        assert not os.path.exists(path)  # noqa: ASYNC240

    asyncio.run(story())
