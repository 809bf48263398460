"""A phone for media tests: one UDP socket that sends RTP at exact times and keeps what it hears."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAME = 160
SILENCE = 0xD5


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet as a phone heard it, `at` by the loop's clock."""

    at: float
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def alaw(samples: NDArray[np.int16]) -> bytes:
    """G.711 A-law of linear samples, by the recommendation's segments."""
    codes = bytearray()
    for sample in (int(value) >> 3 for value in samples):
        mask, magnitude = (0xD5, sample) if sample >= 0 else (0x55, -sample - 1)
        segment = next((index for index in range(8) if magnitude <= (0x20 << index) - 1), 8)
        code = (segment << 4) | ((magnitude >> max(1, segment)) & 0x0F) if segment < 8 else 0x7F
        codes.append(code ^ mask)
    return bytes(codes)


def _alaw_to_linear(code: int) -> int:
    code ^= 0x55
    segment = (code & 0x70) >> 4
    value = ((code & 0x0F) << 4) + (0x108 if segment else 8)
    value <<= max(segment - 1, 0)
    return value if code & 0x80 else -value


ALAW_LINEAR = np.array([_alaw_to_linear(code) for code in range(256)], np.int16)


def linear(codes: bytes) -> NDArray[np.int16]:
    """Linear samples of A-law codes."""
    return ALAW_LINEAR[np.frombuffer(codes, np.uint8)]


def tone(frequency: float, seconds: float, amplitude: int = 8000) -> bytes:
    """A-law of a sine."""
    times = np.arange(round(seconds * 8000)) / 8000
    return alaw((amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.int16))


def tones(low: float, high: float, seconds: float, amplitude: int = 6000) -> bytes:
    """A-law of two sines at once, as a key makes them."""
    times = np.arange(round(seconds * 8000)) / 8000
    both = np.sin(2 * np.pi * low * times) + np.sin(2 * np.pi * high * times)
    return alaw((amplitude * both).astype(np.int16))


def loudness(codes: bytes, frequency: float) -> float:
    """Amplitude of `frequency` in A-law audio (one bin of a Fourier transform)."""
    samples = linear(codes).astype(float)
    times = np.arange(len(samples)) / 8000
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * frequency * times)))) if len(samples) else 0.0


def loud_s(audio: bytes, frequency: float) -> float:
    """How long the tone is loud, in whole frames of 20 ms: a machine that stands still leaves gaps, and shifts it."""
    frames = [audio[at : at + 160] for at in range(0, len(audio), 160)]
    return sum(loudness(frame, frequency) > 6000 for frame in frames) / 50


def wav(path: Path, codes: bytes, *, tag: int = 6, rate: int = 8000, channels: int = 1, bits: int = 8) -> str:
    """Write a WAV file; returns its path as text."""
    form = struct.pack("<HHIIHHH", tag, channels, rate, rate * channels, channels, bits, 0)
    body = b"WAVEfmt " + struct.pack("<I", 18) + form + b"data" + struct.pack("<I", len(codes)) + codes
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return str(path)


def rtp(
    sequence: int, timestamp: int, payload: bytes, *, ssrc: int = 0x1234, payload_type: int = 8, marker: bool = False
) -> bytes:
    """One RTP packet (RFC 3550 5.1)."""
    second = payload_type | (0x80 if marker else 0)
    return struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def key(event: int, duration: int, *, end: bool = False) -> bytes:
    """The payload of an RFC 4733 event."""
    return struct.pack("!BBH", event, (0x80 if end else 0) | 10, duration)


@dataclass(slots=True)
class Phone:
    """A bound socket; `target` is the endpoint that it talks to."""

    bound: socket.socket
    target: tuple[str, int] = ("127.0.0.1", 0)
    heard: list[Packet] = field(default_factory=list)
    ssrc: int = 0x1234
    sequence: int = 1000
    timestamp: int = 50000
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def bind(cls, port: int = 0, host: str = "127.0.0.1") -> Phone:
        """A phone on a free (or the given) loopback port, reading from the running loop on."""
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        bound.setblocking(False)
        bound.bind((host, port))
        phone = cls(bound)
        asyncio.get_running_loop().add_reader(bound, phone._read)
        return phone

    @property
    def port(self) -> int:
        """The local port."""
        return int(self.bound.getsockname()[1])

    @property
    def host(self) -> str:
        """The local address."""
        return str(self.bound.getsockname()[0])

    def close(self) -> None:
        """Stop reading."""
        asyncio.get_running_loop().remove_reader(self.bound)
        self.bound.close()

    def send(self, data: bytes) -> None:
        """Any bytes to the endpoint."""
        self.bound.sendto(data, self.target)

    def frame(self, payload: bytes, *, payload_type: int = 8, marker: bool = False) -> bytes:
        """The next packet of this phone's stream."""
        packet = rtp(self.sequence, self.timestamp, payload, ssrc=self.ssrc, payload_type=payload_type, marker=marker)
        self.sequence += 1
        self.timestamp += len(payload)
        return packet

    async def talk(
        self,
        codes: bytes,
        *,
        payload_type: int = 8,
        delays: Sequence[float] = (),
        lost: Iterable[int] = (),
        started: Callable[[], None] | None = None,
    ) -> None:
        """Send `codes` in 20 ms frames on an exact grid; frame i comes `delays[i]` late, those in `lost` never."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        missing = set(lost)
        frames = [codes[at : at + FRAME] for at in range(0, len(codes), FRAME)]
        plan = []
        for index, payload in enumerate(frames):
            packet = self.frame(payload, payload_type=payload_type)
            late = delays[index] if index < len(delays) else 0.0
            if index not in missing:
                plan.append((start + index * 0.02 + late, packet))
        for at, packet in sorted(plan):
            await wait_until(at)
            self.send(packet)
            if started:
                started()
                started = None
        await wait_until(start + len(frames) * 0.02)

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
        """Until `condition` holds; looked at after every packet heard."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()

    def audio(self) -> bytes:
        """The A-law audio heard, in the order of arrival."""
        return b"".join(packet.payload for packet in self.heard if packet.payload_type == 8)

    def _read(self) -> None:
        while True:
            try:
                data = self.bound.recv(2048)
            except BlockingIOError:
                break
            first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
            assert first == 0x80
            now = asyncio.get_running_loop().time()
            self.heard.append(Packet(now, second > 127, second & 127, sequence, timestamp, ssrc, data[12:]))
        self.arrived.set()


async def wait_until(at: float) -> None:
    """Until the loop's clock shows `at`."""
    loop = asyncio.get_running_loop()
    reached = loop.create_future()
    timer = loop.call_at(at, reached.set_result, None)
    try:
        await reached
    finally:
        timer.cancel()


async def wait_for_seconds(seconds: float) -> None:
    """So much of real time: media can't be hurried."""
    await wait_until(asyncio.get_running_loop().time() + seconds)
