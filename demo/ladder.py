"""The rows of a call's SIP ladder as the wire saw it: from packets, where RTP begins among them.

Called by the demo's story. Columns are the caller, the switch and the callee. Real numbers are masked the way the
switch masks them in its logs. It takes only the drawing from the switch, never what the switch says of the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from demo.wire import Packet, streams
from softswitch.cli.ladder import Rung, label_of, repeats_folded

SOUND = "magenta"


def mask(text: str, numbers: Iterable[str]) -> str:
    """`text` with the middle digits of each of `numbers` (E.164) hidden, in whatever form they stand there."""
    for number in numbers:
        national = number.removeprefix("+86")
        text = text.replace(national, f"{national[:3]}{'*' * (len(national) - 7)}{national[-4:]}")
    return text


def rungs(packets: Sequence[Packet], lanes: Mapping[int, int], numbers: Iterable[str] = ()) -> list[Rung]:
    """The rows of a ladder; `lanes` tells the lane (0 or 1) of each phone's SIP and RTP port."""
    rows = [rung for packet in packets if packet.is_sip and (rung := _message(packet, lanes, numbers))]
    rows += [rung for rung in _sounds(packets, lanes) if rows]
    return repeats_folded(sorted(rows, key=lambda rung: rung.at))


def _message(packet: Packet, lanes: Mapping[int, int], numbers: Iterable[str]) -> Rung | None:
    port = packet.source[1] if packet.source[1] in lanes else packet.destination[1]
    if port not in lanes:
        return None
    label, style = label_of(packet.payload)
    lane = lanes[port]
    return Rung(packet.at, lane, (packet.source[1] in lanes) == (lane == 0), mask(label, numbers), style)


def _sounds(packets: Sequence[Packet], lanes: Mapping[int, int]) -> list[Rung]:
    """One row for each RTP stream, where it begins."""
    rows = []
    for stream in streams(packets):
        from_phone = stream.source[1] in lanes
        port = stream.source[1] if from_phone else stream.destination[1]
        if port in lanes and stream.voice:
            label = f"RTP begins ({len(stream.voice)} packets)"
            rows.append(Rung(stream.begins_at, lanes[port], from_phone == (lanes[port] == 0), label, SOUND))
    return rows
