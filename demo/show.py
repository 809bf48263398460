"""Shows a scene: what happened, the ladder, what the phones heard, the CDR and the recording's waveform.

Called by demo/__main__.py. Real numbers are masked, as in the switch's own logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from demo.cast import Cast, Party
from demo.checks import Check
from demo.ladder import mask
from demo.picture import sparkline, write_waveform
from demo.recognise import RATE, load
from demo.stage import Evidence
from demo.story import Scene
from softswitch.cli.ladder import draw

SPARK_COLUMNS = 58
GOOD, BAD = Text("✓", style="bold green"), Text("✗", style="bold red")

# Members of the CDR that tell a call's story, with the words of a person.
CDR_ROWS = (
    ("mode", "mode"),
    ("direction", "direction"),
    ("callerNum", "caller"),
    ("bindNum", "X"),
    ("extendNum", "extension"),
    ("fwdDisplayNum", "shown to the callee"),
    ("fwdDstNum", "reached"),
    ("call_in_at", "came in"),
    ("answered_at", "answered"),
    ("ended_at", "ended"),
    ("ended_by", "ended by"),
    ("ulFailReason", "failure code"),
    ("words", "in words"),
    ("announcement", "announcement"),
)


def show_scene(console: Console, number: int, count: int, scene: Scene, cast: Cast) -> None:
    """Print a scene and write the picture of its recording."""
    console.print()
    console.rule(f"[bold]{number} of {count} · {scene.title}", style="blue", align="left")
    console.print(Padding(Text(scene.words, style="italic"), (0, 0, 1, 2)))
    console.print(_part("The call, as the switch sees it", _ladder(scene.evidence)))
    console.print(_part("Was it as it should be?", _checks(scene.checks, cast)))
    console.print(_part("The call detail record", _cdr(scene.evidence, cast)))
    console.print(_part("What was heard", _sounds(scene.evidence)))


def _part(title: str, body: RenderableType) -> RenderableType:
    return Padding(Group(Text(title, style="bold"), body), (0, 0, 1, 2))


def _name(party: Party | None) -> str:
    return f"{party.name} ({party.role})" if party else ""


def _ladder(evidence: Evidence) -> Text:
    if not evidence.ladder:
        return Text("no SIP message was seen", style="red")
    callee = evidence.callee.party if evidence.callee else None
    return draw(evidence.ladder, (_name(evidence.caller.party), "switch", _name(callee)))


def _checks(checks: tuple[Check, ...], cast: Cast) -> Table:
    """A line a check and, under it, what was found in figures."""
    table = Table.grid(padding=(0, 1))
    numbers = [party.number for party in cast.all]
    for check in checks:
        found = Text(mask(check.found, numbers), style="dim" if check else "bold red")
        table.add_row(GOOD if check else BAD, Group(Text(check.what), found))
    return table


def _cdr(evidence: Evidence, cast: Cast) -> Table:
    table = Table.grid(padding=(0, 2))
    numbers = [party.number for party in cast.all]
    for member, words in CDR_ROWS:
        value = evidence.cdr.get(member)
        if value not in (None, ""):
            table.add_row(Text(words, style="dim"), mask(str(value), numbers))
    for side in ("a", "b"):
        if rtp := _leg(evidence.cdr.get(side) or {}):
            table.add_row(Text(f"leg {side}", style="dim"), rtp)
    return table


def _leg(leg: Mapping[str, Any]) -> str:
    """A leg's figures in one line."""
    if not leg.get("packets_received"):
        return ""
    return (
        f"{leg['codec']}, RTP {leg['packets_received']} in, {leg['packets_sent']} out, "
        f"{leg['packets_lost']} lost, jitter {leg['jitter_ms']:.1f} ms, MOS {leg['mos']:.1f}"
    )


def _sounds(evidence: Evidence) -> Group:
    """Loudness and file of what each phone heard, and of the recording, which also gets its picture."""
    rows: list[Text] = []
    for ear in (evidence.caller, evidence.callee):
        if ear is not None and ear.file.exists():
            rows += [_sound(f"{ear.party.name}'s phone", ear.file), _file(ear.file)]
    if evidence.recording is not None and evidence.recording.exists():
        picture = evidence.recording.with_suffix(".png")
        write_waveform(load(evidence.recording), picture)
        rows += [_sound("recording", evidence.recording), _file(evidence.recording), _file(picture)]
    return Group(*rows)


def _sound(name: str, file: Path) -> Text:
    samples = load(file)
    line = Text(f"{name:10}", style="dim")
    return line.append(sparkline(samples, SPARK_COLUMNS), style="cyan").append(f" {len(samples) / RATE:.1f} s")


def _file(path: Path) -> Text:
    return Text(f"{'':10}{path}", style="dim", overflow="fold")
