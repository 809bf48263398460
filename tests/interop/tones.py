"""Tones that phones say, and whether another phone has heard one yet.

Called by test_pjsua.py and test_baresip.py. A recording is looked into while it is still being written, so that a call
lasts until both sides have heard each other and no longer.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile

from demo.recognise import RATE, Samples, tone_times

SAID = {"caller": 600.0, "callee": 1400.0}  # Hz
LONG_S = 30.0  # outlasts every wait
WAV_HEADER, CHANNELS_AND_RATE = 44, 22  # bytes
HEARD_S = 0.3


def write_tone(path: Path, hz: float) -> Path:
    """A WAV of 16-bit samples."""
    times = np.arange(int(LONG_S * RATE)) / RATE
    soundfile.write(str(path), 0.3 * np.sin(2 * np.pi * hz * times), RATE, subtype="PCM_16")
    return path


def hears(recording: Path, hz: float) -> bool:
    """Whether a tone stands in a recording of 16-bit samples, finished or not."""
    return sum(ends - begins for begins, ends in tone_times(_samples(recording), hz)) >= HEARD_S


def _samples(recording: Path) -> Samples:
    data = recording.read_bytes() if recording.exists() else b""
    if len(data) < WAV_HEADER:
        return np.zeros(0)
    channels, rate = struct.unpack_from("<HI", data, CHANNELS_AND_RATE)
    audio = np.frombuffer(data[WAV_HEADER : len(data) // 2 * 2], "<i2").astype(np.float64) / 32768
    return audio[:: max(channels, 1) * max(rate // RATE, 1)]  # a tone is a tone in every so-manieth sample too
