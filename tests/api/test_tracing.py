"""Traces over HTTP: switched and unmasked only on this machine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from softswitch.api.tracing import trace_router
from softswitch.sip.addresses import Hop
from softswitch.tracing.trace import Trace, Wanted
from tests.tracing.messages import CALLER, SWITCH, invite

HERE, ELSEWHERE = "127.0.0.1", "198.51.100.7"


def new_trace() -> Trace:
    return Trace(lambda: 1000.0, attach=lambda on: None, local_address=lambda _: SWITCH, call_id_of=lambda _: "ours")


def with_a_call(leg: str = "a") -> Trace:
    trace = new_trace()
    trace.want(Wanted())
    trace.note(invite(leg) + b"\xff", Hop("udp", *CALLER), 0, received=True)
    return trace


def ask(
    trace: Trace,
    path: str,
    method: str = "GET",
    told: Any = None,
    *,
    client: str | None = HERE,
    server: str = "switch",
    exported: dict[str, int] | None = None,
) -> httpx.Response:
    app = FastAPI()
    app.include_router(trace_router(trace, exported, clock=lambda: 1000.0))

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": client and (client, 1)}, receive, send)

    async def whole() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url=f"http://{server}") as http:
            return await http.request(method, path, json=told)

    return asyncio.run(whole())


def test_a_trace_is_switched_on_for_a_while_and_off() -> None:
    trace = new_trace()
    answer = ask(trace, "/trace", "POST", {"what": "number", "value": "+8613800001234", "seconds": 60}).json()
    assert answer["on"]
    assert answer["wanted"] == [{"what": "number", "value": "+86138****1234", "ratio": 1.0, "until": 1060.0}]
    assert trace.wanted()[0].value == "+8613800001234"
    assert answer == ask(trace, "/trace", client=ELSEWHERE).json()
    assert not ask(trace, "/trace", "DELETE").json()["on"]


@pytest.mark.parametrize(
    "wish",
    [
        {"what": "number", "value": "110"},
        {"what": "number", "value": "phone-number"},
        {"seconds": 0},
        {"ratio": 2},
        {"what": "everything"},
        {"forever": True},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(wish: dict[str, Any]) -> None:
    trace = new_trace()
    assert ask(trace, "/trace", "POST", wish).status_code == 422
    assert trace.wanted() == ()


@pytest.mark.parametrize("client", [ELSEWHERE, None, "unix"])
def test_others_may_neither_switch_nor_see_numbers(client: str | None) -> None:
    trace = with_a_call()
    assert ask(trace, "/trace", "POST", {}, client=client).status_code == 403
    assert ask(trace, "/trace", "DELETE", client=client).status_code == 403
    assert ask(trace, "/trace/calls/ours?unmask=true", client=client).status_code == 403
    assert ask(trace, "/trace/calls/ours", client=client).status_code == 200


def test_who_asks_from_the_address_it_asks_is_on_this_machine() -> None:
    assert ask(new_trace(), "/trace", "POST", {}, client=ELSEWHERE, server=ELSEWHERE).status_code == 200


def test_a_call_is_told_masked_unless_asked_otherwise() -> None:
    trace = with_a_call()
    answer = ask(trace, "/trace/calls/ours").json()
    assert (answer["call_id"], answer["legs"], answer["count"], answer["left_off"]) == ("ours", ["a"], 1, 0)
    (message,) = answer["messages"]
    assert (message["at"], message["received"], message["leg"], message["transport"]) == (1000.0, True, 0, "udp")
    assert (message["source"], message["destination"]) == (list(CALLER), list(SWITCH))
    assert "+86138****1234" in message["data"]
    (message,) = ask(trace, "/trace/calls/ours?unmask=true").json()["messages"]
    assert message["data"].encode("latin-1") == invite("a") + b"\xff"


def test_traced_calls_are_listed_and_found_by_what_is_listed() -> None:
    trace = with_a_call("13800001234@h")
    (call,) = ask(trace, "/trace/calls").json()
    assert call == {"call_id": "ours", "began_at": 1000.0, "legs": ["138****1234@h"], "count": 1, "left_off": 0}
    for name in ("ours", "13800001234@h", "138****1234@h"):
        assert ask(trace, f"/trace/calls/{name}").status_code == 200
    assert ask(trace, "/trace/calls/other").json() == {"detail": "this call was not traced, or not kept so long"}


def test_the_status_tells_what_is_kept_and_what_homer_got() -> None:
    trace = with_a_call()
    answer = ask(trace, "/trace").json()
    assert (answer["calls"], answer["messages"], answer["forgotten"], answer["hep"]) == (1, 1, 0, None)
    assert answer["bytes"] == trace.size
    assert ask(trace, "/trace", exported={"sent": 3}).json()["hep"] == {"sent": 3, "dropped": 0, "failed": 0}


def test_a_trunk_that_is_traced_is_named_as_it_is() -> None:
    (wanted,) = ask(new_trace(), "/trace", "POST", {"what": "trunk", "value": "carrier-12345678"}).json()["wanted"]
    assert wanted["value"] == "carrier-12345678"
