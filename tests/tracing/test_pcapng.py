"""Captures are what the pcap-ng draft says, and what tshark takes for SIP."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from softswitch.tracing.pcapng import LONGEST, addresses, capture, checksum, datagram
from tests.tracing.messages import call, traced


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each block, whose two lengths must agree (pcap-ng 3.1)."""
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, length - 4)[0] == length
        yield kind, data[8 : length - 4]
        data = data[length:]


def test_a_section_an_interface_and_a_block_for_each_message() -> None:
    messages = call()
    (section, head), (interface, description), *packets = blocks(capture(messages))
    assert (section, struct.unpack_from("<IHH", head)) == (0x0A0D0D0A, (0x1A2B3C4D, 1, 0))
    assert (interface, struct.unpack_from("<HHI", description)) == (1, (101, 0, 0))
    for message, (kind, body) in zip(messages, packets, strict=True):
        number, high, low, length, original = struct.unpack_from("<IIIII", body)
        assert (kind, number, length) == (6, 0, original)
        assert (high << 32 | low) == round(message.at * 1_000_000)
        assert body[20:][:length].endswith(message.data)
        flags = struct.pack("<HHIHH", 2, 4, 1 if message.received else 2, 0, 0)
        assert body.endswith(flags)


def test_checksums_are_right_over_ipv4_and_ipv6() -> None:
    packet = datagram(("192.0.2.1", 5060), ("192.0.2.2", 5062), b"odd")
    assert checksum(packet[:20]) == 0  # RFC 1071: over a header with its checksum in it
    assert checksum(packet[12:20] + struct.pack(">BBH", 0, 17, 11) + packet[20:]) == 0
    packet = datagram(("2001:db8::1", 5060), ("2001:db8::2", 5062), b"even")
    assert packet[:8] == bytes.fromhex("60000000000c1140")
    assert checksum(packet[8:40] + struct.pack(">II", 12, 17) + packet[40:]) == 0


def test_a_checksum_of_0_is_written_as_ones() -> None:
    """RFC 768: 0 would say that there is none."""
    ends = ("192.0.2.1", 5060), ("192.0.2.2", 5062)
    (total,) = struct.unpack_from(">H", datagram(*ends, b"\0\0"), 26)
    assert datagram(*ends, struct.pack(">H", total))[26:28] == b"\xff\xff"


def test_a_name_instead_of_an_address_becomes_the_unspecified_one() -> None:
    assert [str(end) for end in addresses("sbc.example", "2001:db8::1")] == ["::", "2001:db8::1"]
    assert [str(end) for end in addresses("192.0.2.1", "2001:db8::1")] == ["192.0.2.1", "0.0.0.0"]
    assert [str(end) for end in addresses("a", "b")] == ["0.0.0.0", "0.0.0.0"]


def test_what_no_datagram_holds_is_cut() -> None:
    *_, (_, body) = blocks(capture([traced(1.0, "0", bytes(100_000))]))
    assert struct.unpack_from("<I", body, 12)[0] == LONGEST + 28


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_sip_without_a_complaint(tmp_path: Path) -> None:
    file = tmp_path / "call.pcapng"
    six = dataclasses.replace(call()[0], source=("2001:db8::1", 5060), destination=("2001:db8::10", 5060))
    file.write_bytes(capture([*call(), six]))
    fields = ["-e", "frame.time_epoch", "-e", "udp.srcport", "-e", "sip.Method", "-e", "sip.Status-Code"]
    checks = ["-e", "udp.checksum.status", "-o", "udp.check_checksum:TRUE", "-e", "_ws.expert.severity"]
    ran = subprocess.run(
        ["tshark", "-r", str(file), "-T", "fields", "-E", "separator=,", *fields, *checks],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("1000.000000000,5060,INVITE,,1")
    assert lines[4].startswith("1000.600000000,5062,,486,1")
    assert lines[-1].startswith("1000.000000000,5060,INVITE,,1")
    assert len(lines) == 8
    assert "8388608" not in ran.stdout  # PI_ERROR: malformed, or a wrong checksum
