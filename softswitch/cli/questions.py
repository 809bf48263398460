"""Commands that only ask: the live calls of the switch, CDRs, the decision on a call, and whether all is in place.

Registered by cli/__init__.py. Only `calls` needs a running switch.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from softswitch.cli import output
from softswitch.cli.check import findings
from softswitch.cli.session import AppKey, Json, ModeFilter, PageNumber, PageSize, Session, XFilter, is_count
from softswitch.cli.switch import ask_switch
from softswitch.errors import FAILURES, StoreError
from softswitch.interfaces import Decision, NeedExtension, Rejection
from softswitch.routing.explain import explain as explain_decision
from softswitch.routing.resolve import Resolver
from softswitch.stores.provisioning import DEFAULT_PAGE_SIZE
from softswitch.stores.sqlite import open_sqlite


def calls(ctx: typer.Context, as_json: Json = False) -> None:
    """List the calls of the running switch."""
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
    now = time.time()
    with session.provisioning() as store:
        found = store.cdrs(
            call_id=call_id,
            x=session.optional_number(x),
            caller=session.optional_number(caller),
            app_key=app_key,
            mode=mode,
            failure=failure,
            since=_moment(since, now),
            until=_moment(until, now),
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


def explain(
    ctx: typer.Context,
    caller: Annotated[str, typer.Option("--from", help="Who calls.")],
    dialled: Annotated[str, typer.Option("--to", help="What is dialled: X, or X and an extension.")],
    digits: Annotated[str | None, typer.Option(help="What the caller keys when asked for the extension.")] = None,
    trunk: Annotated[str | None, typer.Option(help="Trunk that the call comes in by.")] = None,
    as_json: Json = False,
) -> None:
    """Decide a call without placing it, step by step.

    \b
    softswitch explain --from 13800000001 --to 17000000001
    softswitch explain --from 13800000009 --to 17000000031 --digits 123
    """
    session: Session = ctx.obj
    dialplan = session.dialplan
    if trunk is not None and trunk not in dialplan.trunks:
        raise typer.BadParameter(f"there is no trunk {trunk!r}; there are {', '.join(dialplan.trunks)}")
    store = open_sqlite(session.config.store.path)
    try:
        resolver = Resolver(store, lambda: dialplan, time.time, random.Random(), explain=True)
        decision = asyncio.run(resolver.resolve(dialled, caller, digits=digits, trunk=trunk))
    finally:
        store.close()
    if as_json:
        output.print_json(_decision(decision))
    else:
        typer.echo("\n".join(explain_decision(decision)))


def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Check configuration, dialplans, prompts and store; exit code 1 where something is wrong."""
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


def _decision(decision: Decision) -> dict[str, Any]:
    """A decision for programs."""
    if isinstance(decision, Rejection):
        return {"decision": "rejection", "failure": FAILURES[decision.failure_code], "rejection": decision}
    if isinstance(decision, NeedExtension):
        return {"decision": "need_extension", "need_extension": decision}
    return {"decision": "route", "route": decision}
