"""What the phones say: speech by espeak-ng with a chirp in front of every sentence, written when the demo runs.

Called by demo/stage.py. The speech tells people (and the recogniser) who is talking; the chirp, a sweep that nothing
else resembles, tells to the sample when it was said. Each voice has a sweep of its own.
"""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from demo.recognise import RATE, Samples

CHIRP_S, PAUSE_S = 0.25, 0.2
CHIRP_LEVEL, SPEECH_LEVEL = 0.5, 0.35
SPOKEN_S = 40.0  # longer than any call here: a voice never falls silent before its call ends


class NoSpeech(Exception):
    """espeak-ng is missing or failed."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who speaks: the words, espeak-ng's voice and pitch, and the two ends of the sweep in Hz."""

    words: str
    voice: str
    pitch: int
    sweep_hz: tuple[float, float]

    def chirp(self) -> Samples:
        """The sweep that marks every sentence."""
        first, last = self.sweep_hz
        at = np.arange(int(CHIRP_S * RATE)) / RATE
        phase = 2 * np.pi * (first * at + (last - first) * at**2 / (2 * CHIRP_S))
        return np.asarray(CHIRP_LEVEL * np.hanning(len(at)) ** 0.25 * np.sin(phase))

    def sentence(self) -> Samples:
        """Chirp, pause, words, pause: what is said again and again."""
        pause = np.zeros(int(PAUSE_S * RATE))
        words = speech(self.words, self.voice, self.pitch)
        return np.concatenate([self.chirp(), pause, words * SPEECH_LEVEL / np.max(np.abs(words)), pause])

    def write(self, path: Path) -> Samples:
        """Write SPOKEN_S seconds of it as a WAV for a phone to speak, and return one sentence."""
        sentence = self.sentence()
        times = int(SPOKEN_S * RATE / len(sentence)) + 1
        soundfile.write(path, np.tile(sentence, times), RATE, subtype="PCM_16")
        return sentence


def speech(words: str, voice: str, pitch: int) -> Samples:
    """`words` as espeak-ng speaks them, at 8000 Hz; raises NoSpeech."""
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", "180", "--stdout", words]
    try:
        spoken = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise NoSpeech("espeak-ng is not installed") from None
    except subprocess.CalledProcessError as error:
        raise NoSpeech(f"espeak-ng: {error.stderr.decode(errors='replace').strip()}") from None
    samples, rate = soundfile.read(io.BytesIO(spoken), dtype="float64")
    return resample(np.asarray(samples), rate)


def resample(samples: Samples, rate: int) -> Samples:
    """`samples` at 8000 Hz: the spectrum above 4 kHz is cut off."""
    length = len(samples) * RATE // rate
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    return np.asarray(np.fft.irfft(spectrum, length) * length / len(samples))
