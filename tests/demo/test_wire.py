"""What the wire shows: datagrams of the watched ports only, RTP (RFC 3550) as sound, RFC 4733 digits once each."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demo.recognise import RATE, load
from demo.switch_process import free_port, wait_until
from demo.wire import Packet, Wire, free_ports, g711, read_a_law, stream_from, stream_to, streams

SWITCH, PHONE = ("127.0.0.1", 20000), ("127.0.0.1", 31000)
PHONE_PORTS = range(31000, 31008)


def rtp(
    number: int, payload: bytes = b"\xd5" * 160, *, payload_type: int = 8, timestamp: int = -1, ssrc: int = 7
) -> bytes:
    stamp = timestamp if timestamp >= 0 else 1000 + 160 * number
    return struct.pack(">BBHII", 0x80, payload_type, (65530 + number) & 0xFFFF, stamp, ssrc) + payload


def arriving(*payloads: bytes) -> list[Packet]:
    return [Packet(10 + 0.02 * index, SWITCH, PHONE, payload) for index, payload in enumerate(payloads)]


@pytest.fixture
def wire() -> Iterator[Wire]:
    try:
        wire = Wire(free_ports(4))
    except PermissionError:
        pytest.skip("packet sockets are not permitted here")
    with wire:
        yield wire


def test_datagrams_from_and_to_the_watched_ports_are_seen_once_and_others_are_not(wire: Wire) -> None:
    watched, stranger = wire.ports.start, free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone, socket.socket(type=socket.SOCK_DGRAM) as other:
        phone.bind(("127.0.0.1", watched))
        other.bind(("127.0.0.1", stranger))
        before = time.monotonic()
        other.sendto(b"not watched", ("127.0.0.1", stranger))
        phone.sendto(b"from the phone", ("127.0.0.1", stranger))
        other.sendto(b"to the phone", ("127.0.0.1", watched))
        assert wait_until(lambda: len(wire.packets) >= 2, 60.0)
        after = time.monotonic()
    assert [(packet.source[1], packet.destination[1], packet.payload) for packet in wire.packets] == [
        (watched, stranger, b"from the phone"),
        (stranger, watched, b"to the phone"),
    ]
    assert before - 0.01 <= wire.packets[0].at <= wire.packets[1].at <= after + 0.01


def test_sip_is_told_from_rtp() -> None:
    invite, ok, media = arriving(b"INVITE sip:x@h SIP/2.0\r\n\r\n", b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n", rtp(0))
    assert [packet.is_sip for packet in (invite, ok, media)] == [True, True, False]


def test_a_stream_sounds_as_it_was_sent_with_silence_where_a_packet_is_missing() -> None:
    loud = b"\xaa" * 160  # the largest negative step of A-law is 0x2a, the largest positive 0xaa
    stream = stream_to(arriving(rtp(0, loud), rtp(2, loud)), PHONE_PORTS)
    assert stream is not None
    sound = stream.sound()
    assert len(sound) == 480
    assert np.all(sound[:160] > 0.9)
    assert np.all(sound[160:320] == 0)
    assert np.all(sound[320:] > 0.9)
    assert stream.begins_at == 10


def test_an_unbroken_stream_has_no_breaks_also_where_its_sequence_number_wraps() -> None:
    stream = streams(arriving(*(rtp(number) for number in range(10))))[0]
    assert stream.breaks() == []


def test_silence_of_which_the_timestamp_tells_is_no_break() -> None:
    before, behind = arriving(rtp(0), rtp(1, timestamp=1000 + 3 * RATE))
    assert streams([before, replace(behind, at=before.at + 3)])[0].breaks() == []


@pytest.mark.parametrize(
    ("packets", "words"),
    [
        ((rtp(0), rtp(2)), "is followed by"),
        ((rtp(0), rtp(1, ssrc=8)), "SSRC changes"),
        ((rtp(0), rtp(1, timestamp=900000)), "timestamp 1000 is followed by 900000"),
    ],
)
def test_breaks_are_told(packets: tuple[bytes, ...], words: str) -> None:
    (told,) = streams(arriving(*packets))[0].breaks()
    assert words in told


def test_a_key_press_of_many_event_packets_is_one_digit() -> None:
    events = [
        rtp(number, struct.pack(">BBH", digit, 10, 160 * number), payload_type=101, timestamp=press * 1000)
        for number, (press, digit) in enumerate([(1, 5), (1, 5), (1, 5), (2, 5), (2, 5), (3, 11)])
    ]
    stream = streams(arriving(*events))[0]
    assert stream.digits() == "55#"
    assert stream.voice == ()


def test_rtcp_is_not_rtp() -> None:
    sender_report = struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, 0, 0, 0, 0, 0)
    assert streams(arriving(sender_report, b"short")) == []
    assert stream_from(arriving(rtp(0)), PHONE_PORTS) is None


@pytest.mark.parametrize(("payload_type", "subtype"), [(8, "ALAW"), (0, "ULAW")])
def test_every_code_of_g711_decodes_as_libsndfile_decodes_it(tmp_path: Path, payload_type: int, subtype: str) -> None:
    codes = bytes(range(256))
    soundfile.write(tmp_path / "codes.wav", np.zeros(256), RATE, format="WAV", subtype=subtype)
    whole = (tmp_path / "codes.wav").read_bytes()
    place = whole.index(b"data") + 8
    (tmp_path / "codes.wav").write_bytes(whole[:place] + codes)
    assert g711(codes, payload_type) == pytest.approx(load(tmp_path / "codes.wav"), abs=1e-9)
    assert read_a_law(tmp_path / "codes.wav") == codes


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"RIFF\x04\x00\x00\x00WAVE")
    with pytest.raises(ValueError, match="no data chunk"):
        read_a_law(tmp_path / "empty.wav")
