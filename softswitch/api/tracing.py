"""Traces over HTTP: `/trace` switches them and tells what is traced, `/trace/calls` hands out what was.

Served by `app.py` beside the operations. Only programs on this machine may switch, or see numbers unmasked; all others
read masked messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from softswitch.api.local_only import local_only
from softswitch.logs import masked
from softswitch.tracing.masking import masked_message
from softswitch.tracing.trace import SHORTEST_NUMBER, Trace, TracedCall, TracedMessage, Wanted

LONGEST_S = 7 * 86400.0


class Wish(BaseModel):
    """What to trace, for how many seconds."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["all", "number", "trunk"] = "all"
    value: str = ""
    ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    seconds: Annotated[float, Field(gt=0, le=LONGEST_S)] = 600.0


def trace_router(
    trace: Trace, exported: Mapping[str, int] | None = None, clock: Callable[[], float] = time.time
) -> APIRouter:
    """The routes. `exported` counts what went to the HEP collector, None where there is none."""
    router = APIRouter(prefix="/trace")

    @router.get("")
    async def status() -> dict[str, Any]:
        return _status(trace, exported)

    @router.post("")
    async def switch_on(wish: Wish, request: Request) -> dict[str, Any]:
        local_only(request)
        if wish.what == "number" and not (wish.value.lstrip("+").isdecimal() and len(wish.value) >= SHORTEST_NUMBER):
            raise HTTPException(422, f"a number has {SHORTEST_NUMBER} digits at least")
        trace.want(Wanted(wish.what, wish.value, wish.ratio, clock() + wish.seconds))
        return _status(trace, exported)

    @router.delete("")
    async def switch_off(request: Request) -> dict[str, Any]:
        local_only(request)
        trace.stop()
        return _status(trace, exported)

    @router.get("/calls")
    async def calls() -> list[dict[str, Any]]:
        return [_summary(call) for call in trace.calls()]

    @router.get("/calls/{name:path}")
    async def one_call(name: str, request: Request, unmask: bool = False) -> dict[str, Any]:
        if unmask:
            local_only(request)
        call = trace.find(name) or _by_shown(name, trace)
        if call is None:
            raise HTTPException(404, "this call was not traced, or not kept so long")
        return _summary(call) | {"messages": [_message(one, call, unmask) for one in call.messages]}

    return router


def _shown(wanted: Wanted) -> str:
    """Whose calls are traced; a number masked, for everybody may ask."""
    return masked(wanted.value) if wanted.what == "number" else wanted.value


def _by_shown(name: str, trace: Trace) -> TracedCall | None:
    """The call whose leg is listed, numbers starred, as `name`."""
    return next((call for call in trace.calls() if name in _shown_legs(call)), None)


def _shown_legs(call: TracedCall) -> list[str]:
    return [masked_message(leg.encode()).decode() for leg in call.legs]


def _status(trace: Trace, exported: Mapping[str, int] | None) -> dict[str, Any]:
    wanted = [
        {"what": one.what, "value": _shown(one), "ratio": one.ratio, "until": one.until} for one in trace.wanted()
    ]
    calls = trace.calls()
    return {
        "on": bool(wanted),
        "wanted": wanted,
        "calls": len(calls),
        "messages": sum(len(call.messages) for call in calls),
        "bytes": trace.size,
        "forgotten": trace.forgotten,
        "hep": None if exported is None else {name: exported.get(name, 0) for name in ("sent", "dropped", "failed")},
    }


def _summary(call: TracedCall) -> dict[str, Any]:
    return {
        "call_id": call.call_id,
        "began_at": call.began_at,
        "legs": _shown_legs(call),
        "count": len(call.messages),
        "left_off": call.left_off,
    }


def _message(message: TracedMessage, call: TracedCall, unmask: bool) -> dict[str, Any]:
    """`data` holds each byte as the character of its number (Latin-1), for SIP need not be UTF-8."""
    return {
        "at": message.at,
        "received": message.received,
        "leg": call.legs.index(message.leg),
        "transport": message.transport,
        "source": list(message.source),
        "destination": list(message.destination),
        "data": (message.data if unmask else masked_message(message.data)).decode("latin-1"),
    }
