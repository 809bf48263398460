"""Tones that phones say, and whether another phone has heard one yet.

Called by test_pjsua.py and test_baresip.py. A recording is looked into while it is still being written, so that a call
lasts until both sides have heard each other and no longer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from demo.recognise import RATE, load_unfinished, tone_times

SAID = {"caller": 600.0, "callee": 1400.0}  # Hz
LONG_S = 180.0  # outlasts every wait
HEARD_S = 0.3


def write_tone(path: Path, hz: float) -> Path:
    """A WAV of 16-bit samples."""
    times = np.arange(int(LONG_S * RATE)) / RATE
    soundfile.write(str(path), 0.3 * np.sin(2 * np.pi * hz * times), RATE, subtype="PCM_16")
    return path


def hears(recording: Path, hz: float) -> bool:
    """Whether a tone stands in a recording of 16-bit samples, finished or not."""
    return sum(ends - begins for begins, ends in tone_times(load_unfinished(recording), hz)) >= HEARD_S
