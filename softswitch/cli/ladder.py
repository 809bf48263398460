"""Draws the SIP ladder of a traced call: the caller, the switch and whom it called, a row a message, with times.

Called by cli/trace.py; the demo draws what it caught on the wire the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from softswitch.tracing.trace import TracedMessage

LANE = 34  # characters between two columns
MARGIN = 9  # for the time
REQUEST, RESPONSE, FAILURE = "cyan", "green", "yellow"

_CSEQ = re.compile(r"^CSeq[ \t]*:[ \t]*\d+[ \t]+(\w+)", re.MULTILINE | re.IGNORECASE)
_DIRECTION = re.compile(r"^a=(sendonly|recvonly|inactive)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rung:
    """One row: which lane (0 caller and switch, 1 switch and callee), which way, what is said and when."""

    at: float
    lane: int
    rightwards: bool
    label: str
    style: str
    times: int = 1


def rungs(messages: Sequence[TracedMessage]) -> list[Rung]:
    """The rows of a traced call; legs are named by number, the caller's 0."""
    return repeats_folded(_rung(message, int(message.leg)) for message in messages)


def repeats_folded(rows: Iterable[Rung]) -> list[Rung]:
    """A message that comes again at once (a retransmission) becomes a count on the first."""
    folded: list[Rung] = []
    for row in rows:
        last = folded[-1] if folded else None
        if last and (last.lane, last.rightwards, last.label) == (row.lane, row.rightwards, row.label):
            folded[-1] = replace(last, times=last.times + 1)
        else:
            folded.append(row)
    return folded


def _rung(message: TracedMessage, leg: int) -> Rung:
    """Of several callees the second and those behind it say so."""
    label, style = label_of(message.data)
    lane = min(leg, 1)
    words = f"{leg}: {label}" if leg > 1 else label
    return Rung(message.at, lane, message.received == (lane == 0), words, style)


def label_of(message: bytes) -> tuple[str, str]:
    """The words on an arrow and their style: method and user of an INVITE, or status and reason; whether it has SDP."""
    first_line, _, rest = message.decode("utf-8", "replace").replace("\r\n", "\n").partition("\n")
    body = _body(rest)
    if first_line.startswith("SIP/2.0 "):
        status, method = first_line[8:], _CSEQ.search(rest)
        suffix = f" ({method[1]})" if method and method[1] != "INVITE" else ""
        return status + suffix + body, FAILURE if status >= "3" else RESPONSE
    method_name, _, uri = first_line.partition(" ")
    user = re.sub(r"^(?:sips?|tel):", "", uri).partition("@")[0].partition(" ")[0] if method_name == "INVITE" else ""
    return f"{method_name} {user.partition(';')[0]}".rstrip() + body, REQUEST


def _body(rest: str) -> str:
    body = rest.partition("\n\n")[2]
    if not body.startswith("v=0"):
        return ""
    direction = _DIRECTION.search(body)
    return f" SDP {direction[1]}" if direction else " SDP"


def draw(rows: Sequence[Rung], names: tuple[str, str, str]) -> Text:
    """The ladder as text: a head with the three names, then a line a rung."""
    ladder = Text(no_wrap=True, overflow="crop")
    ladder.append(_head(names), style="bold")
    for row in rows:
        ladder.append(f"\n{row.at - rows[0].at:8.3f} ", style="dim")
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
    head = " " * MARGIN + left
    head = f"{head:<{MARGIN + LANE - len(middle) // 2 - 1}} {middle}"
    return f"{head:<{MARGIN + 2 * LANE - len(right)}} {right}"


def _arrow(row: Rung) -> str:
    room = LANE - 3
    count = f" ×{row.times}" if row.times > 1 else ""
    words = f" {row.label[: room - 4 - len(count)]}{count} ".center(room, "─")
    return f"─{words}▶" if row.rightwards else f"◀{words}─"
