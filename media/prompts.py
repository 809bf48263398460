"""Loads prompt files: WAV, A-law (WAVE format 6), 8000 Hz, mono, at most 2 MiB; refuses all else with the reason.

Called by the media engine before it hands samples to the native core, and by whoever wants a prompt checked (catalogue,
upload, null driver). A progress tone (media/tones.py) is loaded like a file. Never converts or plays anything.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from media.tones import SAMPLE_RATE, SCHEME, UnknownTone, tone_samples

MAX_FILE_BYTES = 2 * 1024 * 1024
WAVE_FORMAT_ALAW = 6


class PromptError(Exception):
    """A prompt file can't be played: the message names the file and what was expected."""


@dataclass(frozen=True, slots=True)
class PromptAudio:
    """The audio of one prompt: A-law `samples` at 8000 Hz, how long they last, and the SHA-256 of the whole file.

    Of a tone the SHA-256 is that of its samples.
    """

    samples: bytes
    duration_s: float
    sha256: str


@dataclass(frozen=True, slots=True)
class _CachedPrompt:
    mtime_ns: int
    size: int
    audio: PromptAudio


def load_prompt(path: str | Path) -> PromptAudio:
    """Read and check the file at `path`, or make the tone that it names; raises PromptError with the precise reason."""
    if str(path).startswith(SCHEME):
        return _load_tone(str(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}") from error
    return read_prompt(path, data)


def read_prompt(path: str | Path, data: bytes) -> PromptAudio:
    """The audio in `data`, the content of the file at `path`; raises PromptError with the precise reason."""
    if len(data) > MAX_FILE_BYTES:
        raise PromptError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    samples = _alaw_samples(path, data)
    return PromptAudio(samples, len(samples) / SAMPLE_RATE, hashlib.sha256(data).hexdigest())


def _load_tone(path: str) -> PromptAudio:
    try:
        samples = tone_samples(path)
    except UnknownTone as error:
        raise PromptError(str(error)) from error
    return PromptAudio(samples, len(samples) / SAMPLE_RATE, hashlib.sha256(samples).hexdigest())


def _alaw_samples(path: str | Path, data: bytes) -> bytes:
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise PromptError(f"{path}: not a RIFF WAVE file")
    format_seen = False
    offset = 12
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        body = data[offset + 8 : offset + 8 + size]
        if name in (b"fmt ", b"data") and len(body) < size:
            raise PromptError(f"{path}: truncated: {name.decode()!r} tells {size} bytes, {len(body)} are there")
        if name == b"fmt ":
            _check_format(path, body)
            format_seen = True
        elif name == b"data":
            return _checked_data(path, body, format_seen)
        offset += 8 + size + size % 2
    raise PromptError(f"{path}: truncated: no data chunk")


def _check_format(path: str | Path, body: bytes) -> None:
    if len(body) < 16:
        raise PromptError(f"{path}: truncated: 'fmt ' of {len(body)} bytes, expected at least 16")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    for what, found, expected in (
        ("WAVE format", tag, WAVE_FORMAT_ALAW),
        ("sample rate", rate, SAMPLE_RATE),
        ("channels", channels, 1),
        ("bits per sample", bits, 8),
    ):
        if found != expected:
            raise PromptError(f"{path}: {what} is {found}, expected {expected} (A-law, 8000 Hz, mono)")


def _checked_data(path: str | Path, body: bytes, format_seen: bool) -> bytes:
    if not format_seen:
        raise PromptError(f"{path}: data chunk before 'fmt '")
    if not body:
        raise PromptError(f"{path}: holds no audio")
    return body


class PromptCache:
    """Prompts by path, read again when the file's time or size has changed."""

    def __init__(self) -> None:
        self._prompts: dict[str, _CachedPrompt] = {}

    def load(self, path: str | Path) -> PromptAudio:
        """The checked audio at `path`; raises PromptError."""
        key = str(path)
        if key.startswith(SCHEME):
            return self._tone(key)
        try:
            status = os.stat(key)
        except OSError as error:
            raise PromptError(f"{path}: {error.strerror}") from error
        cached = self._prompts.get(key)
        if cached and (cached.mtime_ns, cached.size) == (status.st_mtime_ns, status.st_size):
            return cached.audio
        audio = load_prompt(key)
        self._prompts[key] = _CachedPrompt(status.st_mtime_ns, status.st_size, audio)
        return audio

    def _tone(self, key: str) -> PromptAudio:
        cached = self._prompts.get(key)
        if cached is None:
            cached = self._prompts[key] = _CachedPrompt(0, 0, load_prompt(key))
        return cached.audio
