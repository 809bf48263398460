"""The operations interface over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import FastAPI

from softswitch.api.operations import operations_app
from softswitch.call.cdr import CallRecord
from softswitch.call.registry import CallRegistry
from softswitch.interfaces import Mode
from softswitch.metrics import Metrics


def get(app: FastAPI, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://switch") as client:
            return await client.get(path)

    return asyncio.run(ask())


def app(checks: Mapping[str, bool] | None = None, calls: Any = (), *, mask: bool = True) -> FastAPI:
    return operations_app(Metrics().registry, calls, lambda: checks or {"media": True}, mask=mask)


def test_metrics_are_prometheus_text() -> None:
    answer = get(app(), "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "softswitch_calls" in answer.text


def test_ready_only_while_every_check_holds() -> None:
    assert get(app({"media": True, "store": True}), "/health/ready").status_code == 200
    answer = get(app({"media": False, "store": True}), "/health")
    assert answer.status_code == 503
    assert answer.json() == {"live": True, "ready": False, "checks": {"media": False, "store": True}}
    assert get(app({"media": False}), "/health/live").status_code == 200


def live_call() -> CallRecord:
    record = CallRecord("c1", lambda: 1_700_000_000.0, trunk_in="in")
    record.note(mode=Mode.AXB, x="+8617000000001", caller="+8613800001234", destination="+8613900002345")
    record.state = "talking"
    return record


def test_live_calls_are_listed_with_masked_numbers() -> None:
    (call,) = get(app(calls=[live_call()]), "/calls").json()
    assert (call["call_id"], call["mode"], call["state"]) == ("c1", "AXB", "talking")
    assert (call["x"], call["caller"], call["callee"]) == ("+86170****0001", "+86138****1234", "+86139****2345")
    assert call["seconds"] > 0


def test_masking_follows_the_setting() -> None:
    (call,) = get(app(calls=[live_call()], mask=False), "/calls").json()
    assert call["caller"] == "+8613800001234"


def test_no_calls_is_an_empty_list() -> None:
    async def none() -> CallRegistry:
        return CallRegistry()

    assert get(app(calls=asyncio.run(none())), "/calls").json() == []
