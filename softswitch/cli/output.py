"""What the command line prints: tables for people, JSON for programs, one line for an error.

Called by the command modules beside it. Never asks a store or the network.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import structs
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from softswitch.cdr_sinks.fee_info import utc_time
from softswitch.cli.check import Finding
from softswitch.errors import BindingConflict, SoftswitchError
from softswitch.interfaces import Binding, Cdr, PrivateNumber, TemporaryCallee
from softswitch.stores.provisioning import CdrPage, Page

# Where the output is no terminal there is no width to keep to.
PIPE_WIDTH = 200

# Title and what stands below it.
Columns = dict[str, Callable[[Any], object]]

NUMBERS: Columns = {
    "X": lambda number: number.x,
    "app": lambda number: number.app.key,
    "mode": lambda number: number.app.mode,
    "digits of E": lambda number: number.app.extension_digits if number.app.mode == "AXE" else "",
    "area": lambda number: number.area_code,
    "city": lambda number: number.city,
}

BINDINGS: Columns = {
    "id": lambda binding: binding.id,
    "app": lambda binding: binding.app_key,
    "mode": lambda binding: binding.mode,
    "X": lambda binding: binding.x,
    "E": lambda binding: binding.extension,
    "A": lambda binding: binding.a,
    "B": lambda binding: binding.b,
    "expires (UTC)": lambda binding: utc_time(binding.expires_at) or "never",
    "options": lambda binding: ", ".join(_options(binding)),
}

CALLEES: Columns = {
    "binding": lambda callee: callee.binding_id,
    "callee": lambda callee: callee.callee,
    "expires (UTC)": lambda callee: utc_time(callee.expires_at),
}

CDRS: Columns = {
    "call id": lambda cdr: cdr.call_id,
    "begin (UTC)": lambda cdr: utc_time(cdr.call_in_at),
    "mode": lambda cdr: cdr.mode,
    "X": lambda cdr: cdr.x,
    "caller": lambda cdr: cdr.caller,
    "reached": lambda cdr: cdr.destination,
    "talk s": lambda cdr: _seconds(cdr.answered_at, cdr.ended_at),
    "code": lambda cdr: cdr.failure,
    "outcome": lambda cdr: cdr.words,
    "ended by": lambda cdr: cdr.ended_by,
    "recording": lambda cdr: cdr.recording,
}

CALLS: Columns = {
    "call id": lambda call: call.get("call_id"),
    "mode": lambda call: call.get("mode"),
    "X": lambda call: call.get("x"),
    "caller": lambda call: call.get("caller"),
    "callee": lambda call: call.get("callee"),
    "state": lambda call: call.get("state"),
    "seconds": lambda call: call.get("seconds"),
}

FINDINGS: Columns = {
    "part": lambda finding: finding.part,
    "": lambda finding: "ERROR" if not finding.ok else "WARNING" if finding.warning else "ok",
    "what was found": lambda finding: finding.words,
}

Record = PrivateNumber | Binding | TemporaryCallee | Cdr | Finding | dict[str, Any]


def print_json(data: object) -> None:
    """`data` (records, lists, plain values) as indented JSON on standard output."""
    told = [_whole(one) for one in data] if isinstance(data, list) else _whole(data)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")


def print_table(records: Iterable[Record], columns: Columns, *, footer: str = "") -> None:
    """One row a record; columns that are empty in all of them are left out."""
    rows = [[_text(value(record)) for value in columns.values()] for record in records]
    shown = [index for index in range(len(columns)) if not rows or any(row[index] for row in rows)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index in shown:
        table.add_column(list(columns)[index], overflow="fold")
    for row in rows:
        table.add_row(*(escape(row[index]) for index in shown))
    console = _console()
    console.print(table)
    if footer:
        console.print(footer, style="dim")


def print_list(records: Sequence[Record], columns: Columns, as_json: bool, *, footer: str = "") -> None:
    """Several records, as a table or as a JSON array."""
    if as_json:
        print_json(records)
    else:
        print_table(records, columns, footer=footer)


def print_page(found: Page[Any] | CdrPage, columns: Columns, as_json: bool, page: int, page_size: int) -> None:
    """One page of a listing, and below a table which part of the whole it is."""
    print_list(found.items, columns, as_json, footer=_part_of(found, page, page_size))
    for words in found.unreadable if isinstance(found, CdrPage) else ():
        print(f"softswitch: {words}", file=sys.stderr)


def print_one(record: Record, columns: Columns, as_json: bool) -> None:
    """One record, as a table of one row or as a JSON object."""
    if as_json:
        print_json(record)
    else:
        print_table([record], columns)


def print_text(text: Text) -> None:
    """A drawing, as wide as it is."""
    _console().print(text, soft_wrap=True)


def print_cdr(cdr: Cdr) -> None:
    """All that one CDR tells, a line a member; members that say nothing are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _members(cdr):
        table.add_row(name, escape(_text(value)))
    _console().print(table)


def error_line(error: SoftswitchError) -> str:
    """What an expected error says on standard error."""
    code = f"{error.resultcode} " if isinstance(error, BindingConflict) else ""
    return f"softswitch: {code}{error}"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def _whole(record: object) -> object:
    """A CDR with what is at its default, which its JSON in the store leaves out."""
    if not isinstance(record, Cdr):
        return record
    return structs.asdict(record) | {"a": structs.asdict(record.a), "b": structs.asdict(record.b)}


def _part_of(found: Page[Any] | CdrPage, page: int, page_size: int) -> str:
    """`1 to 50 of 812`, and how to see more."""
    there = len(found.items) + (len(found.unreadable) if isinstance(found, CdrPage) else 0)
    if not there:
        return f"none of {found.total}" if found.total else "none"
    first = (page - 1) * page_size + 1
    last = first + there - 1
    return f"{first} to {last} of {found.total}" + (f"; more by --page {page + 1}" if last < found.total else "")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _seconds(begin: float | None, end: float | None) -> str:
    return "" if begin is None or end is None else f"{end - begin:.1f}"


def _options(binding: Binding) -> Iterable[str]:
    """Every option that is not at its default."""
    told = {"id", "app_key", "mode", "x", "a", "b", "extension", "created_at", "expires_at"}
    for field in structs.fields(binding):
        value = getattr(binding, field.name)
        if field.name not in told and value != field.default:
            yield f"{field.name}={value}"


def _members(cdr: Cdr) -> Iterable[tuple[str, object]]:
    for field in structs.fields(cdr):
        value = getattr(cdr, field.name)
        if field.name in ("a", "b"):
            leg = [(member.name, getattr(value, member.name)) for member in structs.fields(value)]
            value = ", ".join(f"{name}={told}" for name, told in leg if told)
        elif field.name.endswith(("_at", "_from", "_to")):
            value = utc_time(value)
        if value not in (None, ""):
            yield field.name, value
