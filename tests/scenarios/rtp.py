"""A phone's RTP beside SIPp's signalling: hears prompts and voices, talks, and keys digits by RFC 4733 or as tones.

RFC 3550 section 5.1, RFC 4733 section 2. Called by runner.py, one for each side of a scenario. SIPp has no part
in the media.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from tests.media.phone import tones
from tests.scenarios.world import SOUNDS

PCMA, EVENTS = 8, 101
FRAME_S = 0.02
KEYED_AFTER_S = 0.3
DIGITS = "0123456789*#"
KEYPAD, ROWS, COLUMNS = "123456789*0#", (697, 770, 852, 941), (1209, 1336, 1477)
PAUSE_S = 0.8  # the same sound after so much silence has begun anew

Address = tuple[str, int]


class Phone(asyncio.DatagramProtocol):
    """One RTP port. `heard` counts packets by what they sounded of, `order` tells each sound as it began."""

    def __init__(self, voice: int, keys: Sequence[str] = (), *, tones: bool = False) -> None:
        self.heard: dict[str, int] = {}
        self.order: list[str] = []
        self.port = 0
        self._voice, self._keys, self._tones = voice, list(keys), tones
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sequence, self._timestamp = 1, 1
        self._last_at = 0.0

    async def open(self, address: str) -> None:
        """Take a free port of `address`."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, 0))
        self.port = self._transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        """Hang up the phone's media."""
        for task in self._tasks:
            task.cancel()
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Remember what this packet sounds of; the prompt that asks for an extension gets one."""
        if len(data) < 13 or data[1] & 0x7F != PCMA:
            return
        sound = SOUNDS.get(data[12 + (len(data) - 12) // 2], "?")
        self.heard[sound] = self.heard.get(sound, 0) + 1
        now = asyncio.get_running_loop().time()
        silence_s, self._last_at = now - self._last_at, now
        if not self.order or self.order[-1] != sound or silence_s > PAUSE_S:
            self.order.append(sound)
            if sound == "enter_extension" and self._keys:
                self._tasks.append(asyncio.create_task(self._key(self._keys.pop(0), addr)))

    def talk(self, remote: Callable[[], Address | None]) -> None:
        """Send this phone's voice, from the moment that `remote` knows where to."""
        self._tasks.append(asyncio.create_task(self._talk(remote)))

    async def _talk(self, remote: Callable[[], Address | None]) -> None:
        while (to := remote()) is None:  # noqa: ASYNC110 - a file tells nobody that it has grown
            await asyncio.sleep(FRAME_S)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._send(PCMA, False, self._timestamp, bytes([self._voice]) * 160, to)
            self._timestamp += 160
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _key(self, digits: str, to: Address) -> None:
        """Each digit: 80 ms held, its end told three times (RFC 4733 2.5.1), 60 ms apart."""
        await asyncio.sleep(KEYED_AFTER_S)
        for digit in digits if self._tones else "":
            await self._tone(digit, to)
        for digit in "" if self._tones else digits:
            start = self._timestamp
            for frame in range(1, 8):
                self._event(digit, start, min(frame, 5) * 160, frame >= 5, frame == 1, to)
                if frame < 5:
                    await asyncio.sleep(FRAME_S)
            await asyncio.sleep(3 * FRAME_S)
            self._timestamp += 8 * 160

    async def _tone(self, digit: str, to: Address) -> None:
        """80 ms of the digit's two frequencies (ITU-T Q.23) and 60 ms of silence."""
        place = KEYPAD.index(digit)
        sound = tones(ROWS[place // 3], COLUMNS[place % 3], 0.08) + b"\xd5" * 480
        for at in range(0, len(sound), 160):
            self._send(PCMA, at == 0, self._timestamp, sound[at : at + 160], to)
            self._timestamp += 160
            await asyncio.sleep(FRAME_S)

    def _event(self, digit: str, timestamp: int, duration: int, end: bool, first: bool, to: Address) -> None:
        payload = struct.pack("!BBH", DIGITS.index(digit), (0x80 if end else 0) | 10, duration)
        self._send(EVENTS, first, timestamp, payload, to)

    def _send(self, payload_type: int, marker: bool, timestamp: int, payload: bytes, to: Address) -> None:
        header = struct.pack(
            "!BBHII", 0x80, payload_type | marker << 7, self._sequence & 0xFFFF, timestamp, self._voice
        )
        self._sequence += 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(header + payload, to)


class SilentTarget(asyncio.DatagramProtocol):
    """A SIP address where whatever arrives is counted and never answered."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Keep it."""
        self.received.append(data)


def media_address(sdp: str) -> Address | None:
    """Where the SDP in `sdp` wants its RTP, None where there is none."""
    port, address = re.search(r"^m=audio (\d+)", sdp, re.M), re.search(r"^c=IN IP4 (\S+)", sdp, re.M)
    return (address[1], int(port[1])) if port and address else None
