"""`softswitch trunks` and `softswitch bans`: how the peers of the running switch are, and who is kept out.

Registered by cli/__init__.py. Both need the running switch.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from softswitch.cli import output
from softswitch.cli.session import Json, Session, seconds_of
from softswitch.cli.switch import ask_switch
from softswitch.sip.addresses import bracketed

TRUNKS: output.Columns = {
    "trunk": lambda trunk: trunk["name"],
    "at": lambda trunk: (
        f"{trunk['transport']}:{bracketed(trunk['host'])}" + (f":{trunk['port']}" if trunk["port"] else "")
    ),
    "state": lambda trunk: _state(trunk["up"], "up", "DOWN"),
    "registered": lambda trunk: _state(trunk["registered"], "yes", "NO"),
    "calls": lambda trunk: f"{trunk['calls']}{_of(trunk['max_calls'])}",
    "calls a second": lambda trunk: trunk["calls_per_second"] or "",
    "refused when full": lambda trunk: trunk["full"] or "",
}
BANS: output.Columns = {
    "source": lambda ban: ban["source"],
    "why": lambda ban: ban["why"],
    "seconds more": lambda ban: ban["seconds"],
}


def trunks(ctx: typer.Context, as_json: Json = False) -> None:
    """List the trunks of the running switch: health, registration, calls.

    \b
    softswitch trunks
    """
    session: Session = ctx.obj
    found = ask_switch(session.config, "/trunks")
    output.print_list(found, TRUNKS, as_json, footer=f"{len(found)} trunks")


def bans(
    ctx: typer.Context,
    lift: Annotated[str | None, typer.Option(metavar="SOURCE", help="End the ban of this source.")] = None,
    add: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Ban this address, a trunk's too.")] = None,
    duration: Annotated[str | None, typer.Option("--for", help="With --add: how long: 90s, 7d; 10m if absent.")] = None,
    as_json: Json = False,
) -> None:
    """List the sources that get no answer, ban one, or end a ban.

    \b
    softswitch bans
    softswitch bans --lift 192.0.2.66
    softswitch bans --add 192.0.2.66 --for 7d
    """
    session: Session = ctx.obj
    if lift and add:
        raise typer.BadParameter("give --lift or --add")
    if duration is not None and not add:
        raise typer.BadParameter("--for says how long a ban lasts: give --add with it")
    if lift:
        found = ask_switch(session.config, f"/bans?source={quote(lift, safe='')}", method="DELETE")
    elif add:
        told: dict[str, Any] = {"source": add, "seconds": seconds_of(duration or "10m")}
        found = ask_switch(session.config, "/bans", method="POST", told=told)
    else:
        found = ask_switch(session.config, "/bans")
    output.print_list(found, BANS, as_json, footer=f"{len(found)} banned")


def _state(value: bool | None, good: str, bad: str) -> str:
    return "" if value is None else good if value else bad


def _of(most: int) -> str:
    return f" of {most}" if most else ""
