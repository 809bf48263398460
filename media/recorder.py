"""Recording files: created with their directories or resumed after a crash, and hashed once complete.

Called by the engine. Writing itself is the native writer thread's; nothing here touches samples.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from media import _native

WAV_HEADER_BYTES = _native.WAV_HEADER_BYTES


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """An open file: its descriptor and the bytes of audio it already holds."""

    descriptor: int
    written: int


def open_recording(path: str, *, stereo: bool, resume: bool) -> RecordingFile:
    """Create `path` with its directories, or with `resume` keep the audio it holds; raises OSError."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if resume else os.O_TRUNC)
    descriptor = os.open(path, flags, 0o640)
    audio = max(os.fstat(descriptor).st_size - WAV_HEADER_BYTES, 0)
    return RecordingFile(descriptor, audio - audio % (2 if stereo else 1))


def hash_recording(path: str) -> str:
    """SHA-256 of the file, or "" where it is gone. Reads the disk: not for the event loop's thread."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
