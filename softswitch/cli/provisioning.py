"""Commands that change or list the pool of X, bindings and temporary callees.

Registered by cli/__init__.py. They work on the store directly: a running switch sees the change at its next call.
"""

from __future__ import annotations

from typing import Annotated

import typer

from softswitch.cli import output
from softswitch.cli.session import AppKey, Json, ModeFilter, PageNumber, PageSize, Session, XFilter
from softswitch.errors import BindingConflict
from softswitch.interfaces import App, Mode
from softswitch.stores.provisioning import DEFAULT_PAGE_SIZE
from softswitch.stores.rules import (
    MAX_CALLEE_LIFETIME_S,
    MAX_DURATION_S,
    MAX_LIFETIME_S,
    BindingOptions,
    check_user_data,
)

number_app = typer.Typer(no_args_is_help=True, help="The pool of X: the privacy numbers that callers dial.")
bind_app = typer.Typer(no_args_is_help=True, help="Bind real numbers to an X; the next call sees it.")
callee_app = typer.Typer(no_args_is_help=True, help="AX: whom the next call of A to X reaches.")

X = Annotated[str, typer.Argument(metavar="X", help="The privacy number.")]
A = Annotated[str, typer.Argument(metavar="A", help="Real number of the protected user.")]
Duration = Annotated[
    int, typer.Option(min=0, max=MAX_LIFETIME_S, help="Seconds the binding lives; 0: until it is unbound.")
]
Direction = Annotated[
    int, typer.Option(min=0, max=2, help="0 both; AXB: 1 A to B, 2 B to A; AX: 1 only A calls, 2 only others.")
]
MaxDuration = Annotated[
    int, typer.Option(min=0, max=MAX_DURATION_S, help="Seconds of talk after which the call ends; 0: no limit.")
]
LastMinute = Annotated[str | None, typer.Option(help="Prompt played a minute before that end.")]
Record = Annotated[bool, typer.Option("--record", help="Record every call of the binding.")]
Announcement = Annotated[str | None, typer.Option(help="Prompt played to both sides after answer.")]
CallerRingback = Annotated[str | None, typer.Option(help="Prompt A hears instead of ringing when A calls X.")]
CalleeRingback = Annotated[str | None, typer.Option(help="Prompt the other side hears instead of ringing.")]


def _user_data(text: str) -> str:
    """The words of the rule, under the option's name."""
    try:
        check_user_data(text)
    except BindingConflict:
        raise typer.BadParameter("expected at most 256 characters, none of them ^ { }") from None
    return text


UserData = Annotated[str, typer.Option(callback=_user_data, help="Your own reference; comes back in the CDR.")]


@number_app.command("add")
def number_add(
    ctx: typer.Context,
    numbers: Annotated[list[str], typer.Argument(metavar="X...", help="Privacy numbers.")],
    app_key: Annotated[str, typer.Option("--app", help="App that owns them; made if it is new.")],
    mode: Annotated[Mode, typer.Option("--mode", case_sensitive=False, help="Mode of the app, for good.")],
    digits: Annotated[int, typer.Option("--digits", min=1, max=4, help="AXE: digits of an extension.")] = 4,
    area: Annotated[str, typer.Option("--area", help="Area code, such as 0755.")] = "",
    city: Annotated[str, typer.Option("--city", help="City.")] = "",
    recording: Annotated[bool, typer.Option(help="May calls of this app be recorded?")] = True,
    as_json: Json = False,
) -> None:
    """Put privacy numbers into the pool.

    \b
    softswitch number add 17000000001 17000000002 --app shop --mode AXB --area 0755 --city 深圳
    softswitch number add 17000000021 --app taxi --mode AX
    softswitch number add 17000000031 --app parcels --mode AXE --digits 3
    """
    session: Session = ctx.obj
    owner = App(app_key, mode, digits, recording)
    every = [session.whole_number(x) for x in numbers]  # all are read before the first is added
    with session.provisioning(make=True) as store:
        added = [store.add_number(x, owner, area_code=area, city=city) for x in every]
    output.print_list(added, output.NUMBERS, as_json)


@number_app.command("list")
def number_list(
    ctx: typer.Context,
    app_key: AppKey = None,
    page: PageNumber = 1,
    limit: PageSize = DEFAULT_PAGE_SIZE,
    as_json: Json = False,
) -> None:
    """List the pool.

    \b
    softswitch number list --app shop
    """
    with ctx.obj.provisioning() as store:
        found = store.list_numbers(app_key=app_key, page=page, page_size=limit)
    output.print_page(found, output.NUMBERS, as_json, page, limit)


@bind_app.command("axb")
def bind_axb(
    ctx: typer.Context,
    x: X,
    a: A,
    b: Annotated[str, typer.Argument(metavar="B", help="Real number of the other user.")],
    duration: Duration = 0,
    direction: Direction = 0,
    max_duration: MaxDuration = 0,
    last_minute_tone: LastMinute = None,
    record: Record = False,
    announcement: Announcement = None,
    caller_ringback: CallerRingback = None,
    callee_ringback: CalleeRingback = None,
    user_data: UserData = "",
    as_json: Json = False,
) -> None:
    """A and B reach each other through X, and nobody else does.

    \b
    softswitch bind axb 17000000001 13800000001 13800000002 --duration 3600 --record --announcement announcement
    """
    session: Session = ctx.obj
    options = BindingOptions(
        duration_s=duration,
        call_direction=direction,
        max_duration_s=max_duration,
        last_minute_tone=session.tone(last_minute_tone),
        record=record,
        announcement=session.tone(announcement),
        caller_ringback=session.tone(caller_ringback),
        callee_ringback=session.tone(callee_ringback),
        user_data=user_data,
    )
    numbers = session.number(x), session.whole_number(a), session.whole_number(b)
    with session.provisioning() as store:
        binding = store.bind_axb(*numbers, options)
    output.print_one(binding, output.BINDINGS, as_json)


@bind_app.command("ax")
def bind_ax(
    ctx: typer.Context,
    x: X,
    a: A,
    duration: Duration = 0,
    direction: Direction = 0,
    max_duration: MaxDuration = 0,
    last_minute_tone: LastMinute = None,
    record: Record = False,
    announcement: Announcement = None,
    caller_ringback: CallerRingback = None,
    callee_ringback: CalleeRingback = None,
    off: Annotated[bool, typer.Option("--off", help="Callers hear that the number is switched off.")] = False,
    user_data: UserData = "",
    as_json: Json = False,
) -> None:
    """Whoever calls X reaches A; A calls out through X by `callee set`.

    \b
    softswitch bind ax 17000000021 13800000001
    """
    session: Session = ctx.obj
    options = BindingOptions(
        duration_s=duration,
        call_direction=direction,
        max_duration_s=max_duration,
        last_minute_tone=session.tone(last_minute_tone),
        record=record,
        announcement=session.tone(announcement),
        caller_ringback=session.tone(caller_ringback),
        callee_ringback=session.tone(callee_ringback),
        turned_on=not off,
        user_data=user_data,
    )
    numbers = session.number(x), session.whole_number(a)
    with session.provisioning() as store:
        binding = store.bind_ax(*numbers, options)
    output.print_one(binding, output.BINDINGS, as_json)


@bind_app.command("axe")
def bind_axe(
    ctx: typer.Context,
    x: X,
    a: A,
    extension: Annotated[str | None, typer.Option(help="The extension; a free one is chosen if absent.")] = None,
    duration: Duration = 0,
    max_duration: MaxDuration = 0,
    record: Record = False,
    announcement: Announcement = None,
    callback_tone: Annotated[str | None, typer.Option(help="Prompt A hears on X where nobody called before.")] = None,
    callback_number: Annotated[str | None, typer.Option(help="Whom A reaches on X where nobody called before.")] = None,
    callback_lifetime: Annotated[
        int, typer.Option(min=0, max=MAX_LIFETIME_S, help="Seconds A may call back; 0: for ever.")
    ] = 0,
    user_data: UserData = "",
    as_json: Json = False,
) -> None:
    """Whoever calls X and keys the extension reaches A; A calls X and reaches the latest caller.

    \b
    softswitch bind axe 17000000031 13800000001 --extension 123
    """
    session: Session = ctx.obj
    if callback_tone is not None and callback_number is not None:
        raise typer.BadParameter("give --callback-tone or --callback-number")
    options = BindingOptions(
        duration_s=duration,
        max_duration_s=max_duration,
        record=record,
        announcement=session.tone(announcement),
        callback_tone=session.tone(callback_tone),
        callback_number=callback_number and session.whole_number(callback_number),
        callback_lifetime_s=callback_lifetime,
        user_data=user_data,
    )
    numbers = session.number(x), session.whole_number(a)
    with session.provisioning() as store:
        binding = store.bind_axe(*numbers, extension, options)
    output.print_one(binding, output.BINDINGS, as_json)


def unbind(
    ctx: typer.Context,
    binding_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of a binding.")] = None,
    x: Annotated[str | None, typer.Option("--x", help="Everything bound on this X.")] = None,
    extension: Annotated[str | None, typer.Option(help="With --x: only this extension.")] = None,
    as_json: Json = False,
) -> None:
    """Remove bindings; calls that are up go on.

    \b
    softswitch unbind 5b6f0c1e-7f43-4a8e-9d0b-2f6f1c3f8a11
    softswitch unbind --x 17000000031 --extension 123
    """
    session: Session = ctx.obj
    if (binding_id is None) == (x is None):
        raise typer.BadParameter("give either the id of a binding or --x")
    if extension is not None and x is None:
        raise typer.BadParameter("--extension is one of an X: give --x with it, not the id of a binding")
    x = session.optional_number(x)
    with session.provisioning() as store:
        removed = store.unbind(binding_id=binding_id, x=x, extension=extension)
    output.print_list(removed, output.BINDINGS, as_json, footer=f"{len(removed)} removed")


def bindings(
    ctx: typer.Context,
    x: XFilter = None,
    number: Annotated[str | None, typer.Option("--number", help="Only where this number is A or B.")] = None,
    app_key: AppKey = None,
    mode: ModeFilter = None,
    extension: Annotated[str | None, typer.Option(help="Only this extension.")] = None,
    page: PageNumber = 1,
    limit: PageSize = DEFAULT_PAGE_SIZE,
    as_json: Json = False,
) -> None:
    """List the bindings that live, in the order they were made.

    \b
    softswitch bindings --x 17000000001
    softswitch bindings --number 13800000001 --json
    """
    session: Session = ctx.obj
    x, number = session.optional_number(x), session.optional_number(number)
    with session.provisioning() as store:
        found = store.bindings(
            x=x,
            party=number,
            app_key=app_key,
            mode=mode,
            extension=extension,
            page=page,
            page_size=limit,
        )
    output.print_page(found, output.BINDINGS, as_json, page, limit)


@callee_app.command("set")
def callee_set(
    ctx: typer.Context,
    x: X,
    callee: Annotated[str, typer.Argument(metavar="CALLEE", help="Whom A reaches by calling X next.")],
    duration: Annotated[int, typer.Option(min=1, max=MAX_CALLEE_LIFETIME_S, help="Seconds it holds.")] = 60,
    user_data: UserData = "",
    as_json: Json = False,
) -> None:
    """Say whom A reaches by calling X next.

    \b
    softswitch callee set 17000000021 13800000002 --duration 120
    """
    session: Session = ctx.obj
    x, callee = session.number(x), session.whole_number(callee)
    with session.provisioning() as store:
        record = store.set_callee(callee, x=x, duration_s=duration, user_data=user_data)
    output.print_one(record, output.CALLEES, as_json)
