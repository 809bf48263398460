"""`softswitch trunks` and `softswitch bans`: shown, added, lifted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.test_trace import switch

TRUNK: dict[str, Any] = {
    "name": "carrier",
    "transport": "udp",
    "host": "2001:db8::1",
    "port": 5060,
    "up": True,
    "registered": False,
    "calls": 3,
    "max_calls": 10,
    "calls_per_second": 5,
    "full": 2,
}
NAMED = TRUNK | {"name": "pbx", "host": "sip.example", "port": 0, "up": None, "registered": None, "max_calls": 0}
BAN = {"source": "192.0.2.66", "why": "scanner", "seconds": 59}


def test_trunks_are_listed_with_their_health_and_calls(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {("GET", "/trunks"): [TRUNK, NAMED, TRUNK | {"up": False, "registered": True}]}):
        lines = cli.ok("trunks").splitlines()
        assert cli.json("trunks")[0] == TRUNK
    assert lines[1].split() == ["carrier", "udp:[2001:db8::1]:5060", "up", "NO", "3", "of", "10", "5", "2"]
    assert lines[2].split() == ["pbx", "udp:sip.example", "3", "5", "2"]
    assert lines[3].split()[2:4] == ["DOWN", "yes"]
    assert lines[4] == "3 trunks"


def test_bans_are_listed(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {("GET", "/bans"): [BAN]}):
        assert cli.ok("bans").splitlines()[1].split() == ["192.0.2.66", "scanner", "59"]
        assert cli.json("bans") == [BAN]


def test_a_ban_is_lifted(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {("DELETE", "/bans?source=2001%3Adb8%3A%3A%2F64"): []}) as page:
        assert "0 banned" in cli.ok("bans", "--lift", "2001:db8::/64")
        assert "Not Found" in cli.fails("bans", "--lift", "192.0.2.1")
    assert len(page.asked) == 2


def test_an_address_is_banned_for_a_while(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with switch(monkeypatch, {("POST", "/bans"): [BAN]}) as page:
        cli.ok("bans", "--add", "192.0.2.66", "--for", "2h")
        assert json.loads(page.told[0]) == {"source": "192.0.2.66", "seconds": 7200}
    assert "not like 90s" in cli.misused("bans", "--add", "192.0.2.66", "--for", "soon")
    assert "--lift or --add" in cli.misused("bans", "--add", "a", "--lift", "b")


def test_how_long_is_said_of_a_ban_that_is_added(cli: CommandLine) -> None:
    assert "give --add with it" in cli.misused("bans", "--for", "7d")
    assert "give --add with it" in cli.misused("bans", "--lift", "192.0.2.66", "--for", "7d")
