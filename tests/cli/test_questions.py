"""Commands that only ask: calls, CDRs, the check."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from msgspec import structs

from softswitch.cli.questions import _moment
from softswitch.interfaces import Cdr, LegReport, Mode
from softswitch.stores.sqlite import open_sqlite
from tests.cli.conftest import CommandLine
from tests.stores.contract import run

X, A = "17000000001", "13800000001"
NOW = 1_700_000_000.0
CALL = {
    "call_id": "c-1",
    "mode": "AXB",
    "x": "+8617000000001",
    "caller": "+8613800000001",
    "callee": "+8613800000002",
    "state": "talking",
    "started_at": NOW,
    "answered_at": NOW + 3,
    "seconds": 12.5,
}


class Operations(BaseHTTPRequestHandler):
    """A switch that has one call, or a page that is no JSON."""

    answer: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/calls" else 404)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def switch(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> Iterator[None]:
    monkeypatch.setattr(Operations, "answer", answer)
    server = HTTPServer(("127.0.0.1", 0), Operations)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SOFTSWITCH_OPS__LISTEN", f"0.0.0.0:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_calls_of_the_running_switch_are_listed(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(cli, monkeypatch, json.dumps([CALL]).encode()):
        assert cli.json("calls") == [CALL]
        table = cli.ok("calls")
    assert "c-1      AXB   +8617000000001" in table
    assert "1 calls" in table


def test_a_switch_that_does_not_answer_is_one_line(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(cli, monkeypatch, b"not JSON"):
        assert "is it running?" in cli.fails("calls")
    assert "no answer from the switch at http://127.0.0.1:" in cli.fails("calls")
    monkeypatch.setenv("SOFTSWITCH_OPS__LISTEN", "[::]:1")
    assert "http://[::1]:1/calls" in cli.fails("calls")


@pytest.fixture
def records(cli: CommandLine) -> list[Cdr]:
    """Two finished calls, the newest first."""
    answered = Cdr(
        "c-2",
        mode=Mode.AXB,
        app_key="shop",
        x="+8617000000001",
        caller="+8613800000001",
        destination="+8613800000002",
        call_in_at=NOW + 100,
        answered_at=NOW + 105,
        ended_at=NOW + 165.5,
        words="normal clearing [16]",
        b=LegReport(trunk="carrier", mos=4.3),
    )
    refused = Cdr("c-1", x="+8617000000001", caller="+8613800000003", call_in_at=NOW, failure=8014)
    store = open_sqlite(str(cli.folder / "var" / "softswitch.db"))
    for record in (refused, answered):
        run(store.close_attempts([record]))
    store.close()
    return [answered, refused]


def test_cdrs_are_listed_newest_first(cli: CommandLine, records: list[Cdr]) -> None:
    assert [cdr["call_id"] for cdr in cli.json("cdr")] == ["c-2", "c-1"]
    assert [cdr["call_id"] for cdr in cli.json("cdr", "--failure", "8014")] == ["c-1"]
    assert [cdr["call_id"] for cdr in cli.json("cdr", "--caller", A, "--x", X, "--mode", "AXB")] == ["c-2"]
    assert [cdr["call_id"] for cdr in cli.json("cdr", "--until", "2023-11-14T22:14:00")] == ["c-1"]
    assert cli.json("cdr", "--since", "1h") == []
    table = cli.ok("cdr", "--app", "shop")
    assert "60.5" in table
    assert "normal clearing [16]" in table


def test_one_cdr_is_told_in_full(cli: CommandLine, records: list[Cdr]) -> None:
    told = cli.ok("cdr", "c-2")
    assert "2023-11-14 22:15:05" in told
    assert "trunk=carrier, mos=4.3" in told
    assert "recording_sha256" not in told
    assert cli.json("cdr", "c-2")["ended_at"] == NOW + 165.5
    assert cli.fails("cdr", "c-9") == "softswitch: no CDR of call c-9\n"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("90s", NOW - 90),
        ("30m", NOW - 1800),
        ("2h", NOW - 7200),
        ("7d", NOW - 604800),
        ("2023-11-14T22:13:20", NOW),
        ("2023-11-15T06:13:20+08:00", NOW),
    ],
)
def test_a_moment_is_an_age_or_iso_8601_in_utc(text: str | None, moment: float | None) -> None:
    assert _moment(text, NOW) == moment


def test_a_moment_of_no_known_form_is_misuse(cli: CommandLine) -> None:
    assert "neither like 30m" in cli.misused("cdr", "--since", "yesterday")


def test_an_age_beyond_all_dates_is_misuse(cli: CommandLine) -> None:
    for age in ("99999999999999d", f"{'9' * 5000}s"):
        assert "is neither like 30m" in cli.misused("cdr", "--since", age)


def test_a_switch_in_order_passes_the_check(cli: CommandLine) -> None:
    found = cli.json("check")
    parts = ["configuration", "media", "dialplans", "prompts", "tones", "store", "recordings"]
    assert [finding["part"] for finding in found] == parts
    assert all(finding["ok"] for finding in found)


def test_what_is_wrong_is_shown_and_is_exit_code_1(cli: CommandLine) -> None:
    cli.config.write_text("[sip]\nlisen = 1")
    result = cli.run("check")
    assert result.exit_code == 1
    assert "configuration  ERROR  softswitch.toml: sip.lisen: unknown key" in result.stdout


def test_a_cdr_that_can_not_be_read_is_told_and_hides_no_other(cli: CommandLine) -> None:
    store = open_sqlite(str(cli.folder / "var" / "softswitch.db"))
    run(store.close_attempts([Cdr(name, call_in_at=NOW) for name in ("one", "two")]))
    store.close()
    with sqlite3.connect(cli.folder / "var" / "softswitch.db") as connection:
        connection.execute("UPDATE cdrs SET record = '{}' WHERE call_id = 'two'")
    connection.close()
    result = cli.run("cdr", "--json")
    (readable,) = json.loads(result.stdout)
    assert readable["call_id"] == "one"
    assert set(readable) == {field.name for field in structs.fields(Cdr)}  # also what the store leaves out
    assert set(readable["a"]) == {field.name for field in structs.fields(LegReport)}
    assert json.loads(cli.ok("cdr", "one", "--json")) == readable
    assert result.stderr.startswith("softswitch: call two: a stored CDR can't be read: ")
    assert "1 to 2 of 2" in cli.ok("cdr")
    assert cli.fails("cdr", "two").startswith("softswitch: call two: a stored CDR can't be read: ")
