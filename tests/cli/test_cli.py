"""The root of the command line: where the configuration comes from, exit codes, help."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import softswitch.cli
from softswitch import __version__
from softswitch.config import Config
from softswitch.errors import StoreError
from tests.cli.conftest import CommandLine


def test_the_configuration_may_be_named_before_or_after_the_command(cli: CommandLine) -> None:
    cli.config.rename(cli.folder / "other.toml")
    for arguments in (
        ("--config", "other.toml", "number", "list", "--json"),
        ("number", "list", "--config", "other.toml", "--json"),
        ("number", "list", "--json", "--config=other.toml"),
    ):
        assert cli.ok(*arguments) == "[]\n"


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


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("number", "add"),
        ("number", "list"),
        ("bind", "axb"),
        ("bind", "ax"),
        ("bind", "axe"),
        ("unbind",),
        ("bindings",),
        ("callee", "set"),
        ("calls",),
        ("cdr",),
        ("explain",),
        ("check",),
        ("serve",),
    ],
)
def test_every_command_explains_itself(cli: CommandLine, command: tuple[str, ...]) -> None:
    told = cli.ok(*command, "--help")
    assert "Usage" in told
    if command[:1] in (("bind",), ("callee",), ("unbind",), ("explain",), ()):
        assert f"softswitch {' '.join(command)}" in told.partition("Options")[0]  # an example


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
    monkeypatch.setattr(sys, "argv", ["softswitch", "number", "list", "--json"])
    with pytest.raises(SystemExit) as ended:
        softswitch.cli.main()
    assert ended.value.code == 0
