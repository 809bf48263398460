"""The media server over real loopback sockets: what phones at its endpoints hear, in which numbers."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.errors import MediaError
from tests.media.phone import FRAME, Packet, loudness, tone, wait_for_seconds, wav
from tests.media.support import room, run


def assert_one_line(packets: list[Packet]) -> None:
    """RFC 3550 5.1: one SSRC, sequence numbers without a gap, timestamps that grow by whole frames."""
    assert len({packet.ssrc for packet in packets}) == 1
    for before, after in zip(packets, packets[1:], strict=False):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        step = (after.timestamp - before.timestamp) & 0xFFFFFFFF
        assert step % FRAME == 0
        assert 0 < step <= 4 * FRAME


def test_talk_passes_both_ways_and_statistics_tell_it() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            place.driver.connect(a, b)
            await asyncio.gather(anna.talk(tone(400, 0.4)), bert.talk(tone(900, 0.4)))
            await wait_for_seconds(0.05)
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


def test_numbers_go_on_from_prompt_to_talk_to_mixed_prompt_to_talk() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            hello = wav(place.folder / "hello.wav", tone(1500, 0.2))
            first = place.driver.play([a, b], [hello])
            talk = asyncio.gather(anna.talk(tone(400, 1.0)), bert.talk(tone(900, 1.0)))
            reports = await first.finished
            assert [(report.frames, report.completed) for report in reports] == [(10, True)] * 2
            assert loudness(bert.audio(), 1500) > 7000
            assert loudness(bert.audio(), 400) < 100  # no talk leaks before the announcement ends
            announced = len(bert.heard)
            place.driver.connect(a, b)
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
            assert loudness(audio, 400) > 6000
            assert bert.heard[0].timestamp == reports[1].first_timestamp
            assert bert.heard[announced - 1].timestamp == reports[1].last_timestamp
            assert bert.heard[announced].marker

    run(story)


def test_opening_more_pairs_than_the_range_has_is_refused() -> None:
    async def story() -> None:
        async with room(pairs=2) as place:
            await place.leg()
            await place.leg()
            with pytest.raises(MediaError, match="no free RTP port pair in 31000-31003"):
                await place.driver.open_endpoint("third")

    run(story)
