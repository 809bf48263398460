"""Commands that only ask: the live calls of the switch, CDRs, and whether all is in place.

Registered by cli/__init__.py. Only `calls` needs a running switch.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from softswitch.cli import output
from softswitch.cli.check import findings
from softswitch.cli.session import AppKey, Json, ModeFilter, PageNumber, PageSize, Session, XFilter, is_count
from softswitch.cli.switch import ask_switch
from softswitch.errors import StoreError
from softswitch.stores.provisioning import DEFAULT_PAGE_SIZE


def calls(ctx: typer.Context, as_json: Json = False) -> None:
    """List the calls of the running switch.

    \b
    softswitch calls
    softswitch calls --json
    """
    session: Session = ctx.obj
    live = ask_switch(session.config, "/calls")
    output.print_list(live, output.CALLS, as_json, footer=f"{len(live)} calls")


def cdr(
    ctx: typer.Context,
    call_id: Annotated[str | None, typer.Argument(metavar="[CALL_ID]", help="All about this call.")] = None,
    x: XFilter = None,
    caller: Annotated[str | None, typer.Option(help="Only calls of this caller.")] = None,
    app_key: AppKey = None,
    mode: ModeFilter = None,
    failure: Annotated[int | None, typer.Option(help="Only this code: 0 normal, 8014 no binding …")] = None,
    since: Annotated[str | None, typer.Option(help="Begun since: 30m, 2h, 7d or 2026-01-31T08:00 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Begun before, in the same forms.")] = None,
    page: PageNumber = 1,
    limit: PageSize = DEFAULT_PAGE_SIZE,
    as_json: Json = False,
) -> None:
    """List finished calls, newest first, or tell all about one.

    \b
    softswitch cdr --since 2h --failure 8014
    softswitch cdr 5d41402abc4b2a76b9719d91
    """
    session: Session = ctx.obj
    x, caller = session.optional_number(x), session.optional_number(caller)
    begin, end = (_moment(text, time.time()) for text in (since, until))
    with session.provisioning() as store:
        found = store.cdrs(
            call_id=call_id,
            x=x,
            caller=caller,
            app_key=app_key,
            mode=mode,
            failure=failure,
            since=begin,
            until=end,
            page=page,
            page_size=limit,
        )
    if call_id is None:
        output.print_page(found, output.CDRS, as_json, page, limit)
    elif not found.items:
        raise StoreError(next(iter(found.unreadable), f"no CDR of call {call_id}"))
    elif as_json:
        output.print_json(found.items[0])
    else:
        output.print_cdr(found.items[0])


def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Check configuration, dialplans, prompts and store; exit code 1 where something is wrong.

    A WARNING is what is accepted and can hardly be meant, such as a route that no call can reach.

    \b
    softswitch check
    softswitch check --config /etc/softswitch/softswitch.toml --json
    """
    session: Session = ctx.obj
    found = list(findings(session.config_file))
    output.print_list(found, output.FINDINGS, as_json)
    if not all(finding.ok for finding in found):
        raise typer.Exit(1)


def _moment(text: str | None, now: float) -> float | None:
    """UTC epoch seconds of `2h` (before now) or an ISO 8601 moment, UTC where it names no zone."""
    if text is None:
        return None
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}.get(text[-1:])
    if unit and is_count(text[:-1]):
        return now - timedelta(**{unit: int(text[:-1])}).total_seconds()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither like 30m, 2h, 7d nor like 2026-01-31T08:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
