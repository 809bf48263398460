"""`softswitch trace`: switched on and off, drawn, told and written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from softswitch.tracing.pcapng import capture
from tests.cli.conftest import CommandLine
from tests.cli.operations_page import Page, Served, operations_page
from tests.tracing.messages import call

STATUS: dict[str, Any] = {
    "on": False,
    "wanted": [],
    "calls": 2,
    "messages": 30,
    "bytes": 1_500_000,
    "forgotten": 0,
    "hep": None,
}
SUMMARY = {"call_id": "ours", "began_at": 1000.0, "legs": ["a", "b", "c"], "count": 7, "left_off": 0}
CALL: dict[str, Any] = SUMMARY | {
    "messages": [
        {
            "at": one.at,
            "received": one.received,
            "leg": int(one.leg),
            "transport": one.transport,
            "source": list(one.source),
            "destination": list(one.destination),
            "data": one.data.decode("latin-1"),
        }
        for one in call()
    ]
}


@contextmanager
def switch(monkeypatch: pytest.MonkeyPatch, pages: dict[tuple[str, str], object]) -> Iterator[Served]:
    with operations_page({place: Page(body) for place, body in pages.items()}) as served:
        monkeypatch.setenv("SOFTSWITCH_OPS__LISTEN", f"127.0.0.1:{served.port}")
        yield served


def test_the_ladder_of_both_legs_is_drawn_with_times(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {("GET", "/trace/calls/ours"): CALL}):
        lines = cli.ok("trace", "ours").splitlines()
    assert lines[0].split() == ["192.0.2.1:5060", "switch", "192.0.2.2:5062"]
    assert "INVITE 17000000001 SDP" in lines[1]
    assert lines[2].startswith("   0.001 │◀")
    assert len(lines) == 7


def test_what_was_left_off_is_said(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    only_one = CALL | {"left_off": 3, "messages": CALL["messages"][:1]}
    with switch(monkeypatch, {("GET", "/trace/calls/a%2Fb%40h?unmask=true"): only_one}):
        text = cli.ok("trace", "a/b@h", "--unmask")
    assert text.endswith("3 messages more were not kept\n")
    assert "callee" in text


def test_messages_are_told_whole_or_as_json(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {("GET", "/trace/calls/ours"): CALL}):
        raw, told = cli.ok("trace", "ours", "--raw"), cli.json("trace", "ours")
    assert raw.startswith(
        "--- 1970-01-01 00:16:40.000 UTC udp 192.0.2.1:5060 -> 192.0.2.10:5060\nINVITE sip:17000000001"
    )
    assert raw.count("--- ") == 7
    assert told["messages"][0]["data"] == call()[0].data.decode()


def test_the_call_is_written_as_a_capture(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    six = {"source": ["2001:db8::1", 5060], "destination": ["2001:db8::2", 5060], "data": "\u00ff"}
    with switch(monkeypatch, {("GET", "/trace/calls/ours"): CALL, ("GET", "/trace/calls/6"): _changed(six)}):
        assert cli.ok("trace", "ours", "--pcapng", "call.pcapng") == "7 messages in call.pcapng\n"
        assert "no/where.pcapng can't be written" in cli.fails("trace", "ours", "--pcapng", "no/where.pcapng")
        cli.ok("trace", "6", "--pcapng", "6.pcapng")
        assert "[2001:db8::1]:5060" in cli.ok("trace", "6", "--raw")
    assert (cli.folder / "call.pcapng").read_bytes() == capture(call())
    assert b"\xff" in (cli.folder / "6.pcapng").read_bytes()


def _changed(members: dict[str, Any]) -> dict[str, Any]:
    return CALL | {"messages": [CALL["messages"][0] | members]}


def test_traced_calls_are_listed(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = SUMMARY | {"call_id": "", "legs": ["a@h"]}
    with switch(monkeypatch, {("GET", "/trace/calls"): [SUMMARY, nameless]}):
        table = cli.ok("trace")
        assert cli.json("trace") == [SUMMARY, nameless]
    assert "ours     1970-01-01 00:16:40  3     7" in table
    assert "a@h" in table
    assert "2 traced calls" in table


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        (["--number", "13800001234"], {"what": "number", "value": "13800001234", "ratio": 1.0, "seconds": 600}),
        (
            ["--trunk", "t", "--for", "2h", "--ratio", "0.5"],
            {"what": "trunk", "value": "t", "ratio": 0.5, "seconds": 7200},
        ),
        ([], {"what": "all", "value": "", "ratio": 1.0, "seconds": 600}),
    ],
)
def test_a_trace_is_switched_on(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, options: list[str], wish: dict[str, Any]
) -> None:
    answer = STATUS | {"wanted": [{key: wish[key] for key in ("what", "value", "ratio")} | {"until": 1600.0}]}
    with switch(monkeypatch, {("POST", "/trace"): answer}) as served:
        text = cli.ok("trace", "--on", *options)
    assert json.loads(served.told[0]) == wish
    assert "until 1970-01-01 00:26:40 UTC\n2 calls, 30 messages, 1.5 MB kept\n" in text
    assert ("50% of them" in text) == (wish["ratio"] == 0.5)


def test_a_trace_is_switched_off_and_its_status_told(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = {"what": "all", "value": "", "ratio": 1.0, "until": None}
    full = STATUS | {"wanted": [forever], "forgotten": 4, "hep": {"sent": 9, "dropped": 1, "failed": 0}}
    with switch(monkeypatch, {("DELETE", "/trace"): STATUS, ("GET", "/trace"): full}) as served:
        assert cli.ok("trace", "--off") == "tracing nothing\n2 calls, 30 messages, 1.5 MB kept\n"
        assert cli.ok("trace", "--status").splitlines() == [
            "tracing all, until switched off",
            "2 calls, 30 messages, 1.5 MB kept; 4 calls forgotten for want of memory",
            "HEP: 9 sent, 1 dropped, 0 failed",
        ]
        assert cli.json("trace", "--status") == full
    assert served.asked == ["DELETE /trace", "GET /trace", "GET /trace"]


def test_errors_are_one_line(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {}):
        assert cli.fails("trace", "ours") == "softswitch: the switch refuses: Not Found\n"
    assert "is it running?" in cli.fails("trace", "ours")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ours", "--on"],
        ["--on", "--off"],
        ["--on", "--number", "13800001234", "--trunk", "t"],
        ["--on", "--for", "long"],
        ["--number", "13800001234"],  # would show all that were traced, and trace nothing
        ["ours", "--for", "2h"],
        ["--status", "--ratio", "0.5"],
        ["--raw"],
        ["--pcapng", "call.pcapng"],
    ],
)
def test_misuse_is_told(cli: CommandLine, arguments: list[str]) -> None:
    cli.misused("trace", *arguments)
