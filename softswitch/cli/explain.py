"""`softswitch explain`: what a call would do, decided by the parts that decide real ones, without placing it.

Registered by cli/__init__.py. Knows nothing of the running switch: trunks that are down, limits, who is banned.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Annotated, Any

import typer
from msgspec import structs

from softswitch.call.bridge import find_announcement
from softswitch.call.extension import TERMINATOR
from softswitch.cli import output
from softswitch.cli.session import Json, Session
from softswitch.errors import FAILURES, CallRejected
from softswitch.interfaces import Decision, NeedExtension, Prompt, Rejection, Route
from softswitch.routing.explain import explain as in_words
from softswitch.routing.resolve import Resolver
from softswitch.stores.sqlite import open_sqlite


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
    decision, asked = asyncio.run(_decide(session, dialled, caller, digits, trunk))
    decision = _with_prompts(decision, session)
    if as_json:
        output.print_json(_record(decision, asked))
    else:
        typer.echo("\n".join(in_words(decision, asked, tries=session.config.extension.tries)))


async def _decide(
    session: Session, dialled: str, caller: str, digits: str | None, trunk: str | None
) -> tuple[Decision, NeedExtension | None]:
    """As call/extension.py: who is asked for an extension keys `digits`, who is not keys none. And what was asked."""
    store, longest_s = open_sqlite(session.store_path), session.config.call.max_duration_s
    resolver = Resolver(
        store, lambda: session.dialplan, time.time, random.Random(), max_duration_s=longest_s, explain=True
    )
    try:
        decision = await resolver.resolve(dialled, caller, trunk=trunk)
        if digits is None:
            return decision, None
        if not isinstance(decision, NeedExtension):
            return _more(
                decision, "The caller is not asked for an extension: what --digits says is not looked at."
            ), None
        keyed = digits.lstrip(TERMINATOR).partition(TERMINATOR)[0][: decision.digits]
        return await resolver.resolve(decision.x, decision.caller, digits=keyed, trunk=trunk), decision
    finally:
        store.close()


def _with_prompts(decision: Decision, session: Session) -> Decision:
    """What the prompts that are there make of it: a refusal without its announcement, or one without tone."""

    def find(name: str | None, language: str) -> Prompt | None:
        return session.prompts.find(name, language or session.config.prompts.language) if name else None

    if isinstance(decision, Rejection) and decision.tone and find(decision.tone, decision.language) is None:
        return _more(structs.replace(decision, tone=None), f"There is no prompt {decision.tone!r}.")
    if isinstance(decision, Route):
        try:
            find_announcement(decision.treatment, find)
        except CallRejected as rejected:
            refusal = _refused(decision, rejected.failure.code)
            return _more(refusal, f"There is no approved announcement {decision.treatment.announcement!r}.")
    return decision


def _refused(route: Route, failure_code: int) -> Rejection:
    return Rejection(
        failure_code,
        mode=route.mode,
        app_key=route.app_key,
        x=route.x,
        caller=route.caller,
        extension=route.extension,
        binding_id=route.binding.id,
        direction=route.direction,
        language=route.treatment.language,
        steps=route.steps,
    )


def _more(decision: Decision, step: str) -> Decision:
    return structs.replace(decision, steps=(*decision.steps, step))


def _record(decision: Decision, asked: NeedExtension | None) -> dict[str, Any]:
    """A decision for programs; `answered` where the caller was asked for an extension before it."""
    answered = asked is not None
    if isinstance(decision, Rejection):
        failure = FAILURES[decision.failure_code]
        return {"decision": "rejection", "answered": answered, "failure": failure, "rejection": decision}
    if isinstance(decision, NeedExtension):
        return {"decision": "need_extension", "answered": answered, "need_extension": decision}
    return {"decision": "route", "answered": answered, "route": decision}
