"""Draws a recording: a waveform as PNG, and as one line of text for the terminal.

Called by the demo's story. PNG (ISO/IEC 15948) needs no more than zlib and a few lines.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from demo.recognise import RATE, Samples

WIDTH, HEIGHT = 1200, 160
INK, PAPER, AXIS, SECOND = (38, 99, 158), (255, 255, 255), (170, 178, 189), (226, 230, 235)
BLOCKS = "▁▂▃▄▅▆▇█"

Pixels = npt.NDArray[np.uint8]


def waveform(samples: Samples) -> Pixels:
    """The picture of one channel: peaks as bars, a grey line a second, full height at the loudest sample."""
    pixels = np.full((HEIGHT, WIDTH, 3), PAPER, dtype=np.uint8)
    middle = HEIGHT // 2
    for second in range(1, int(len(samples) / RATE) + 1):
        pixels[:, min(WIDTH - 1, int(second * RATE * WIDTH / len(samples)))] = SECOND
    pixels[middle] = AXIS
    scale = (middle - 2) / max(1e-3, float(np.max(np.abs(samples), initial=0.0)))
    for column, part in enumerate(np.array_split(samples, WIDTH)):
        if len(part):
            top, bottom = middle - int(part.max() * scale), middle - int(part.min() * scale)
            pixels[top : bottom + 1, column] = INK
    return pixels


def png(pixels: Pixels) -> bytes:
    """An RGB picture as PNG."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, width * 3)], axis=1)  # filter 0
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write_waveform(samples: Samples, path: Path) -> None:
    """Write the picture of `samples` to `path`."""
    path.write_bytes(png(waveform(samples)))


def sparkline(samples: Samples, columns: int = 72) -> str:
    """The loudness of `samples` over time as one line of block characters, 42 dB from lowest to highest."""
    levels = np.array([np.sqrt(np.mean(part**2)) if len(part) else 0.0 for part in np.array_split(samples, columns)])
    loudest = max(1e-4, float(levels.max(initial=0.0)))
    decibels = 20 * np.log10(np.maximum(levels / loudest, 1e-6))
    heights = np.clip(len(BLOCKS) * (1 + decibels / 42), 0, len(BLOCKS) - 1).astype(int)
    return "".join(BLOCKS[height] for height in heights)
