"""Bans over HTTP: `/bans` lists the sources that get no answer; programs on this machine may add and lift.

Served by `app.py` beside the operations, asked by `softswitch bans`. It keeps nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from softswitch.api.local_only import local_only

LONGEST_S = 30 * 86400.0


class WantedBan(BaseModel):
    """Whom to ban, for how many seconds; 0: as long as any ban."""

    model_config = ConfigDict(extra="forbid")

    source: str
    seconds: Annotated[float, Field(ge=0, le=LONGEST_S)] = 0.0


def ban_router(
    bans: Callable[[], Sequence[tuple[str, str, float]]],
    shut_out: Callable[[str, str, float], None],
    lift: Callable[[str], bool],
) -> APIRouter:
    """The routes. `bans` tells the banned sources, why, and for how many seconds more."""
    router = APIRouter(prefix="/bans")

    def listed() -> list[dict[str, Any]]:
        return [{"source": source, "why": why, "seconds": round(left)} for source, why, left in bans()]

    @router.get("")
    async def in_force() -> list[dict[str, Any]]:
        return listed()

    @router.post("")
    async def add(wanted: WantedBan, request: Request) -> list[dict[str, Any]]:
        local_only(request)
        shut_out(_source(wanted.source), "operator", wanted.seconds)
        return listed()

    @router.delete("")
    async def end(source: str, request: Request) -> list[dict[str, Any]]:
        local_only(request)
        if not lift(_source(source)):
            raise HTTPException(404, f"{source} is not banned")
        return listed()

    return router


def _source(text: str) -> str:
    """An address; of an IPv6 network, as the list names it, any address does."""
    try:
        return str(ipaddress.ip_address(text.removesuffix("/64")))
    except ValueError:
        raise HTTPException(422, f"{text} is no address") from None
