"""Trunks over HTTP."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI

from softswitch.api.trunks import TrunkReport, trunk_router


def test_each_trunk_is_told_with_all_that_is_known_of_it() -> None:
    report = TrunkReport("carrier", "tls", "sip.example", 0, False, None, 3, 10, 5.0, 2)
    app = FastAPI()
    app.include_router(trunk_router(lambda: [report]))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://switch") as http:
            return await http.get("/trunks")

    (told,) = asyncio.run(ask()).json()
    assert (told["name"], told["transport"], told["host"], told["port"]) == ("carrier", "tls", "sip.example", 0)
    assert (told["up"], told["registered"], told["calls"], told["max_calls"]) == (False, None, 3, 10)
    assert (told["calls_per_second"], told["full"]) == (5.0, 2)
