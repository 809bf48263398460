"""`softswitch serve` as a process: it ends when it is told to, whatever it waits for."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.switch_process import SwitchFailed, SwitchProcess, wait_until

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_switch_that_waits_for_a_media_server_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Not 10 s later, with the complaint that none answered."""
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as mute, ThreadPoolExecutor(1) as pool:
        mute.settimeout(60)
        mute.bind(f"{short}/mute")
        mute.listen()
        switch = SwitchProcess(tmp_path, dialplan="", settings={"media": {"server": f"{short}/mute"}})
        starting = pool.submit(switch.start)
        connection, _ = mute.accept()
        with connection:
            switch.signal(number)
            with pytest.raises(SwitchFailed, match="ended before it was ready"):
                starting.result()
    assert "no media server" not in switch.log_file.read_text()
    assert switch.log_tail(1).endswith("stopped")


def test_a_switch_whose_files_stand_still_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """The store as it was left, and no media server behind it."""
    hung = tmp_path / "dialplans" / "30-hung.toml"
    with SwitchProcess(tmp_path, dialplan="") as switch:
        os.mkfifo(hung)  # stands still like a server of files that is away
        switch.signal(signal.SIGHUP)
        writer = wait_until(lambda: opened_with_its_reader(hung), 60)
        assert writer
        assert switch.ready()
        assert switch.stop() == 0
        os.close(writer)
    assert switch.log_tail(1).endswith("stopped")
    assert not list(tmp_path.glob("*.db-wal"))


def opened_with_its_reader(pipe: Path) -> int:
    """The writing end of a pipe that somebody has begun to read; 0 while nobody has."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0
