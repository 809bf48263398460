"""Progress tones made, not recorded: ringback, busy and congestion as each country's callers know them.

ITU-T E.180 and its supplement 2 (ETSI TR 101 041 for Europe). A tone is named like a file, `tone:<country>/<name>`, or
`tone:<country>/<name>/<seconds>` for whole cycles of at least that length; the prompt cache makes it once. Called by
media/prompts.py and, for the names there are, by the switch's prompt catalogue. Touches no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEME = "tone:"
RINGBACK = "ringback"
NAMES = (RINGBACK, "busy", "congestion")
SAMPLE_RATE = 8000
LEVEL_DBM0 = -10.0  # E.180 7: of all frequencies together
FULL_SCALE_DBM0 = 3.14  # G.711: a sine that just fills A-law
FULL_SCALE = 32256
SILENCE = b"\xd5"
LONGEST_S = 60.0


class UnknownTone(ValueError):
    """No such country or tone: the message names what there is."""


@dataclass(frozen=True, slots=True)
class Tone:
    """Frequencies in Hz that sound together, and the seconds of sound and silence in turn that make up a cycle."""

    frequencies: tuple[int, ...]
    cadence: tuple[float, ...]

    def __str__(self) -> str:
        sounds = " + ".join(str(frequency) for frequency in self.frequencies)
        return f"{sounds} Hz, {'/'.join(f'{part:g}' for part in self.cadence)} s on/off"


TONES: dict[str, dict[str, Tone]] = {
    "cn": {
        "ringback": Tone((450,), (1.0, 4.0)),
        "busy": Tone((450,), (0.35, 0.35)),
        "congestion": Tone((450,), (0.7, 0.7)),
    },
    "hk": {
        "ringback": Tone((440, 480), (0.4, 0.2, 0.4, 3.0)),
        "busy": Tone((480, 620), (0.5, 0.5)),
        "congestion": Tone((480, 620), (0.25, 0.25)),
    },
    "us": {
        "ringback": Tone((440, 480), (2.0, 4.0)),
        "busy": Tone((480, 620), (0.5, 0.5)),
        "congestion": Tone((480, 620), (0.25, 0.25)),
    },
    "uk": {
        "ringback": Tone((400, 450), (0.4, 0.2, 0.4, 2.0)),
        "busy": Tone((400,), (0.375, 0.375)),
        "congestion": Tone((400,), (0.4, 0.35, 0.225, 0.525)),
    },
    "eu": {
        "ringback": Tone((425,), (1.0, 4.0)),
        "busy": Tone((425,), (0.5, 0.5)),
        "congestion": Tone((425,), (0.2, 0.2)),
    },
}


def tone_samples(path: str) -> bytes:
    """A-law at 8000 Hz of the tone that `path` names; raises UnknownTone."""
    country, _, rest = path.removeprefix(SCHEME).partition("/")
    name, _, seconds = rest.partition("/")
    tones = TONES.get(country)
    if tones is None:
        raise UnknownTone(f"{path}: no such country, expected one of {', '.join(TONES)}")
    if name not in tones:
        raise UnknownTone(f"{path}: no such tone, expected one of {', '.join(NAMES)}")
    cycle = _cycle(tones[name])
    return cycle * math.ceil(_seconds(path, seconds) * SAMPLE_RATE / len(cycle)) if seconds else cycle


def _seconds(path: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_S:
        raise UnknownTone(f"{path}: {text!r} seconds, expected a number up to {LONGEST_S:g}")
    return seconds


def _cycle(tone: Tone) -> bytes:
    cycle = b""
    for place, seconds in enumerate(tone.cadence):
        samples = round(seconds * SAMPLE_RATE)
        cycle += SILENCE * samples if place % 2 else _sound(tone.frequencies, samples)
    return cycle


def _sound(frequencies: tuple[int, ...], samples: int) -> bytes:
    each_dbm0 = LEVEL_DBM0 - 10 * math.log10(len(frequencies))
    amplitude = FULL_SCALE * 10 ** ((each_dbm0 - FULL_SCALE_DBM0) / 20)
    turns = [2 * math.pi * frequency / SAMPLE_RATE for frequency in frequencies]
    return bytes(_alaw(int(amplitude * sum(math.sin(turn * n) for turn in turns))) for n in range(samples))


def _alaw(sample: int) -> int:
    """G.711 2: the code of a 16-bit sample, even bits inverted."""
    magnitude = sample >> 3 if sample >= 0 else -(sample >> 3) - 1
    segment = max(magnitude.bit_length() - 5, 0)
    code = segment << 4 | magnitude >> max(segment, 1) & 0x0F
    return code ^ (0xD5 if sample >= 0 else 0x55)
