"""The command line of the media server."""

from __future__ import annotations

import pytest

from media.__main__ import read_arguments


def test_settings_come_from_the_arguments() -> None:
    line = "--socket s --bind 127.0.0.2 --ports 4000-4999 --silence-s 5 --grace-s 6 --io epoll --parent 1 --realtime"
    settings, parent = read_arguments(line.split())
    assert (settings.socket, settings.grace_s, parent) == ("s", 6.0, 1)
    engine = settings.engine
    assert (engine.bind, engine.first_port, engine.last_port) == ("127.0.0.2", 4000, 4999)
    assert (engine.silence_s, engine.io) == (5.0, "epoll")
    assert engine.realtime


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
