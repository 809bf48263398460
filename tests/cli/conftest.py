"""A command line with a configuration, a dialplan and an empty store of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from softswitch.cli import app

REPOSITORY = Path(__file__).parent.parent.parent


class CommandLine:
    """Runs commands in `folder`; `ok` and `json` want exit code 0, `fails` one line on standard error and 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "softswitch.toml"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})

    def ok(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def fails(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("softswitch: ")
        assert result.stderr.count("\n") == 1
        return result.stderr

    def misused(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 2, result.output
        return " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOFTSWITCH_CONFIG", raising=False)
    command_line = CommandLine(tmp_path)
    command_line.config.write_text(
        f'[dialplan]\ndirectory = "{REPOSITORY}/dialplans"\n[prompts]\ndirectory = "{REPOSITORY}/prompts"\n'
    )
    return command_line
