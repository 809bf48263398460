"""A switch as a child: its configuration is what the switch reads, and one that cannot start says why."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path

import pytest

from demo.switch_process import (
    LONGEST_SOCKET_PATH,
    PORTS,
    SwitchFailed,
    SwitchProcess,
    free_port,
    some_rtp_ports,
    toml,
    wait_until,
)
from softswitch.config import load_config


def test_the_configuration_is_valid_and_stays_in_its_folder_and_on_loopback(tmp_path: Path) -> None:
    switch = SwitchProcess(
        tmp_path, dialplan="", settings={"call": {"warning_s": 3.5}, "sip": {"advertised": "127.0.0.1"}}
    )
    config = load_config(str(switch.config))
    assert config.sip.listen == [f"127.0.0.1:{switch.sip_port}"]
    assert config.sip.advertised == "127.0.0.1"
    assert config.call.warning_s == 3.5
    assert config.call.drain_s == 3.0
    assert config.ops.listen.startswith("127.0.0.1:")
    for path in (config.store.path, config.cdr.file, config.recording.directory, config.media.socket):
        assert Path(path).is_relative_to(tmp_path)


def test_a_deep_folder_gets_a_socket_path_that_a_unix_socket_can_have(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    config = load_config(str(SwitchProcess(deep, dialplan="").config))
    assert len(config.media.socket) <= LONGEST_SOCKET_PATH
    Path(config.media.socket).parent.rmdir()


def test_a_switch_that_cannot_start_says_why(tmp_path: Path) -> None:
    switch = SwitchProcess(tmp_path, dialplan="[[trunk]]\nname = 5\n")
    with pytest.raises(SwitchFailed, match=r"20-loopback\.toml"):
        switch.start()
    assert switch.pid == 0
    assert switch.stop() == 0


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SwitchFailed, match="bind axb"):
        SwitchProcess(tmp_path, dialplan="").cli("bind", "axb", "17000000001", "13800000001", "13800000002")


def test_records_are_read_whole_lines_only(tmp_path: Path) -> None:
    switch = SwitchProcess(tmp_path, dialplan="")
    assert switch.cdrs() == []
    switch.cdr_file.write_text(json.dumps({"icid": "1"}) + "\n" + '{"icid": "2"')
    assert switch.cdrs() == [{"icid": "1"}]
    with pytest.raises(SwitchFailed, match="2 CDRs expected, 1 written"):
        switch.wait_for_cdrs(2, timeout_s=0.1)


def test_settings_are_written_as_toml() -> None:
    assert toml({"a": {"b": True, "c": ["x"], "d": "中"}}) == '[a]\nb = true\nc = ["x"]\nd = "中"\n'


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_free_port_can_be_bound_and_is_given_to_nobody_else(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as probe, socket.socket(socket.AF_INET, kind) as any_port:
        probe.bind(("127.0.0.1", free_port(kind)))
        any_port.bind(("127.0.0.1", 0))
        assert any_port.getsockname()[1] not in PORTS
    assert len({free_port(kind) for _ in range(100)}) == 100


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    free, taken = free_port(), free_port()
    monkeypatch.setattr("demo.switch_process._PORTS", itertools.cycle([taken, free]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", taken))
        assert free_port() == free


def test_rtp_ports_are_none_of_those_that_a_program_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.switch_process.RTP_PORTS", range(10000, 12000, 1000))
    for taken, others in ((range(10000, 11000), "11000-11999"), (range(11000, 12000), "10000-10999")):
        monkeypatch.setattr("demo.switch_process.is_free", lambda port, taken=taken: port not in taken)
        assert {some_rtp_ports() for _ in range(10)} == {others}
    monkeypatch.setattr("demo.switch_process.is_free", lambda port: False)
    assert some_rtp_ports() in {"10000-10999", "11000-11999"}  # a pair may be left


def test_waiting_ends_with_the_first_true_answer_or_with_the_last_one() -> None:
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers), 5.0) == 7
    assert not wait_until(lambda: 0, 0.01)
