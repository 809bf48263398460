"""The command line of the media server."""

from __future__ import annotations

import os

import pytest

from media.__main__ import read_arguments
from media.ports import SocketOptions


def test_settings_come_from_the_arguments() -> None:
    line = "--bind6 ::1 --workers 3 --dscp 0 --socket-buffer 65536 --packets-per-s 60 "
    line += "--socket s --bind 127.0.0.2 --ports 4000-4999 --silence-s 5 --grace-s 6 --io epoll --parent 1 --realtime"
    settings, parent = read_arguments(line.split())
    assert (settings.socket, settings.grace_s, parent) == ("s", 6.0, 1)
    engine = settings.engine
    assert (engine.bind, engine.first_port, engine.last_port) == ("127.0.0.2", 4000, 4999)
    assert (engine.silence_s, engine.io) == (5.0, "epoll")
    assert engine.realtime
    assert (engine.bind6, engine.workers, engine.packets_per_s) == ("::1", 3, 60)
    assert engine.sockets == SocketOptions(0, 65536)


def test_no_workers_means_one_a_processor() -> None:
    settings, _ = read_arguments(["--socket", "s", "--workers", "0"])
    assert settings.engine.workers == len(os.sched_getaffinity(0))


def test_a_negative_number_of_workers_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--socket", "s", "--workers", "-1"])
    assert "expected a number that is not negative" in capsys.readouterr().err


def test_defaults_are_the_documented_ones() -> None:
    settings, parent = read_arguments(["--socket", "s"])
    assert (settings.engine.first_port, settings.engine.last_port) == (20000, 29999)
    assert (settings.engine.silence_s, settings.grace_s, parent) == (60.0, 60.0, None)
    assert not settings.engine.realtime


@pytest.mark.parametrize("ports", ["4000", "5000-4000", "80-4000", "4000-70000", "a-b"])
def test_a_wrong_port_range_says_what_was_expected(ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--socket", "s", "--ports", ports])
    assert "expected FIRST-LAST within 1024-65535" in capsys.readouterr().err
