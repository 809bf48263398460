"""`python -m softswitch` is the command line (its commands are tested in tests/cli/)."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.switch_process import SwitchProcess, wait_until
from softswitch import __version__


def run_module(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["softswitch", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("softswitch", run_name="__main__")
    return int(ended.value.code or 0)


def test_the_module_runs_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_module(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"softswitch {__version__}\n"


@pytest.mark.real_time
def test_a_reload_that_comes_before_the_switch_can_obey_waits_until_it_can(tmp_path: Path) -> None:
    """`systemctl reload` right behind `systemctl start`, say: unheeded, SIGHUP ends a process."""
    switch = SwitchProcess(tmp_path, dialplan="")
    settings = switch.config.read_bytes()
    switch.config.unlink()
    os.mkfifo(switch.config)  # there it waits for us, however long we are held up
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(switch.start)
        assert wait_until(lambda: switch.pid and waits_with(switch.pid, signal.SIGHUP), 60)
        switch.signal(signal.SIGHUP)
        assert wait_until(lambda: is_read(switch.config, settings), 60)
        starting.result()
        assert wait_until(lambda: "reloaded" in switch.log_file.read_text(), 60)
    assert switch.stop() == 0


def waits_with(pid: int, number: signal.Signals) -> bool:
    """Whether the process has the signal blocked."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask.split()[1], 16) >> number - 1 & 1)


def is_read(pipe: Path, data: bytes) -> bool:
    """Whether somebody reads from the pipe; then it is `data`."""
    try:
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    os.write(end, data)
    os.close(end)
    return True


def test_an_expected_error_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.toml")
    assert run_module(monkeypatch, "bindings", "--config", missing) == 1
    assert capsys.readouterr().err == f"softswitch: {missing}: cannot be read: No such file or directory\n"


def test_wrong_usage_is_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_module(monkeypatch, "bind", "axb", "17000000001") == 2
    assert "Missing argument" in capsys.readouterr().err
