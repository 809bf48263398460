"""Endpoints of G.722 and Opus at the real media server, by phones that send back what they were sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from media import _native
from softswitch.interfaces import Coding
from tests.media.phone import Phone, loudness, rtp, tone, wait_until, wav
from tests.media.support import room, run

TYPE = {"G722": (9, 1), "opus": (111, 6)}  # payload type that the far end wants, RTP clock in units of 8 kHz

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(len(_native.CODECS) < 2, reason="the media core is built without G.722 or Opus"),
]


def speaks(codec: str) -> dict[str, Any]:
    """What is agreed with a phone that speaks `codec`, and sends it as 96."""
    return {"payload_type": TYPE[codec][0], "coding": Coding(codec, 96)}


async def echo(phone: Phone, seconds: float, payload_type: int) -> None:
    """Send back each packet that comes, in order, as `payload_type`."""
    loop, done = asyncio.get_running_loop(), 0
    ends = loop.time() + seconds
    while loop.time() < ends:
        for packet in phone.heard[done:]:
            phone.send(rtp(packet.sequence, packet.timestamp, packet.payload, payload_type=payload_type))
        done = len(phone.heard)
        await wait_until(loop.time() + 0.01)


def test_a_controller_is_told_what_the_build_speaks() -> None:
    async def story() -> None:
        async with room() as place:
            assert place.driver.codecs == _native.CODECS
            assert place.driver.ways[3] == _native.CODECS

    run(story)


@pytest.mark.parametrize("codec", ["G722", "opus"])
def test_what_is_encoded_for_one_side_is_decoded_when_it_comes_back(codec: str) -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(**speaks(codec))
            await place.connect(a, b)
            await asyncio.gather(anna.talk(tone(600, 1.5)), echo(bert, 2.0, 96))
            kind, scale = TYPE[codec]
            assert {packet.payload_type for packet in bert.heard} == {kind}
            steps = {
                (after.timestamp - before.timestamp) & 0xFFFFFFFF
                for before, after in zip(bert.heard, bert.heard[1:], strict=False)
                if (after.sequence - before.sequence) & 0xFFFF == 1
            }
            assert 160 * scale in steps
            await anna.wait_for(lambda: len(anna.heard) > 40)
            heard = anna.audio()
            assert loudness(heard[len(heard) // 2 : len(heard) // 2 + 1600], 600) > 4000
            assert {packet.payload_type for packet in anna.heard} == {8}

    run(story)


@pytest.mark.parametrize("codec", ["G722", "opus"])
def test_a_prompt_reaches_a_phone_of_the_codec_and_is_proved_in_its_clock(codec: str) -> None:
    async def story() -> None:
        async with room() as place:
            anna, a = await place.leg(**speaks(codec))
            (report,) = await place.driver.play([a], [wav(place.folder / "a.wav", tone(700, 0.6))]).finished
            await anna.wait_for(lambda: len(anna.heard) == 30)
            kind, scale = TYPE[codec]
            assert (report.frames, report.first_timestamp) == (30, anna.heard[0].timestamp)
            assert (report.last_timestamp - report.first_timestamp) & 0xFFFFFFFF == 29 * 160 * scale
            assert {packet.payload_type for packet in anna.heard} == {kind}

    run(story)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload_type": 111, "coding": Coding("speex", 96)}, "this build has no speex"),
        ({"payload_type": 111, "coding": Coding("opus", 200)}, "payload types 111 and 200"),
        ({"payload_type": 111, "coding": Coding("opus", 96), "ptime_ms": 30}, "ptime of 30 ms"),
        ({"payload_type": 111, "coding": Coding("opus", 96, 44100)}, "44100"),
        ({"payload_type": 111}, "neither PCMA"),
    ],
)
def test_what_can_not_be_spoken_is_refused(changes: dict[str, Any], reason: str) -> None:
    async def story() -> None:
        async with room() as place:
            with capture_logs() as logs:
                await place.leg(**changes)
            assert any(reason in entry.get("reason", "") for entry in logs), logs

    run(story)
