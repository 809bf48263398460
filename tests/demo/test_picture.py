"""The picture of a recording is a valid PNG that shows where it is loud."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from demo.picture import AXIS, HEIGHT, INK, PAPER, WIDTH, png, sparkline, waveform, write_waveform
from demo.recognise import RATE, Samples


def half_loud() -> Samples:
    """One second of silence, then one of a tone."""
    return np.concatenate([np.zeros(RATE), 0.5 * np.sin(np.arange(RATE))])


def test_the_waveform_is_flat_where_nothing_sounds_and_high_where_it_is_loud() -> None:
    pixels = waveform(half_loud())
    quiet, loud = pixels[:, WIDTH // 4], pixels[:, 3 * WIDTH // 4]
    assert np.all(quiet == INK, axis=1).sum() == 1
    assert np.all(loud == INK, axis=1).sum() > HEIGHT * 0.9


def test_an_empty_recording_gives_an_empty_picture() -> None:
    pixels = waveform(np.zeros(0))
    assert np.all(pixels[HEIGHT // 2] == AXIS)
    assert np.all(pixels[0] == PAPER)


def test_the_png_unpacks_to_the_pixels_that_went_in(tmp_path: Path) -> None:
    pixels = waveform(half_loud())
    data = png(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, chunks = 8, {}
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], place = body, place + 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(HEIGHT, 1 + WIDTH * 3)
    assert np.array_equal(rows[:, 1:].reshape(HEIGHT, WIDTH, 3), pixels)

    write_waveform(half_loud(), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes() == data


def test_the_sparkline_is_low_in_silence_and_full_when_loud() -> None:
    line = sparkline(half_loud(), columns=10)
    assert line == "▁▁▁▁▁█████"
