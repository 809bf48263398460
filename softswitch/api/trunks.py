"""Trunks over HTTP: `/trunks` tells how each of them is, for `softswitch trunks`.

Served by `app.py` beside the operations. Reads; never changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class TrunkReport:
    """One trunk now. `up` and `registered` are None where nobody looks; `full` counts the calls its limits refused."""

    name: str
    transport: str
    host: str
    port: int
    up: bool | None
    registered: bool | None
    calls: int
    max_calls: int
    calls_per_second: float
    full: int


def trunk_router(reports: Callable[[], Iterable[TrunkReport]]) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.get("/trunks")
    async def trunks() -> list[dict[str, Any]]:
        return [asdict(report) for report in reports()]

    return router
