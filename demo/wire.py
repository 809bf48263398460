"""Listens on loopback to what the phones and the switch send each other: SIP as text, RTP as sound with exact times.

Called by the demo's story, demo/checks.py and the phone tests. A packet socket (Linux, needs CAP_NET_RAW) with a
kernel filter on the phones' ports: nothing in the switch or the phones is needed, and what is seen is what was sent.
RFC 3550 for RTP, ITU-T G.711 for A-law.
"""

from __future__ import annotations

import ctypes
import random
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from demo.recognise import RATE, Samples
from demo.switch_process import is_free

ETHERNET_HEADER = 14
IP_PROTOCOL = 0x0800
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
OUTGOING = 4  # loopback shows each packet twice: as it leaves and as it arrives
PCMA, TELEPHONE_EVENTS = 8, range(96, 128)

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Packet:
    """One UDP datagram, `at` in CLOCK_MONOTONIC seconds."""

    at: float
    source: Place
    destination: Place
    payload: bytes

    @property
    def is_sip(self) -> bool:
        """A SIP request or response (RFC 3261 7), told from RTP by its letters."""
        return len(self.payload) > 20 and self.payload[:3].isalpha() and b"SIP/2.0" in self.payload.split(b"\r\n")[0]


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet (RFC 3550 5.1)."""

    at: float
    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RtpStream:
    """The RTP that went from one port to another, in order."""

    source: Place
    destination: Place
    packets: tuple[RtpPacket, ...]

    @property
    def voice(self) -> tuple[RtpPacket, ...]:
        """Without RFC 4733 events."""
        return tuple(packet for packet in self.packets if packet.payload_type not in TELEPHONE_EVENTS)

    @property
    def begins_at(self) -> float:
        """When its first voice packet was sent."""
        return self.voice[0].at

    def sound(self) -> Samples:
        """What it sounds like, every packet at the place its timestamp gives it; gaps are silent."""
        first = self.voice[0].timestamp
        places = [(packet.timestamp - first) & 0xFFFFFFFF for packet in self.voice]
        samples = np.zeros(max(places) + 4 * len(self.voice[-1].payload))
        for place, packet in zip(places, self.voice, strict=True):
            decoded = g711(packet.payload, packet.payload_type)
            samples[place : place + len(decoded)] = decoded[: max(0, len(samples) - place)]
        return samples[: max(places) + len(self.voice[-1].payload)]

    def breaks(self) -> list[str]:
        """Where it is not one continuous line: SSRC, sequence number or timestamp that jump. Empty: all is well.

        In silence the timestamp goes on with the time (RFC 3550 5.1).
        """
        told = []
        for earlier, later in zip(self.packets, self.packets[1:], strict=False):
            if later.ssrc != earlier.ssrc:
                told.append(f"SSRC changes at sequence number {later.sequence_number}")
            elif (later.sequence_number - earlier.sequence_number) & 0xFFFF != 1:
                told.append(f"sequence number {earlier.sequence_number} is followed by {later.sequence_number}")
            elif (later.timestamp - earlier.timestamp) & 0xFFFFFFFF > RATE * (1 + later.at - earlier.at):
                told.append(f"timestamp {earlier.timestamp} is followed by {later.timestamp}")
        return told

    def digits(self) -> str:
        """RFC 4733 key presses: one for each event timestamp."""
        keys = {}
        for packet in self.packets:
            if packet.payload_type in TELEPHONE_EVENTS and len(packet.payload) >= 4:
                keys[packet.timestamp] = "0123456789*#ABCD"[packet.payload[0] & 15]
        return "".join(keys.values())


class Wire:
    """`with Wire(ports) as wire:` keeps every UDP datagram from or to `ports` of loopback until the block ends."""

    def __init__(self, ports: range) -> None:
        """Raises PermissionError where packet sockets are not allowed."""
        self.ports = ports
        self._packets: list[Packet] = []
        self._ended = False
        self._clock = max(time.time() - time.monotonic() for _ in range(10))  # less where we stood still in between
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # deaf until it is bound
        _make_room(self._socket)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        _attach(self._socket, _port_filter(ports))
        self._socket.bind(("lo", IP_PROTOCOL))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._listen, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._thread.join()
        self._socket.close()

    @property
    def packets(self) -> list[Packet]:
        """Everything so far, in the order it was sent."""
        return list(self._packets)

    def _listen(self) -> None:
        while not self._ended:
            try:
                frame, ancillary, _, address = self._socket.recvmsg(65536, 64)
            except TimeoutError:
                continue
            if address[2] == OUTGOING:
                continue
            packet = _udp(frame, self._sent_at(ancillary))
            if packet is not None:
                self._packets.append(packet)

    def _sent_at(self, ancillary: Iterable[tuple[int, int, bytes]]) -> float:
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                return float(seconds - self._clock + nanoseconds / 1e9)
        return time.monotonic()


def free_ports(count: int) -> range:
    """A run of UDP ports below the ephemeral ones that are all free at this moment."""
    for _ in range(200):
        first = random.randrange(30000, 32700 - count, 2)
        if all(is_free(port) for port in range(first, first + count)):
            return range(first, first + count)
    raise OSError(f"no {count} free UDP ports in a row")


def streams(packets: Sequence[Packet]) -> list[RtpStream]:
    """The RTP streams among `packets`, the one that began first first; RTCP is left out (RFC 5761 4)."""
    flows: dict[tuple[Place, Place], list[RtpPacket]] = defaultdict(list)
    for packet in packets:
        rtp = _rtp(packet)
        if rtp is not None:
            flows[packet.source, packet.destination].append(rtp)
    return [RtpStream(source, destination, tuple(line)) for (source, destination), line in flows.items()]


def stream_to(packets: Sequence[Packet], ports: range) -> RtpStream | None:
    """The RTP that arrived at a phone whose RTP ports are `ports`."""
    return next((stream for stream in streams(packets) if stream.destination[1] in ports and stream.voice), None)


def stream_from(packets: Sequence[Packet], ports: range) -> RtpStream | None:
    """The RTP that a phone sent whose RTP ports are `ports`."""
    return next((stream for stream in streams(packets) if stream.source[1] in ports and stream.voice), None)


def g711(payload: bytes, payload_type: int) -> Samples:
    """Decoded A-law (payload type 8) or µ-law (0)."""
    codes = np.frombuffer(payload, np.uint8)
    return np.asarray((_A_LAW if payload_type == PCMA else _MU_LAW)[codes])


def read_a_law(path: Path | str) -> bytes:
    """The A-law bytes of a WAV's data chunk, as they go over the wire."""
    data = Path(path).read_bytes()
    place = 12
    while place + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[place : place + 8])
        if kind == b"data":
            return data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    raise ValueError(f"{path}: no data chunk")


def _a_law_table() -> Samples:
    """ITU-T G.711 table 1: sign, exponent, mantissa, every second bit inverted."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = np.where(exponent == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, size, -size) * 8 / 32768.0


def _mu_law_table() -> Samples:
    """ITU-T G.711 table 2: all bits inverted."""
    code = ~np.arange(256) & 0xFF
    size = (((code & 15) << 3) + 0x84 << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -size, size) / 32768.0


_A_LAW, _MU_LAW = _a_law_table(), _mu_law_table()


def _udp(frame: bytes, at: float) -> Packet | None:
    """Ethernet, IPv4 without fragments, UDP."""
    ip = frame[ETHERNET_HEADER:]
    if len(ip) < 28 or ip[0] >> 4 != 4 or ip[9] != socket.IPPROTO_UDP:
        return None
    head = (ip[0] & 15) * 4
    source_port, destination_port, length = struct.unpack(">HHH", ip[head : head + 6])
    places = (socket.inet_ntoa(ip[12:16]), source_port), (socket.inet_ntoa(ip[16:20]), destination_port)
    return Packet(at, *places, ip[head + 8 : head + length])


def _rtp(packet: Packet) -> RtpPacket | None:
    data = packet.payload
    if len(data) < 12 or data[0] >> 6 != 2 or 64 <= data[1] & 0x7F <= 95:
        return None
    sequence_number, timestamp, ssrc = struct.unpack(">HII", data[2:12])
    body = data[12 + 4 * (data[0] & 15) :]
    return RtpPacket(packet.at, data[1] & 0x7F, bool(data[1] & 0x80), sequence_number, timestamp, ssrc, body)


def _port_filter(ports: range) -> list[tuple[int, int, int, int]]:
    """Classic BPF: IPv4, UDP, source or destination port within `ports`; (code, jump if true, if false, operand)."""
    load_half, load_byte, load_length = 0x28, 0x30, 0xB1
    load_half_indirect, equal, greater_or_equal, greater, give = 0x48, 0x15, 0x35, 0x25, 0x06
    return [
        (load_half, 0, 0, 12),
        (equal, 0, 10, IP_PROTOCOL),
        (load_byte, 0, 0, 23),
        (equal, 0, 8, socket.IPPROTO_UDP),
        (load_length, 0, 0, ETHERNET_HEADER),
        (load_half_indirect, 0, 0, ETHERNET_HEADER),
        (greater_or_equal, 0, 1, ports.start),
        (greater, 0, 3, ports.stop - 1),
        (load_half_indirect, 0, 0, ETHERNET_HEADER + 2),
        (greater_or_equal, 0, 2, ports.start),
        (greater, 1, 0, ports.stop - 1),
        (give, 0, 0, 0xFFFF),
        (give, 0, 0, 0),
    ]


def _make_room(packet_socket: socket.socket) -> None:
    """For seconds in which nobody reads, where we may: what is not seen here seems not to have been sent."""
    try:
        packet_socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    except PermissionError:  # it needs CAP_NET_ADMIN
        packet_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)


def _attach(packet_socket: socket.socket, instructions: list[tuple[int, int, int, int]]) -> None:
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    kept = ctypes.create_string_buffer(program)
    head = struct.pack("HP", len(instructions), ctypes.addressof(kept))
    packet_socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)
