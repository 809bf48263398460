"""The program, with a standard output that is closed, full or read no further."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TextIO

import pytest

import softswitch.cli
from softswitch.cli.standard_output import READER_GONE
from tests.cli.conftest import CommandLine

FULL = "softswitch: standard output can't be written: No space left on device; what was done stands\n"
COMMANDS = [("check",), ("check", "--json"), ("--help",), ("bind", "axb", "--help"), ("--version",)]


def main(monkeypatch: pytest.MonkeyPatch, output: TextIO, *arguments: str) -> object:
    """The exit code of the command line, printing to `output`."""
    monkeypatch.setattr(sys, "argv", ["softswitch", *arguments])
    with output, monkeypatch.context() as redirected:
        redirected.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended:
            softswitch.cli.main()
    return ended.value.code


def program(cli: CommandLine, redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program as a shell starts it, in the folder of `cli`."""
    line = ("sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "softswitch", *arguments)
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=cli.folder)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_is_one_line(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert main(monkeypatch, open("/dev/full", "w"), *command) == 1  # noqa: SIM115 (closed by main)
    assert capsys.readouterr().err == FULL


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_who_has_enough_is_no_error(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert main(monkeypatch, open(writing, "w"), *command) == READER_GONE  # noqa: SIM115 (closed by main)
    assert capsys.readouterr().err == ""


def test_what_is_left_to_print_is_not_tried_again_when_python_ends(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    ended = program(cli, ">/dev/full", "--version")
    assert (ended.stderr, ended.returncode) == (FULL, 1)


def test_a_command_whose_output_is_closed_does_its_work(cli: CommandLine) -> None:
    ended = program(cli, ">&-", "number", "add", "17000000001", "--app", "shop", "--mode", "AXB")
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert [number["x"] for number in cli.json("number", "list")] == ["+8617000000001"]


def test_a_command_with_no_open_stream_at_all_says_by_its_exit_code_how_it_went(cli: CommandLine) -> None:
    assert program(cli, "<&- >&- 2>&-", "check").returncode == 0
    cli.config.write_text("[sip]\nlisen = 1")
    assert program(cli, "<&- >&- 2>&-", "check").returncode == 1
