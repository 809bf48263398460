"""Prompt files: A-law, 8000 Hz, mono, at most 2 MiB, and a precise reason for everything else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from media.prompts import MAX_FILE_BYTES, PromptCache, PromptError, load_prompt
from tests.media.phone import tone, wav


def test_a_good_file_gives_its_samples_duration_and_hash(tmp_path: Path) -> None:
    path = wav(tmp_path / "good.wav", tone(400, 0.5))
    audio = load_prompt(path)
    assert audio.samples == tone(400, 0.5)
    assert audio.duration_s == 0.5
    assert audio.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_chunks_that_do_not_matter_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "chunks.wav"
    wav(path, b"\xd5" * 160)
    data = path.read_bytes()
    path.write_bytes(data[:12] + b"LIST\x03\0\0\0abc\0" + data[12:])
    assert load_prompt(path).samples == b"\xd5" * 160


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("WAVE format is 1, expected 6", {"tag": 1}),
        ("sample rate is 16000, expected 8000", {"rate": 16000}),
        ("channels is 2, expected 1", {"channels": 2}),
        ("bits per sample is 16, expected 8", {"bits": 16}),
    ],
)
def test_a_wrong_format_is_named(tmp_path: Path, reason: str, changes: dict[str, int]) -> None:
    path = wav(tmp_path / "wrong.wav", b"\xd5" * 160, **changes)
    with pytest.raises(PromptError, match=reason):
        load_prompt(path)


@pytest.mark.parametrize(
    ("reason", "start", "end"),
    [
        ("not a RIFF WAVE file", 1, None),
        ("not a RIFF WAVE file", 0, 11),
        ("truncated: 'fmt ' tells 18 bytes", 0, 30),
        ("truncated: no data chunk", 0, 38),
        ("truncated: 'data' tells 160 bytes, 60 are there", 0, -100),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, reason: str, start: int, end: int | None) -> None:
    path = tmp_path / "damaged.wav"
    wav(path, b"\xd5" * 160)
    path.write_bytes(path.read_bytes()[start:end])
    with pytest.raises(PromptError, match=reason):
        load_prompt(path)


def test_odd_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.wav"
    wav(path, b"")
    with pytest.raises(PromptError, match="holds no audio"):
        load_prompt(path)
    data = path.read_bytes()
    path.write_bytes(data[:12] + data[38:] + data[12:38])
    with pytest.raises(PromptError, match="data chunk before"):
        load_prompt(path)
    path.write_bytes(data[:12] + b"fmt \x02\0\0\0\x06\0" + data[38:])
    with pytest.raises(PromptError, match="'fmt ' of 2 bytes"):
        load_prompt(path)
    with pytest.raises(PromptError, match="No such file"):
        load_prompt(tmp_path / "missing.wav")


def test_a_file_above_two_mebibytes_is_refused(tmp_path: Path) -> None:
    path = wav(tmp_path / "big.wav", b"\xd5" * MAX_FILE_BYTES)
    with pytest.raises(PromptError, match="larger than 2097152 bytes"):
        load_prompt(path)


def test_the_cache_reads_a_file_again_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "prompt.wav"
    cache = PromptCache()
    wav(path, b"\xd5" * 160)
    first = cache.load(path)
    assert cache.load(path) is first
    wav(path, b"\x55" * 320)
    os.utime(path, ns=(1, 1))
    assert cache.load(path).samples == b"\x55" * 320
    path.unlink()
    with pytest.raises(PromptError, match="No such file"):
        cache.load(path)
