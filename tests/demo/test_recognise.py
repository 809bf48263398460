"""The recogniser finds what is there, at the right time, and does not find what is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from demo.recognise import (
    RATE,
    Samples,
    delay_ms,
    find,
    find_all,
    first_sound_s,
    frame_levels,
    listen_for,
    load,
    pieces,
    tone_present,
    tone_times,
)


def voice(seed: int, seconds: float, pitch_hz: float = 120.0) -> Samples:
    """Speech-like sound: a wandering pitch, three wandering formants and syllables with pauses between them."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    wander = np.interp(np.arange(count), np.arange(0, count, 800), rng.uniform(0.8, 1.25, len(range(0, count, 800))))
    phase = np.cumsum(2 * np.pi * pitch_hz * wander / RATE)
    sound = np.zeros(count)
    for harmonic in range(1, 25):
        gains = rng.uniform(0, 1, len(range(0, count, 1200))) / harmonic**0.5
        sound += np.interp(np.arange(count), np.arange(0, count, 1200), gains) * np.sin(harmonic * phase)
    syllables = np.interp(
        np.arange(count), np.arange(0, count, 1000), rng.choice([0, 1, 1], len(range(0, count, 1000)))
    )
    return np.asarray(0.3 * sound * syllables / np.max(np.abs(sound)))


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE))


def tone(hz: float, seconds: float, level: float = 0.3) -> Samples:
    return np.asarray(level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE))


def through_a_law(samples: Samples, folder: Path) -> Samples:
    file = folder / "a-law.wav"
    soundfile.write(file, samples, RATE, format="WAV", subtype="ALAW")
    return load(file)


def test_a_prompt_is_found_where_it_begins() -> None:
    prompt = voice(1, 2.0)
    match = find(np.concatenate([silence(1.25), prompt, silence(1.0)]), prompt)
    assert match is not None
    assert match.score > 0.999
    assert match.at_s == pytest.approx(1.25, abs=1 / RATE)


def test_a_prompt_is_found_through_a_law_at_a_quarter_of_its_loudness(tmp_path: Path) -> None:
    prompt = voice(2, 2.0)
    heard = through_a_law(np.concatenate([silence(0.5), 0.25 * prompt]), tmp_path)
    match = find(heard, prompt)
    assert match is not None
    assert match.score > 0.98
    assert match.at_s == pytest.approx(0.5, abs=2 / RATE)


def test_a_prompt_mixed_over_talk_of_the_same_loudness_is_found() -> None:
    prompt, talk = voice(3, 1.5), voice(4, 6.0, pitch_hz=190)
    talk[3 * RATE : 3 * RATE + len(prompt)] += prompt
    match = find(talk, prompt)
    assert match is not None
    assert match.at_s == pytest.approx(3.0, abs=0.001)


def test_a_resampled_prompt_is_found() -> None:
    prompt = voice(5, 2.0)
    there = np.interp(np.arange(2 * len(prompt)) / 2, np.arange(len(prompt)), prompt)
    back = np.interp(np.arange(len(prompt)) + 0.25, np.arange(len(there)) / 2, there)
    match = find(np.concatenate([silence(0.3), back]), prompt)
    assert match is not None
    assert match.at_s == pytest.approx(0.3, abs=0.001)


def test_a_sound_that_comes_three_times_is_found_three_times() -> None:
    bell = voice(30, 0.5)
    heard = np.concatenate([silence(1), bell, voice(31, 1.0), bell, silence(0.1), 0.5 * bell])
    assert [match.at_s for match in find_all(heard, bell)] == pytest.approx([1.0, 2.5, 3.1], abs=0.001)
    assert find_all(voice(32, 5.0), bell) == []


@pytest.mark.parametrize("other", range(10, 18))
def test_another_voice_is_not_taken_for_the_prompt(other: int) -> None:
    assert find(voice(other, 12.0, pitch_hz=100 + 10 * (other - 10)), voice(6, 2.0)) is None


def test_noise_and_silence_are_not_taken_for_a_prompt() -> None:
    noise = 0.2 * np.random.default_rng(7).standard_normal(10 * RATE)
    assert find(noise, voice(7, 1.0)) is None
    assert find(silence(10), voice(7, 1.0)) is None
    assert listen_for(silence(10), voice(7, 1.0)) is None


def test_the_trace_of_a_prompt_below_silence_is_not_found() -> None:
    assert find(0.001 * voice(8, 2.0), voice(8, 2.0)) is None


def test_nothing_is_found_in_less_sound_than_the_prompt_is_long() -> None:
    assert find(voice(9, 1.0), voice(9, 2.0)) is None


def test_all_pieces_of_a_prompt_are_heard_though_a_frame_was_inserted_in_the_middle() -> None:
    prompt = voice(20, 4.0)
    heard = np.concatenate([silence(1), prompt[: 2 * RATE], silence(0.02), prompt[2 * RATE :], silence(1)])
    hearing = listen_for(heard, prompt)
    assert hearing is not None
    assert hearing.share == 1.0
    assert hearing.from_s == pytest.approx(1.0, abs=0.025)
    assert hearing.to_s == pytest.approx(5.02, abs=0.025)
    assert hearing.first_piece
    assert hearing.last_piece


def test_a_prompt_whose_beginning_was_cut_off_is_told_from_a_whole_one() -> None:
    prompt = voice(21, 4.0)
    hearing = listen_for(np.concatenate([silence(1), prompt[RATE:], silence(1)]), prompt)
    assert hearing is not None
    assert not hearing.first_piece
    assert hearing.last_piece
    assert 0.5 < hearing.share < 1.0


def test_a_beginning_that_was_cut_off_is_not_found_where_the_next_one_begins() -> None:
    prompt = voice(21, 2.0)
    hearing = listen_for(np.concatenate([prompt[RATE:], silence(1), prompt[: RATE // 2]]), prompt)
    assert hearing is not None
    assert hearing.share == 0.5
    assert not hearing.first_piece


def test_a_prompt_that_was_stopped_half_way_is_told_from_a_whole_one() -> None:
    prompt = voice(22, 4.0)
    hearing = listen_for(np.concatenate([silence(1), prompt[: 2 * RATE], silence(4)]), prompt)
    assert hearing is not None
    assert hearing.first_piece
    assert not hearing.last_piece


def test_a_prompt_with_pauses_is_whole_only_where_pauses_may_be() -> None:
    prompt = voice(27, 4.0)
    first, second, third = prompt[:9000], prompt[9000:20000], prompt[20000:]
    heard = np.concatenate([silence(1), first, silence(0.4), second, silence(0.3), third, silence(1)])
    hearing = listen_for(heard, prompt, pause_s=0.5)
    assert hearing is not None
    assert hearing.share == 1.0
    assert hearing.from_s == pytest.approx(1.0, abs=0.001)
    assert hearing.to_s == pytest.approx(5.7, abs=0.001)
    strict = listen_for(heard, prompt)
    assert strict is not None
    assert strict.share < 0.6


def test_a_prompt_whose_last_40_ms_were_cut_by_the_hang_up_is_still_whole() -> None:
    prompt = voice(23, 2.4)
    hearing = listen_for(np.concatenate([silence(0.5), prompt[: -int(0.04 * RATE)]]), prompt, piece_s=0.25)
    assert hearing is not None
    assert hearing.share == 1.0
    assert hearing.last_piece


def test_pauses_are_no_pieces() -> None:
    assert [at_s for at_s, _ in pieces(np.concatenate([tone(500, 0.5), silence(0.5), tone(500, 0.5)]))] == [0.0, 1.0]


def test_a_tone_is_told_from_its_neighbours_and_from_speech() -> None:
    assert tone_present(tone(440, 0.5), 440)
    assert not tone_present(tone(480, 0.5), 440)
    assert not tone_present(voice(23, 0.5), 440)
    assert not tone_present(silence(0.5), 440)


def test_the_cadence_of_a_tone_is_told() -> None:
    ringback = np.concatenate([tone(450, 1.0), silence(2.0), tone(450, 1.0)])
    assert tone_times(ringback, 450) == [pytest.approx((0.0, 1.0)), pytest.approx((3.0, 4.0))]


def test_the_first_sound_is_told_to_the_frame() -> None:
    assert first_sound_s(np.concatenate([silence(0.5), tone(440, 1)])) == pytest.approx(0.5, abs=0.021)
    assert first_sound_s(silence(2)) is None
    assert len(frame_levels(silence(0.05))) == 2


@pytest.mark.parametrize("lag_ms", [-35.0, 0.0, 12.5, 80.0])
def test_the_delay_between_two_signals_is_told_in_milliseconds(lag_ms: float) -> None:
    whole = voice(24, 3.0)
    lag = int(lag_ms * RATE / 1000)
    assert delay_ms(whole[RATE : 2 * RATE], whole[RATE - lag : 2 * RATE]) == pytest.approx(lag_ms, abs=0.2)


def test_signals_that_are_not_alike_have_no_delay() -> None:
    assert delay_ms(voice(25, 1.0), voice(26, 2.0)) is None


def test_a_recording_at_another_rate_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "wide.wav", silence(1), 16000)
    with pytest.raises(ValueError, match="16000 Hz, expected 8000"):
        load(tmp_path / "wide.wav")


def test_the_channels_of_a_stereo_recording_are_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([tone(440, 1), tone(1000, 1)], axis=1), RATE)
    assert tone_present(load(tmp_path / "two.wav", channel=0), 440)
    assert tone_present(load(tmp_path / "two.wav", channel=1), 1000)
