"""`softswitch trace`: switches traces on and off, and shows a traced call as a ladder, as text, JSON or a capture.

Registered by cli/__init__.py. All of it needs the running switch.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from softswitch.cli import output
from softswitch.cli.ladder import draw, rungs
from softswitch.cli.session import Json, Session, seconds_of
from softswitch.cli.switch import ask_switch
from softswitch.errors import SoftswitchError
from softswitch.tracing.pcapng import capture
from softswitch.tracing.trace import TracedMessage

CALLS: output.Columns = {
    "call id": lambda call: call["call_id"] or call["legs"][0],
    "begin (UTC)": lambda call: _utc(call["began_at"]),
    "legs": lambda call: len(call["legs"]),
    "messages": lambda call: call["count"],
}


def trace(
    ctx: typer.Context,
    call: Annotated[str | None, typer.Argument(metavar="[CALL]", help="Our call id, or a leg's Call-ID.")] = None,
    on: Annotated[bool, typer.Option("--on", help="Trace new calls from now on.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Trace nothing more; what there is stays for its time.")] = False,
    status: Annotated[bool, typer.Option("--status", help="What is traced, and how much is kept.")] = False,
    number: Annotated[str | None, typer.Option(help="With --on: only calls with this number in the INVITE.")] = None,
    trunk: Annotated[str | None, typer.Option(help="With --on: only calls of this trunk.")] = None,
    ratio: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="With --on: share of these, 1 if absent.")
    ] = None,
    duration: Annotated[str | None, typer.Option("--for", help="With --on: how long: 90s, 2h; 10m if absent.")] = None,
    unmask: Annotated[bool, typer.Option("--unmask", help="Show whole numbers.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Show whole messages.")] = False,
    pcapng: Annotated[Path | None, typer.Option(help="Write the call to this file, for Wireshark.")] = None,
    as_json: Json = False,
) -> None:
    """Show the SIP messages of both legs of a call that was traced.

    \b
    softswitch trace --on --number 13800000001 --for 30m
    softswitch trace                               # which calls were traced?
    softswitch trace 5d41402abc4b2a76b9719d91      # the ladder of one
    softswitch trace 5d41402abc4b2a76b9719d91 --pcapng call.pcapng --unmask
    """
    session: Session = ctx.obj
    if sum((call is not None, on, off, status)) > 1:
        raise typer.BadParameter("give a call, --on, --off or --status")
    if number and trunk:
        raise typer.BadParameter("give --number or --trunk")
    if not on and any(given is not None for given in (number, trunk, ratio, duration)):
        raise typer.BadParameter("--number, --trunk, --ratio and --for say what to trace: give --on with them")
    if call is None and (unmask or raw or pcapng):
        raise typer.BadParameter("--unmask, --raw and --pcapng say how to show a call: give its id with them")
    if on or off or status:
        wish = _wish(number, trunk, ratio, duration) if on else None
        answer = ask_switch(session.config, "/trace", method="POST" if on else "DELETE" if off else "GET", told=wish)
        output.print_json(answer) if as_json else typer.echo("\n".join(_status(answer)))
    elif call is None:
        found = ask_switch(session.config, "/trace/calls")
        output.print_list(found, CALLS, as_json, footer=f"{len(found)} traced calls")
    else:
        path = f"/trace/calls/{quote(call, safe='')}" + ("?unmask=true" if unmask else "")
        _show(ask_switch(session.config, path), raw, pcapng, as_json)


def _wish(number: str | None, trunk: str | None, ratio: float | None, duration: str | None) -> dict[str, Any]:
    what = "number" if number else "trunk" if trunk else "all"
    share = 1.0 if ratio is None else ratio
    return {"what": what, "value": number or trunk or "", "ratio": share, "seconds": seconds_of(duration or "10m")}


def _status(answer: dict[str, Any]) -> list[str]:
    lines = []
    for one in answer["wanted"]:
        share = f", {one['ratio']:.0%} of them" if one["ratio"] < 1 else ""
        until = f"until {_utc(one['until'])} UTC" if one["until"] else "until switched off"
        lines.append(f"tracing {' '.join(filter(None, (one['what'], one['value'])))}{share}, {until}")
    lines = lines or ["tracing nothing"]
    kept = f"{answer['calls']} calls, {answer['messages']} messages, {answer['bytes'] / 1e6:.1f} MB kept"
    lines.append(kept + (f"; {answer['forgotten']} calls forgotten for want of memory" if answer["forgotten"] else ""))
    if answer["hep"] is not None:
        lines.append("HEP: " + ", ".join(f"{count} {name}" for name, count in answer["hep"].items()))
    return lines


def _show(call: dict[str, Any], raw: bool, pcapng: Path | None, as_json: bool) -> None:
    messages = [_message(one) for one in call["messages"]]
    if pcapng is not None:
        try:
            pcapng.write_bytes(capture(messages))
        except OSError as error:
            raise SoftswitchError(f"{pcapng} can't be written: {error.strerror}") from None
        typer.echo(f"{len(messages)} messages in {pcapng}")
    elif as_json:
        output.print_json(call | {"messages": [{**one, "data": _text(one["data"])} for one in call["messages"]]})
    elif raw:
        sys.stdout.write("\n".join(_raw(one) for one in messages))
    else:
        output.print_text(draw(rungs(messages), _names(messages)))
        if call["left_off"]:
            typer.echo(f"{call['left_off']} messages more were not kept")


def _message(one: dict[str, Any]) -> TracedMessage:
    """As the switch keeps it, but that its leg is a number: 0 the caller's."""
    source, destination = tuple(one["source"]), tuple(one["destination"])
    data = one["data"].encode("latin-1")
    return TracedMessage(one["at"], one["received"], one["transport"], source, destination, str(one["leg"]), data)


def _text(data: str) -> str:
    return data.encode("latin-1").decode("utf-8", "replace")


def _raw(one: TracedMessage) -> str:
    way = f"{_place(one.source)} -> {_place(one.destination)}"
    text = one.data.decode("utf-8", "replace").replace("\r\n", "\n")
    return f"--- {_utc(one.at, 'milliseconds')} UTC {one.transport} {way}\n{text.rstrip()}\n"


def _place(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(messages: list[TracedMessage]) -> tuple[str, str, str]:
    """The far ends' addresses, each of the first message of its side."""
    far = [(one.leg == "0", one.source if one.received else one.destination) for one in messages]
    caller = next((_place(end) for is_caller, end in far if is_caller), "caller")
    callee = next((_place(end) for is_caller, end in far if not is_caller), "callee")
    return caller, "switch", callee


def _utc(at: float, spec: str = "seconds") -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(" ", spec)
