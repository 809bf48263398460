"""The root of the command line: where the configuration comes from, exit codes, help."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import typer

import softswitch.cli
from softswitch import __version__
from softswitch.config import Config
from softswitch.errors import StoreError
from tests.cli.conftest import REPOSITORY, CommandLine


def test_the_configuration_may_be_named_before_or_after_the_command(cli: CommandLine) -> None:
    cli.ok("number", "add", "17000000001", "--app", "shop", "--mode", "AXB")
    cli.config.rename(cli.folder / "other.toml")
    for arguments in (
        ("--config", "other.toml", "number", "list", "--json"),
        ("number", "list", "--config", "other.toml", "--json"),
        ("number", "list", "--json", "--config=other.toml"),
    ):
        assert cli.ok(*arguments).startswith("[")


def test_a_configuration_that_is_missing_is_one_line_and_exit_code_1(cli: CommandLine) -> None:
    assert "nowhere.toml: cannot be read" in cli.fails("number", "list", "--config", "nowhere.toml")


def test_a_config_option_without_a_file_is_misuse(cli: CommandLine) -> None:
    assert "Option '--config' requires an argument" in cli.misused("number", "list", "--config")


def test_unknown_commands_and_options_are_misuse(cli: CommandLine) -> None:
    assert "No such command" in cli.misused("bind", "axyb")
    assert "No such option" in cli.misused("bindings", "--colour")


def test_arguments_that_are_no_utf8_are_misuse(cli: CommandLine) -> None:
    for arguments in (
        ("number", "add", "17000000001", "--app", "\udcff", "--mode", "AXB"),
        ("cdr", "a\udc80b"),
        ("\udcff",),
    ):
        assert "is no UTF-8" in cli.misused(*arguments)
    cli.ok("number", "add", "17000000001", "--app", "商店", "--mode", "AXB")


def commands(command: Any = None, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups among them."""
    command = command or typer.main.get_command(softswitch.cli.app)
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *words, name)


def examples(text: str) -> list[list[str]]:
    """The words of each line that is a command (or several), without what is said of it."""
    lines = [line.strip("│ ") for line in text.splitlines()]
    typed = [line.partition("#")[0].split(";") for line in lines if line.startswith("softswitch ")]
    return [shlex.split(one)[1:] for line in typed for one in line]


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_explains_itself_by_an_example(cli: CommandLine, command: tuple[str, ...]) -> None:
    told = cli.ok(*command, "--help")
    assert "Usage" in told
    if command not in (("number",), ("bind",), ("callee",)):  # what stands below them has its own
        assert any(tuple(words[: len(command)]) == command for words in examples(told.partition("Options")[0]))


@pytest.mark.parametrize("source", ["help", "README.md", "README.zh-CN.md"])
def test_every_example_is_right_as_it_is_written(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """One after the other in a store of their own; those that ask a switch find none."""
    monkeypatch.setenv("SOFTSWITCH_OPS__LISTEN", "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "softswitch.serving", ModuleType("softswitch.serving"))
    monkeypatch.setattr(sys.modules["softswitch.serving"], "run", lambda config: None, raising=False)
    if source == "help":
        told = [line for command in commands() for line in examples(cli.ok(*command, "--help").partition("Options")[0])]
    else:
        lines = (REPOSITORY / source).read_text(encoding="utf-8").splitlines()
        told = examples("\n".join(line for line in lines if line.startswith("    ")))  # no sentence that begins so
    assert told
    for words in told:
        result = cli.run(*(str(cli.config) if word == "/etc/softswitch/softswitch.toml" else word for word in words))
        gone = ("no answer from the switch", "no binding", "no CDR of call", "has been bound: ")
        assert result.exit_code == 0 or any(one in result.stderr for one in gone), (words, result.output)


def test_without_a_command_the_help_is_shown(cli: CommandLine) -> None:
    assert "softswitch bind axb" in cli.run().output


def test_the_version_is_told(cli: CommandLine) -> None:
    assert cli.ok("--version") == f"softswitch {__version__}\n"


def test_serve_runs_the_switch_with_the_configuration(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Config] = []
    switch = ModuleType("softswitch.serving")
    monkeypatch.setattr(switch, "run", served.append, raising=False)
    monkeypatch.setitem(sys.modules, "softswitch.serving", switch)
    cli.ok("serve")
    assert served[0].dialplan.directory.endswith("dialplans")


def test_a_switch_that_can_not_start_says_why_in_one_line(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Config) -> None:
        raise StoreError("disk gone")

    switch = ModuleType("softswitch.serving")
    monkeypatch.setattr(switch, "run", run, raising=False)
    monkeypatch.setitem(sys.modules, "softswitch.serving", switch)
    assert cli.fails("serve") == "softswitch: disk gone\n"


def test_main_is_the_program(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["softswitch", "check", "--json"])
    with pytest.raises(SystemExit) as ended:
        softswitch.cli.main()
    assert ended.value.code == 0
