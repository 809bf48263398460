"""Operations over HTTP: `/metrics`, `/health/live`, `/health/ready`, `/calls`. Numbers are masked.

Built and served by `app.py`. Reads; never changes anything.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from softswitch.call.cdr import CallRecord
from softswitch.call.registry import CallRegistry
from softswitch.logs import masked


class OperationsServer(uvicorn.Server):
    """The HTTP server, without signal handling of its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the switch."""
        yield


def operations_app(
    registry: CollectorRegistry,
    calls: CallRegistry,
    checks: Callable[[], Mapping[str, bool]],
    *,
    mask: bool = True,
) -> FastAPI:
    """The HTTP application. `checks` names what must be true for new calls to be welcome."""
    app = FastAPI(title="softswitch operations", docs_url=None, redoc_url=None)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health")
    async def health() -> JSONResponse:
        return _health(checks())

    @app.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        return _health(checks())

    @app.get("/calls")
    async def live_calls() -> list[dict[str, Any]]:
        now = time.time()
        return [_call(record, now, mask) for record in calls]

    return app


def _health(checks: Mapping[str, bool]) -> JSONResponse:
    ready = all(checks.values())
    return JSONResponse({"live": True, "ready": ready, "checks": dict(checks)}, status_code=200 if ready else 503)


def _call(record: CallRecord, now: float, mask: bool) -> dict[str, Any]:
    shown = masked if mask else str
    return {
        "call_id": record.call_id,
        "mode": record.get("mode"),
        "state": record.state,
        "x": shown(record.get("x") or ""),
        "caller": shown(record.get("caller") or ""),
        "callee": shown(record.get("destination") or ""),
        "trunk_in": record.trunk_in,
        "trunk_out": record.trunk_out,
        "started_at": record.get("call_in_at"),
        "answered_at": record.get("answered_at"),
        "seconds": round(now - (record.get("answered_at") or record.get("call_in_at") or now), 1),
    }
