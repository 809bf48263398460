"""Recording files: created with their directories or resumed after a crash, mended where nobody goes on, and hashed.

Called by the engine, and by who finds files after a crash. Writing itself is the native writer thread's; nothing here
touches samples.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import struct
import time
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from media import _native

WAV_HEADER_BYTES = _native.WAV_HEADER_BYTES
MOST_OF_A_NAME = 1000
MENDING_S, LOOK_AGAIN_S = 1.0, 0.01  # how long whoever mends a file (below) may have it; between two looks


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """An open file: its descriptor, the bytes of audio it already holds, and its path (perhaps another than wanted)."""

    descriptor: int
    written: int
    path: str

    def discard(self) -> None:
        """Nobody wants it any more: leaves no file behind that holds nothing."""
        if not os.fstat(self.descriptor).st_size:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        os.close(self.descriptor)


def open_recording(path: str, *, stereo: bool, resume: bool) -> RecordingFile:
    """Create a file with its directories, or with `resume` keep the audio it holds; raises OSError.

    No recording is ever written over: where `path` is there already, `call.wav` becomes `call-2.wav`, and so on; so it
    does where somebody else still writes what is to be resumed. The lock tells others, as long as the descriptor is
    open, that the file is still written (`flock`). May wait: not for the event loop's thread.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    descriptor = _open_locked(path) if resume else None
    if descriptor is None:
        descriptor, path = _create(path)
        _lock(descriptor, MENDING_S)
    audio = max(os.fstat(descriptor).st_size - WAV_HEADER_BYTES, 0)
    return RecordingFile(descriptor, audio - audio % (2 if stereo else 1), path)


def _open_locked(path: str) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    if _lock(descriptor, MENDING_S):
        return descriptor
    os.close(descriptor)
    return None


def _lock(descriptor: int, patience_s: float) -> bool:
    """False: somebody has it for longer than a file takes to be mended."""
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_AGAIN_S)
        except OSError:  # a file system without locks
            return True
        else:
            return True


def _create(path: str) -> tuple[int, str]:
    whole = PurePath(path)
    for number in range(1, MOST_OF_A_NAME + 1):
        name = path if number == 1 else str(whole.with_name(f"{whole.stem}-{number}{whole.suffix}"))
        with contextlib.suppress(FileExistsError):
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


@dataclass(frozen=True, slots=True)
class Remains:
    """What is in a file whose writer is gone; `mended`: its header told something else, or there was none yet."""

    duration_s: float
    size: int
    mended: bool


def wav_header(audio: int, channels: int) -> bytes:
    """Of `audio` bytes of A-law at 8000 Hz, as the native writer makes it."""
    sizes = struct.pack("<4sI8sI", b"RIFF", WAV_HEADER_BYTES - 8 + audio, b"WAVEfmt ", 18)
    form = struct.pack("<HHIIHHH", 6, channels, 8000, 8000 * channels, channels, 8, 0)
    return sizes + form + struct.pack("<4sII4sI", b"fact", 4, audio // channels, b"data", audio)


def mend_recording(path: str) -> Remains:
    """Make the header tell what the file holds.

    Raises BlockingIOError while somebody writes the file, OSError where it is not there or no recording of ours.
    """
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remains, header = _look(file)
        if remains.mended:
            file.truncate(remains.size)
            file.seek(0)
            file.write(header)
    return remains


def recorded_so_far(path: str) -> Remains:
    """What is in a file that somebody may still write, and whose header it is not for us to mend; raises OSError."""
    with open(path, "rb") as file:
        return _look(file)[0]


def _look(file: BinaryIO) -> tuple[Remains, bytes]:
    """What a file holds, and the header that would tell so."""
    header, size = file.read(WAV_HEADER_BYTES), os.fstat(file.fileno()).st_size
    channels = header[22] if len(header) == WAV_HEADER_BYTES else 1
    if channels not in (1, 2) or not _is_ours(header, channels):
        raise OSError(errno.EINVAL, "no recording of ours", file.name)
    audio = max(size - WAV_HEADER_BYTES, 0) & ~1  # RIFF chunks have even sizes
    whole = wav_header(audio, channels)
    mended = (header, size) != (whole, WAV_HEADER_BYTES + audio)
    return Remains(audio / (8000 * channels), WAV_HEADER_BYTES + audio, mended), whole


def _is_ours(header: bytes, channels: int) -> bool:
    """All but the lengths, as far as it was written."""
    wanted = wav_header(0, channels)
    return all(header[a:b] == wanted[a : min(b, len(header))] for a, b in ((0, 4), (8, 46), (50, 54)))


def hash_recording(path: str) -> str:
    """SHA-256 of the file, or "" where it is gone. Reads the disk: not for the event loop's thread."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
