"""Bans over HTTP: listed for everybody, added and lifted on this machine only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from softswitch.api.bans import ban_router

LISTED = [{"source": "192.0.2.1", "why": "scanner", "seconds": 60}]


@dataclass
class Door:
    """What the switch would do."""

    told: list[tuple[str, str, float]] = field(default_factory=list)
    lifted: list[str] = field(default_factory=list)

    def bans(self) -> list[tuple[str, str, float]]:
        return [("192.0.2.1", "scanner", 59.6)]

    def shut_out(self, source: str, why: str, seconds: float) -> None:
        self.told.append((source, why, seconds))

    def lift(self, source: str) -> bool:
        self.lifted.append(source)
        return source in ("192.0.2.1", "2001:db8::")

    def ask(self, method: str, path: str = "/bans", told: Any = None, *, client: str = "127.0.0.1") -> httpx.Response:
        app = FastAPI()
        app.include_router(ban_router(self.bans, self.shut_out, self.lift))

        async def whole() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=(client, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://switch") as http:
                return await http.request(method, path, json=told)

        return asyncio.run(whole())


def test_bans_are_listed_with_the_time_that_is_left() -> None:
    assert Door().ask("GET", client="198.51.100.7").json() == LISTED


def test_an_operator_bans_an_address_for_as_long_as_told_or_as_any() -> None:
    door = Door()
    assert door.ask("POST", told={"source": "192.0.2.9", "seconds": 60}).json() == LISTED
    assert door.ask("POST", told={"source": "2001:db8::9"}).status_code == 200
    assert door.told == [("192.0.2.9", "operator", 60.0), ("2001:db8::9", "operator", 0.0)]


@pytest.mark.parametrize("source", ["192.0.2.1", "2001:db8::/64"])
def test_a_ban_is_lifted_by_the_name_in_the_list(source: str) -> None:
    door = Door()
    assert door.ask("DELETE", f"/bans?source={source}").json() == LISTED
    assert door.lifted == [source.removesuffix("/64")]


def test_what_is_not_banned_or_no_address_is_refused() -> None:
    door = Door()
    assert door.ask("DELETE", "/bans?source=192.0.2.2").status_code == 404
    assert door.ask("DELETE", "/bans?source=192.0.2.0/24").status_code == 422
    assert door.ask("POST", told={"source": "somebody"}).status_code == 422
    assert door.ask("POST", told={"source": "192.0.2.2", "seconds": -1}).status_code == 422
    assert door.told == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_nobody_from_elsewhere_bans_or_lifts(method: str) -> None:
    door = Door()
    path = "/bans?source=192.0.2.1" if method == "DELETE" else "/bans"
    assert door.ask(method, path, {"source": "192.0.2.1"}, client="198.51.100.7").status_code == 403
    assert (door.told, door.lifted) == ([], [])
