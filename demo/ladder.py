"""Draws the SIP ladder of a call as the switch saw it, from packets off the wire.

Called by the demo's story. Columns are the caller, the switch and the callee; a row a message, with its time since the
first. Real numbers are masked the way the switch masks them in its logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from demo.wire import Packet, streams

LANE = 34  # characters between two columns
MARGIN = 9  # for the time
REQUEST, RESPONSE, FAILURE, SOUND = "cyan", "green", "yellow", "magenta"


@dataclass(frozen=True, slots=True)
class Rung:
    """One row: which lane (0 caller–switch, 1 switch–callee), which way, what is said and when."""

    at: float
    lane: int
    rightwards: bool
    label: str
    style: str
    times: int = 1


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
    return _repeats_folded(sorted(rows, key=lambda rung: rung.at))


def _message(packet: Packet, lanes: Mapping[int, int], numbers: Iterable[str]) -> Rung | None:
    port = packet.source[1] if packet.source[1] in lanes else packet.destination[1]
    if port not in lanes:
        return None
    text = packet.payload.decode("utf-8", "replace")
    first_line, _, rest = text.partition("\r\n")
    from_phone = packet.source[1] in lanes
    lane = lanes[port]
    label, style = _label(first_line, rest)
    return Rung(packet.at, lane, from_phone == (lane == 0), mask(label, numbers), style)


def _label(first_line: str, rest: str) -> tuple[str, str]:
    """The words on an arrow and their style: method and Request-URI, or status and reason; what the body is."""
    body = _body(rest)
    if first_line.startswith("SIP/2.0 "):
        status = first_line[8:]
        method = re.search(r"^CSeq: *\d+ (\w+)", rest, re.MULTILINE | re.IGNORECASE)
        suffix = f" ({method[1]})" if method and method[1] != "INVITE" else ""
        return status + suffix + body, FAILURE if status >= "3" else RESPONSE
    method_name, uri, *_ = first_line.split(" ")
    user = re.sub(r"^sips?:", "", uri).partition(";")[0]
    return f"{method_name} {user.partition('@')[0] if method_name == 'INVITE' else ''}".rstrip() + body, REQUEST


def _body(rest: str) -> str:
    if "\r\n\r\nv=0" not in rest:
        return ""
    direction = re.search(r"^a=(sendonly|recvonly|inactive)", rest, re.MULTILINE)
    return f" SDP {direction[1]}" if direction else " SDP"


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


def _repeats_folded(rows: Sequence[Rung]) -> list[Rung]:
    """The same message again (a retransmission) becomes a count on the first."""
    folded: list[Rung] = []
    for row in rows:
        last = folded[-1] if folded else None
        if last and (last.lane, last.rightwards, last.label) == (row.lane, row.rightwards, row.label):
            folded[-1] = Rung(last.at, last.lane, last.rightwards, last.label, last.style, last.times + 1)
        else:
            folded.append(row)
    return folded


def draw(rows: Sequence[Rung], names: tuple[str, str, str]) -> Text:
    """The ladder as text: a head with the three names, then a line a rung."""
    ladder = Text(no_wrap=True, overflow="crop")
    ladder.append(_head(names), style="bold")
    for row in rows:
        ladder.append(f"\n{row.at - rows[0].at:7.3f}  ", style="dim")
        for lane in (0, 1):
            ladder.append("│", style="dim")
            if lane == row.lane:
                ladder.append(_arrow(row), style=row.style)
            else:
                ladder.append(" " * (LANE - 1))
        ladder.append("│", style="dim")
    return ladder


def _head(names: tuple[str, str, str]) -> str:
    left, middle, right = names
    line = [" "] * (MARGIN + 2 * LANE + 1 + 12)
    places = (MARGIN, MARGIN + LANE - len(middle) // 2, MARGIN + 2 * LANE + 1 - len(right))
    for place, name in zip(places, (left, middle, right), strict=True):
        line[place : place + len(name)] = name
    return "".join(line).rstrip()


def _arrow(row: Rung) -> str:
    room = LANE - 3
    count = f" ×{row.times}" if row.times > 1 else ""
    words = f" {row.label[: room - 4 - len(count)]}{count} ".center(room, "─")
    return f"─{words}▶" if row.rightwards else f"◀{words}─"
