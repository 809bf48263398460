"""The command line of the media server."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from media.__main__ import JsonFormatter, read_arguments
from media.ports import SocketOptions


def test_settings_come_from_the_arguments() -> None:
    line = "--bind6 ::1 --workers 3 --dscp 0 --socket-buffer 65536 --packets-per-s 60 "
    line += "--log-format json "
    line += "--socket s --bind 127.0.0.2 --ports 4000-4999 --silence-s 5 --grace-s 6 --io epoll --parent 1 --realtime"
    line += " --kernel-relay"
    settings, parent, log_format = read_arguments(line.split())
    assert (settings.socket, settings.grace_s, parent, log_format) == ("s", 6.0, 1, "json")
    engine = settings.engine
    assert (engine.bind, engine.first_port, engine.last_port) == ("127.0.0.2", 4000, 4999)
    assert (engine.silence_s, engine.io) == (5.0, "epoll")
    assert engine.realtime
    assert engine.kernel_relay
    assert (engine.bind6, engine.workers, engine.packets_per_s) == ("::1", 3, 60)
    assert engine.sockets == SocketOptions(0, 65536)


def test_no_workers_means_one_a_processor() -> None:
    settings, _, _ = read_arguments(["--socket", "s", "--workers", "0"])
    assert settings.engine.workers == len(os.sched_getaffinity(0))


def test_a_negative_number_of_workers_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--socket", "s", "--workers", "-1"])
    assert "expected a number that is not negative" in capsys.readouterr().err


def test_defaults_are_the_documented_ones() -> None:
    settings, parent, log_format = read_arguments(["--socket", "s"])
    assert (settings.engine.first_port, settings.engine.last_port) == (20000, 29999)
    assert (settings.engine.silence_s, settings.grace_s, parent, log_format) == (60.0, 60.0, None, "console")
    assert not settings.engine.realtime
    assert not settings.engine.kernel_relay


@pytest.mark.parametrize("ports", ["4000", "5000-4000", "80-4000", "4000-70000", "a-b"])
def test_a_wrong_port_range_says_what_was_expected(ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--socket", "s", "--ports", ports])
    assert "expected FIRST-LAST within 1024-65535" in capsys.readouterr().err


def test_a_json_line_has_the_members_of_the_switchs_own() -> None:
    try:
        raise OSError("no\nspace")
    except OSError:
        record = logging.LogRecord("media.engine", logging.ERROR, "", 1, "hole in %s", ("a.wav",), sys.exc_info())
    record.created = 0.25
    line = JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["event"], told["logger"], told["level"]) == ("hole in a.wav", "media.engine", "error")
    assert told["timestamp"] == "1970-01-01T00:00:00.250000Z"
    assert "OSError: no\nspace" in told["exception"]


def test_a_json_line_without_an_exception_says_nothing_of_one() -> None:
    record = logging.LogRecord("media", logging.WARNING, "", 1, "all is well", (), None)
    assert "exception" not in json.loads(JsonFormatter().format(record))


def test_a_socket_that_cannot_be_opened_is_one_line_and_status_1(tmp_path: Path) -> None:
    path = str(tmp_path / "not there" / "media.sock")
    command = [sys.executable, "-m", "media", "--socket", path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"python -m media: --socket {path}: No such file or directory\n"
