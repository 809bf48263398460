"""The ladder shows every message in its lane, its direction and its order, and no real number."""

from __future__ import annotations

import struct

from demo.ladder import mask, rungs
from demo.wire import Packet
from softswitch.cli.ladder import draw

A, SWITCH, B = ("127.0.0.1", 31000), ("127.0.0.1", 5060), ("127.0.0.1", 31001)
A_RTP, SWITCH_RTP = ("127.0.0.1", 31010), ("127.0.0.1", 20000)
LANES = {31000: 0, 31010: 0, 31001: 1}
NUMBERS = ["+8613800000001", "+8613900000002"]


def sip(at: float, source: tuple[str, int], destination: tuple[str, int], text: str) -> Packet:
    return Packet(at, source, destination, text.replace("\n", "\r\n").encode())


def call() -> list[Packet]:
    return [
        sip(1.0, A, SWITCH, "INVITE sip:17000000001@h SIP/2.0\nCSeq: 1 INVITE\n\nv=0\n"),
        sip(1.001, SWITCH, A, "SIP/2.0 100 Trying\nCSeq: 1 INVITE\n\n"),
        sip(1.01, SWITCH, B, "INVITE sip:+8613900000002@h SIP/2.0\nCSeq: 1 INVITE\n\nv=0\n"),
        sip(1.5, SWITCH, B, "INVITE sip:+8613900000002@h SIP/2.0\nCSeq: 1 INVITE\n\nv=0\n"),
        sip(1.6, B, SWITCH, "SIP/2.0 486 Busy Here\nCSeq: 1 INVITE\n\n"),
        sip(1.7, SWITCH, A, "SIP/2.0 200 OK\nCSeq: 2 BYE\n\nv=0\na=sendonly\n"),
        Packet(1.65, SWITCH_RTP, A_RTP, struct.pack(">BBHII", 0x80, 8, 1, 1, 1) + bytes(160)),
    ]


def test_rows_stand_in_their_lane_and_point_the_way_the_message_went() -> None:
    rows = rungs(call(), LANES)
    assert [(row.lane, row.rightwards, row.label, row.times) for row in rows] == [
        (0, True, "INVITE 17000000001 SDP", 1),
        (0, False, "100 Trying", 1),
        (1, True, "INVITE +8613900000002 SDP", 2),
        (1, False, "486 Busy Here", 1),
        (0, False, "RTP begins (1 packets)", 1),
        (0, False, "200 OK (BYE) SDP sendonly", 1),
    ]


def test_real_numbers_are_masked_and_x_is_not() -> None:
    text = draw(rungs(call(), LANES, NUMBERS), ("A", "switch", "B")).plain
    assert "13900000002" not in text
    assert "139****0002" in text
    assert "17000000001" in text
    assert mask("tel:13800000001", NUMBERS) == "tel:138****0001"


def test_a_drawn_ladder_fits_a_terminal_of_80_columns() -> None:
    lines = draw(rungs(call(), LANES), ("A (driver)", "switch", "B (guest)")).plain.splitlines()
    assert len(lines) == 7
    assert max(len(line) for line in lines) <= 80
    assert "▶" in lines[1]
    assert lines[2].index("◀") < lines[3].index("▶")
    assert "×2" in lines[3]


def test_messages_of_strangers_are_left_out() -> None:
    assert rungs([sip(1.0, ("127.0.0.1", 9), SWITCH, "OPTIONS sip:x@h SIP/2.0\nCSeq: 1 OPTIONS\n\n")], LANES) == []
