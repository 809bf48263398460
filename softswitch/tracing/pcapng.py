"""Writes SIP messages as a pcap-ng capture that Wireshark opens: each as one UDP datagram with headers made up.

draft-ietf-opsawg-pcapng (SHB 4.1, IDB 4.2, EPB 4.3), RFC 791, 768, 8200 8.1. Called by `softswitch trace --pcapng`.
What went by TCP or TLS stands there as UDP too, for only the messages were kept. It never captures anything.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

from softswitch.tracing.trace import Address, TracedMessage

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6  # block types
BYTE_ORDER = 0x1A2B3C4D
RAW_IP = 101  # LINKTYPE_RAW: the packet begins with an IPv4 or IPv6 header
END_OF_OPTIONS, IF_NAME, USER_APPLICATION, EPB_FLAGS = 0, 2, 4, 2
INBOUND, OUTBOUND = 1, 2  # in epb_flags
UDP = 17
LONGEST = 65535 - 40 - 8  # bytes of a message that fit

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def capture(messages: Iterable[TracedMessage]) -> bytes:
    """The whole file."""
    section = struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1) + _options((USER_APPLICATION, b"softswitch"))
    interface = struct.pack("<HHI", RAW_IP, 0, 0) + _options((IF_NAME, b"sip"))
    return b"".join([_block(SECTION, section), _block(INTERFACE, interface), *map(_packet, messages)])


def _packet(message: TracedMessage) -> bytes:
    microseconds = round(message.at * 1_000_000)
    data = datagram(message.source, message.destination, message.data[:LONGEST])
    head = struct.pack("<IIIII", 0, microseconds >> 32, microseconds & 0xFFFFFFFF, len(data), len(data))
    flags = struct.pack("<I", INBOUND if message.received else OUTBOUND)
    return _block(PACKET, head + _padded(data) + _options((EPB_FLAGS, flags)))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(*options: tuple[int, bytes]) -> bytes:
    written = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join(written) + struct.pack("<HH", END_OF_OPTIONS, 0)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def datagram(source: Address, destination: Address, data: bytes) -> bytes:
    """An IPv4 or IPv6 packet with a UDP datagram in it, checksums and all; a host that is no address becomes 0."""
    ends = addresses(source[0], destination[0])
    one, other = (end.packed for end in ends)
    length = len(data) + 8
    if ends[0].version == 4:
        pseudo = one + other + struct.pack(">BBH", 0, UDP, length)
        head = struct.pack(">BBHHHBBH", 0x45, 0, length + 20, 0, 0, 64, UDP, 0) + one + other
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    else:
        pseudo = one + other + struct.pack(">II", length, UDP)
        head = struct.pack(">IHBB", 6 << 28, length, UDP, 64) + one + other
    udp = struct.pack(">HHH", source[1], destination[1], length)
    total = checksum(pseudo + udp + b"\0\0" + data) or 0xFFFF  # 0 would mean: none (RFC 768)
    return head + udp + struct.pack(">H", total) + data


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def addresses(source: str, destination: str) -> tuple[_Ip, _Ip]:
    """Both as addresses of one family: a name, or one of the other family, becomes the unspecified address."""
    ends = [_address(source), _address(destination)]
    known = next((end for end in ends if end is not None), ipaddress.IPv4Address(0))
    one, other = (end if end is not None and end.version == known.version else type(known)(0) for end in ends)
    return one, other


def _address(host: str) -> _Ip | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
