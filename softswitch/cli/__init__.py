"""The command line: provisioning, questions to the switch, checks, and `serve`.

Called by `softswitch` (__main__.py). Commands stand in provisioning.py, questions.py, explain.py, peers.py and
trace.py, what they print in output.py. Expected errors are one line on standard error and exit code 1, wrong usage is
exit code 2, 141 is that nobody read all that was printed (`softswitch cdr | head -1`).
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from softswitch import __version__
from softswitch.cli import explain, output, peers, provisioning, questions, trace
from softswitch.cli.session import Session
from softswitch.cli.standard_output import open_closed_streams, standard_output
from softswitch.errors import SoftswitchError


class _Root(TyperGroup):
    """The root command: `--config` may stand anywhere, expected errors are told in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for arg in args:
            if not arg.isascii() and any("\ud800" <= char <= "\udfff" for char in arg):  # bytes that were no UTF-8
                raise typer.BadParameter(f"{arg!a} is no UTF-8")
        return super().parse_args(ctx, _config_first(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SoftswitchError as error:
            typer.echo(output.error_line(error), err=True)
            raise typer.Exit(1) from None


def _config_first(args: list[str]) -> list[str]:
    """`bind axb … --config file` means `--config file bind axb …`."""
    for index, arg in enumerate(args):
        if arg == "--config" and index + 1 == len(args):
            return [arg]  # what is missing is told, and not that a command has no such option
        if arg == "--config":
            return [*args[index : index + 2], *args[:index], *args[index + 2 :]]
        if arg.startswith("--config="):
            return [arg, *args[:index], *args[index + 1 :]]
    return args


app = typer.Typer(cls=_Root, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(provisioning.number_app, name="number")
app.add_typer(provisioning.bind_app, name="bind")
app.command()(provisioning.unbind)
app.command()(provisioning.bindings)
app.add_typer(provisioning.callee_app, name="callee")
app.command()(questions.calls)
app.command()(questions.cdr)
app.command()(explain.explain)
app.command()(questions.check)
app.command()(peers.trunks)
app.command()(peers.bans)
app.command()(trace.trace)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    config: Annotated[str | None, typer.Option("--config", help="TOML file; softswitch.toml if absent.")] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Privacy-number calls over SIP: AXB, AX and AXE.

    \b
    softswitch check          # is everything in place?
    softswitch number add 17000000001 --app shop --mode AXB
    softswitch bind axb 17000000001 13800000001 13800000002 --duration 3600
    softswitch explain --from 13800000001 --to 17000000001
    softswitch serve

    Settings: softswitch.toml, or the file of --config or SOFTSWITCH_CONFIG; SOFTSWITCH_SECTION__KEY overrides a key.
    """
    ctx.obj = Session(config)
    if show_version:
        typer.echo(f"softswitch {__version__}")
        raise typer.Exit


@app.command()
def serve(ctx: typer.Context) -> None:
    """Run the switch until SIGTERM; SIGHUP reads dialplans, prompts and certificates again.

    \b
    softswitch serve
    softswitch serve --config /etc/softswitch/softswitch.toml
    """
    from softswitch.serving import run  # noqa: PLC0415 (all of the switch, which no other command needs)

    session: Session = ctx.obj
    run(session.config)


def main() -> None:
    """Run the command of `sys.argv`; exits."""
    open_closed_streams()
    with standard_output():
        app(prog_name="softswitch")
