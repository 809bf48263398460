"""What goes in comes out: relayed bit by bit, announced bit by bit, converted and mixed at the levels it had."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import numpy as np
import pytest

from media.tones import tone_samples
from tests.media.phone import FRAME, Packet, linear, loudness, tone, wav
from tests.media.support import room, run
from tests.media.test_engine import read_wav

pytestmark = pytest.mark.real_time
ULAW = 0


def decibels(codes: bytes, frequency: float, amplitude: float = 8000) -> float:
    """How loud `frequency` is, against a sine of `amplitude`."""
    return 20 * math.log10(loudness(codes, frequency) / amplitude)


def ulaw_linear(code: int) -> int:
    """G.711 table 2: 14 bits, here times four."""
    code = ~code & 0xFF
    value = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -value if code & 0x80 else value


def payloads(packets: list[Packet]) -> bytes:
    return b"".join(packet.payload for packet in packets)


@pytest.mark.parametrize("payload_type", [8, ULAW])
def test_the_same_law_on_both_sides_is_relayed_bit_by_bit(payload_type: int) -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = [await place.leg(payload_type=payload_type) for _ in range(2)]
            await place.connect(a, b)
            codes = bytes(range(256)) * 5 + random.Random(3).randbytes(12 * FRAME)
            await anna.talk(codes, payload_type=payload_type)
            await bert.wait_for(lambda: len(bert.heard) == 20)
            assert payloads(bert.heard) == codes

    run(story)


def test_another_law_costs_no_more_than_its_own_rounding() -> None:
    """G.711 4: A-law to mu-law; one coding leaves a sine 36 dB above its noise, a second one 3 to 5 dB less."""

    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(payload_type=ULAW)
            await place.connect(a, b)
            await anna.talk(tone(1020, 0.4))
            await bert.wait_for(lambda: len(bert.heard) == 20)
            heard = np.array([ulaw_linear(code) for code in payloads(bert.heard)], float)
            times = np.arange(len(heard)) / 8000
            exact = 8000 * np.sin(2 * np.pi * 1020 * times)
            noise = np.mean((heard - exact) ** 2)
            assert 10 * math.log10(np.mean(exact**2) / noise) > 31

    run(story)


def test_both_sides_hear_an_announcement_bit_by_bit_and_each_in_its_law_as_loud() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg(payload_type=ULAW)
            spoken = random.Random(5).randbytes(12 * FRAME) + tone(1020, 0.2)
            announcement = wav(place.folder / "announcement.wav", spoken)
            await place.driver.play([a, b], [announcement]).finished
            await anna.wait_for(lambda: len(anna.heard) == 22)
            await bert.wait_for(lambda: len(bert.heard) == 22)
            assert payloads(anna.heard) == spoken
            heard = np.array([ulaw_linear(code) for code in payloads(bert.heard)[12 * FRAME :]], float)
            assert np.sqrt(np.mean(heard**2)) == pytest.approx(8000 / math.sqrt(2), rel=0.025)  # 0.2 dB

    run(story)


def test_a_list_is_played_without_a_seam_and_only_its_end_loops() -> None:
    async def story() -> None:
        async with room() as place:
            anna, a = await place.leg()
            first, again = tone(700, 0.105), tone(1100, 0.055)  # neither is whole frames
            files = [wav(place.folder / "first.wav", first), wav(place.folder / "again.wav", again)]
            playback = place.driver.play([a], files, loop=True, once=1)
            await anna.wait_for(lambda: len(anna.heard) >= 20)
            playback.stop()
            await playback.finished
            expected = first + again * 10
            assert anna.audio()[: 20 * FRAME] == expected[: 20 * FRAME]

    run(story)


def test_a_progress_tone_is_played_like_a_file_in_exact_steps_of_20_ms() -> None:
    async def story() -> None:
        async with room() as place:
            anna, a = await place.leg()
            (report,) = await place.driver.play([a], ["tone:cn/busy/0.5"]).finished
            await anna.wait_for(lambda: len(anna.heard) == 35)
            assert (report.frames, report.completed) == (35, True)
            assert anna.audio() == tone_samples("tone:cn/busy")
            steps = {
                (later.timestamp - earlier.timestamp) & 0xFFFFFFFF for earlier, later in itertools.pairwise(anna.heard)
            }
            assert steps == {FRAME}

    run(story)


def test_a_tone_that_there_is_not_fails_the_playback_and_says_what_there_is() -> None:
    async def story() -> None:
        async with room() as place:
            _, a = await place.leg()
            playback = place.driver.play([a], ["tone:cn/dial"])
            with pytest.raises(Exception, match="expected one of ringback, busy, congestion"):
                await playback.finished

    run(story)


def test_a_mono_recording_has_both_voices_as_loud_as_they_were_and_a_stereo_one_has_them_apart() -> None:
    async def story() -> None:
        for stereo in (False, True):
            async with room() as place:
                (anna, a), (bert, b) = await place.leg(), await place.leg()
                recording = place.driver.record(str(place.folder / "call.wav"), a, b, stereo=stereo)
                recording.voices()
                await asyncio.gather(anna.talk(tone(400, 1.0)), bert.talk(tone(1000, 1.0)))
                recording.close()
                path = (await recording.finished).path
                channels, audio = read_wav(path)
                assert channels == 1 + stereo
                middle = audio[2400 * channels : 6400 * channels]
                left, right = middle[::channels], middle[channels - 1 :: channels]
                assert decibels(left, 400) == pytest.approx(0, abs=0.2)
                assert decibels(right, 1000) == pytest.approx(0, abs=0.2)
                if stereo:
                    assert decibels(left, 1000) < -40
                    assert decibels(right, 400) < -40

    run(story)


def test_a_prompt_mixed_over_talk_is_in_the_recording_at_its_level_and_so_is_the_talk() -> None:
    async def story() -> None:
        async with room() as place:
            (anna, a), (bert, b) = await place.leg(), await place.leg()
            await place.connect(a, b)
            recording = place.driver.record(str(place.folder / "call.wav"), a, b)
            recording.voices()
            talk = asyncio.create_task(anna.talk(tone(400, 1.2)))
            await bert.wait_for(lambda: len(bert.heard) >= 10)
            warning = wav(place.folder / "warning.wav", tone(1500, 0.6))
            await place.driver.play([a, b], [warning], mix=True).finished
            await talk
            recording.close()
            _, audio = read_wav((await recording.finished).path)
            windows = [audio[at : at + 1600] for at in range(0, len(audio) - 1600, 400)]
            over = [window for window in windows if loudness(window, 1500) > 7500]
            assert len(over) >= 3
            for window in over:
                assert decibels(window, 400) == pytest.approx(0, abs=0.5)  # ducked for the ear, not for the evidence
                assert np.max(np.abs(linear(window))) < 17000

    run(story)
