"""Recognises what was heard: prompts, voices and tones in recordings, by correlation rather than by trust.

Called by demo/checks.py, the demo's story and the phone tests. Everything is 8000 Hz mono float samples in -1..1. It
never listens with a model: a reference is found because its own waveform is there, so a match is proof.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 8000
SILENCE_RMS = 0.003  # -50 dBFS; quieter is line noise and A-law's smallest steps
SURE = 0.5  # normalised correlation of the same sound, also under talk of the same loudness; others stay below 0.35
FRAME_S = 0.02
PIECE_S, WORD_S = 0.5, 0.25
SPOKE_SHARE = 0.2  # of a sentence: so much can't be taken for anything else
CHIRP_SURE = 0.6
PAUSE_S = 1.0  # of a machine that stands still: it is in what is played and in what a phone keeps, and costs nothing
SENTENCE_SHARE = 0.6  # of a sentence that somebody says again and again: heard
WAV_HEADER, CHANNELS_AND_RATE = 44, 22  # bytes

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """A reference found in something heard: how alike (0..1) and where it begins, in seconds."""

    score: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Hearing:
    """How much of a reference was heard: `share` of its sounding pieces, their mean `score`, its begin and end."""

    share: float
    score: float
    from_s: float
    to_s: float
    first_piece: bool  # its very beginning was heard too
    last_piece: bool


def load(path: Path | str, channel: int = 0) -> Samples:
    """The samples of a WAV (A-law or PCM); refuses other rates, for then no time in it could be trusted."""
    samples, rate = soundfile.read(str(path), dtype="float64", always_2d=True)
    if rate != RATE:
        raise ValueError(f"{path}: {rate} Hz, expected {RATE}")
    return np.asarray(samples[:, channel], dtype=np.float64)


def load_unfinished(path: Path) -> Samples:
    """What stands so far in a WAV of 16-bit samples that a phone still writes; of several channels the first."""
    data = path.read_bytes() if path.exists() else b""
    if len(data) < WAV_HEADER:
        return np.zeros(0)
    channels, rate = struct.unpack_from("<HI", data, CHANNELS_AND_RATE)
    audio = np.frombuffer(data[WAV_HEADER : len(data) // 2 * 2], "<i2").astype(np.float64) / 32768
    return audio[:: max(channels, 1) * max(rate // RATE, 1)]  # a tone is a tone in every so-manieth sample too


def rms(samples: Samples) -> float:
    """Root mean square; 0 for nothing at all."""
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0


def similarity(heard: Samples, reference: Samples) -> Samples:
    """Normalised cross-correlation (-1..1) of `reference` with every window of `heard`; silent windows count 0.

    Mean and energy are taken out of each window, so loudness and offset do not matter.
    """
    length = len(reference)
    places = len(heard) - length + 1
    shape = reference - reference.mean() if length else reference
    if places < 1 or rms(shape) < SILENCE_RMS:
        return np.zeros(0)
    size = 1 << (len(heard) + length).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(shape, size))
    correlation = np.fft.irfft(spectrum, size)[:places]
    energy = _window_sums(heard**2, length) - _window_sums(heard, length) ** 2 / length
    audible = energy > length * SILENCE_RMS**2
    scale = np.sqrt(np.where(audible, energy, 1.0) * np.sum(shape**2))
    return np.asarray(np.where(audible, correlation / scale, 0.0))


def _window_sums(values: Samples, length: int) -> Samples:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[length:] - total[:-length])


def find(heard: Samples, reference: Samples, *, sure: float = SURE) -> Match | None:
    """Where `reference` is best heard, or None if nothing in `heard` is alike enough to be `sure`."""
    alike = similarity(heard, reference)
    if not len(alike):
        return None
    best = int(np.argmax(alike))
    return Match(float(alike[best]), best / RATE) if alike[best] >= sure else None


def find_all(heard: Samples, reference: Samples, *, sure: float = SURE) -> list[Match]:
    """Every place where `reference` is heard, in order; two of them never overlap."""
    alike = similarity(heard, reference).copy()
    matches = []
    while len(alike) and alike[best := int(np.argmax(alike))] >= sure:
        matches.append(Match(float(alike[best]), best / RATE))
        alike[max(0, best - len(reference) + 1) : best + len(reference)] = -1
    return sorted(matches, key=lambda match: match.at_s)


def pieces(reference: Samples, piece_s: float = PIECE_S) -> Iterator[tuple[float, Samples]]:
    """The sounding pieces of a reference with their times in it; pauses between words prove nothing: left out."""
    step = int(piece_s * RATE)
    for start in range(0, max(1, len(reference) - step // 2), step):
        piece = reference[start : start + step]
        if rms(piece) > 2 * SILENCE_RMS:
            yield start / RATE, piece


@dataclass(frozen=True, slots=True)
class _Fit:
    """How a piece must be found."""

    sure: float
    drift_s: float
    pause_s: float


def listen_for(
    heard: Samples,
    reference: Samples,
    *,
    sure: float = SURE,
    drift_s: float = 0.15,
    piece_s: float = PIECE_S,
    pause_s: float = 0.0,
) -> Hearing | None:
    """How much of a long `reference` was heard, piece by piece, each within `drift_s` of its place; None: nothing.

    Pieces survive a jitter buffer that inserts or drops a frame in the middle, which one long correlation would not.
    What follows a pause of up to `pause_s` may be late by that: so it is heard where a machine stood still meanwhile.
    Where the reference was said more than once, the most complete time counts, of equals the first.
    """
    parts = list(pieces(reference, piece_s))
    heard = np.concatenate([heard, np.zeros(int(piece_s * RATE))])  # the last word may be cut short by the hang-up
    fit = _Fit(sure, drift_s, pause_s)
    hearings = [
        hearing
        for begin_s in _beginnings(heard, parts, sure, drift_s)
        if (hearing := _hearing_at(heard, parts, begin_s, fit, len(reference) / RATE))
    ]
    return max(hearings, key=lambda hearing: (round(hearing.share, 3), round(hearing.score, 2)), default=None)


def spoken_s(heard: Samples, chirp: Samples, sentence: Samples) -> float | None:
    """When somebody's voice is first known: by a chirp, or by words, whose sentence may have begun before."""
    chirps = find_all(heard, chirp, sure=CHIRP_SURE)
    words = listen_for(heard, sentence, piece_s=WORD_S)
    starts = [chirps[0].at_s] if chirps else []
    starts += [max(0.0, words.from_s)] if words and words.share >= SPOKE_SHARE else []
    return min(starts, default=None)


def _beginnings(heard: Samples, parts: list[tuple[float, Samples]], sure: float, drift_s: float) -> list[float]:
    """Where the reference may begin, going by any of its pieces; close guesses count once."""
    guesses = sorted(match.at_s - at_s for at_s, piece in parts for match in find_all(heard, piece, sure=sure))
    apart: list[float] = []
    for guess in guesses:
        if not apart or guess - apart[-1] > drift_s / 2:
            apart.append(guess)
    return apart


def _hearing_at(
    heard: Samples, parts: list[tuple[float, Samples]], begin_s: float, fit: _Fit, length_s: float
) -> Hearing | None:
    """The pieces that are heard if the reference begins at about `begin_s`."""
    found: list[Match | None] = []
    paused_s = 0.0
    for at_s, piece in parts:
        due_s = begin_s + paused_s + at_s
        match = _find_about(heard, piece, due_s - fit.drift_s, due_s + fit.drift_s, fit.sure)
        if match is None and fit.pause_s:
            match = _find_about(heard, piece, due_s, due_s + fit.pause_s, fit.sure)
            paused_s += max(0.0, match.at_s - due_s) if match else 0.0
        found.append(Match(match.score, match.at_s - at_s) if match else None)
    good = [match for match in found if match]
    if not good:
        return None
    return Hearing(
        share=len(good) / len(found),
        score=float(np.mean([match.score for match in good])),
        from_s=good[0].at_s,
        to_s=good[-1].at_s + length_s,
        first_piece=found[0] is not None,
        last_piece=found[-1] is not None,
    )


def _find_about(heard: Samples, piece: Samples, from_s: float, to_s: float, sure: float) -> Match | None:
    """A piece that begins within a span, which may lie before all that was heard."""
    first, last = max(0, int(from_s * RATE)), max(0, int(to_s * RATE) + len(piece))
    match = find(heard[first:last], piece, sure=sure)
    return Match(match.score, match.at_s + first / RATE) if match else None


def first_sound_s(samples: Samples, *, floor: float = SILENCE_RMS) -> float | None:
    """When the first 20 ms above `floor` begin, or None in silence."""
    loud = np.flatnonzero(frame_levels(samples) > floor)
    return float(loud[0]) * FRAME_S if len(loud) else None


def frame_levels(samples: Samples, frame_s: float = FRAME_S) -> Samples:
    """Root mean square of each whole frame."""
    length = int(frame_s * RATE)
    whole = samples[: len(samples) // length * length].reshape(-1, length)
    return np.asarray(np.sqrt(np.mean(whole**2, axis=1)))


def tone_share(samples: Samples, hz: float, *, width_hz: float = 30.0) -> float:
    """The share (0..1) of the sound's energy that lies within `width_hz` of `hz`."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(samples), 1 / RATE) - hz) <= width_hz
    total = float(power.sum())
    return float(power[near].sum()) / total if total > 0 else 0.0


def tone_present(samples: Samples, hz: float, *, share: float = 0.5) -> bool:
    """Whether a tone of `hz` makes up at least `share` of an audible sound."""
    return rms(samples) > SILENCE_RMS and tone_share(samples, hz) >= share


def tone_times(samples: Samples, hz: float, *, share: float = 0.5, frame_s: float = 0.1) -> list[tuple[float, float]]:
    """From when to when a tone of `hz` sounds, in steps of `frame_s`."""
    length = int(frame_s * RATE)
    times: list[tuple[float, float]] = []
    for index in range(len(samples) // length):
        if not tone_present(samples[index * length : (index + 1) * length], hz, share=share):
            continue
        begins, ends = index * frame_s, (index + 1) * frame_s
        if times and abs(times[-1][1] - begins) < frame_s / 2:
            begins = times.pop()[0]
        times.append((begins, ends))
    return times


def delay_ms(earlier: Samples, later: Samples, *, sure: float = SURE) -> float | None:
    """How many milliseconds `later` lags behind `earlier` (negative: it leads), or None where they are not alike."""
    padded = np.concatenate([np.zeros(len(earlier)), later, np.zeros(len(earlier))])
    match = find(padded, earlier, sure=sure)
    return None if match is None else (match.at_s * RATE - len(earlier)) * 1000 / RATE
