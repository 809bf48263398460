"""`python -m softswitch` is the command line (its commands are tested in tests/cli/)."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from softswitch import __version__


def run_module(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["softswitch", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("softswitch", run_name="__main__")
    return int(ended.value.code or 0)


def test_the_module_runs_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_module(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"softswitch {__version__}\n"


def test_an_expected_error_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.toml")
    assert run_module(monkeypatch, "bindings", "--config", missing) == 1
    assert capsys.readouterr().err == f"softswitch: {missing}: cannot be read: No such file or directory\n"


def test_wrong_usage_is_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_module(monkeypatch, "bind", "axb", "17000000001") == 2
    assert "Missing argument" in capsys.readouterr().err
