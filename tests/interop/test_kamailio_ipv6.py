"""Calls through Debian's Kamailio by IPv6, in front of the switch and behind it, between SIPps (RFC 3261 16, 19.1.1).

Signalling and media are on [::1] alone; ports tell everybody apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.switch_process import wait_until
from tests.interop.kamailio import Kamailio, Passed
from tests.interop.world import LINES, A, bind_all, national
from tests.scenarios.sipp import Sipp
from tests.scenarios.world import free_ports6, has_ipv6
from tests.support.leaks import shows
from tests.support.switch import RunningSwitch

pytestmark = [
    pytest.mark.interop,
    pytest.mark.sipp,
    pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1"),
]

CONFIGURATION = Path(__file__).with_name("kamailio6.cfg")
SETTLE_S = 60.0
LINE = LINES["udp"]


@dataclass(frozen=True, slots=True)
class Chain:
    """Two proxies and the switch between them, joined by one transport."""

    ports: tuple[int, ...]  # of the caller, the proxy in front, the switch, the proxy behind, the callee
    transport: str
    switch: RunningSwitch
    front: Kamailio
    behind: Kamailio


@pytest.fixture(params=["udp", "tcp"])
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chain]:
    transport = str(request.param)
    ports = _, front, switch, behind, callee = free_ports6(5)
    settings: dict[str, dict[str, object]] = {
        "sip": {"listen": [f"udp:[::1]:{switch}", f"tcp:[::1]:{switch}"]},
        "media": {"bind6": "::1", "silence_s": 600.0},
        "log": {"level": "info", "format": "json"},
    }
    dialplan = (
        f'[[trunk]]\nname = "front"\nhost = "::1"\nport = {front}\nsources = ["::1/128"]\n'
        f'[[trunk]]\nname = "behind"\nhost = "::1"\nport = {behind}\ntransport = "{transport}"\n'
        f'[[route]]\nname = "udp"\nnumbers = ["{LINE.b}"]\ntargets = ["behind"]\n'
    )
    running = RunningSwitch(tmp_path / "switch", dialplan=dialplan, settings=settings)
    bind_all(str(tmp_path / "switch" / "softswitch.db"))
    with ExitStack() as held:
        proxies = [
            held.enter_context(
                Kamailio(
                    name, "::1", tmp_path / name, {"next": str(to), "by": by}, configuration=CONFIGURATION, port=at
                )
            )
            for name, at, to, by in (("front", front, switch, transport), ("behind", behind, callee, "udp"))
        ]
        held.enter_context(running)
        yield Chain(ports, transport, running, *proxies)


def test_a_call_with_hold_goes_by_both_proxies(chain: Chain, tmp_path: Path) -> None:
    caller, callee = asyncio.run(talked(chain, tmp_path))
    assert (caller.exit_code, callee.exit_code) == (0, 0), (
        f"{caller.errors}\n{callee.errors}\n{chain.switch.log_tail()}"
    )
    (cdr,) = chain.switch.wait_for_cdrs(1)
    assert (cdr["ulFailReason"], cdr["ended_by"], cdr["a"]["trunk"], cdr["b"]["trunk"]) == (
        0,
        "caller",
        "front",
        "behind",
    )
    from_switch = {"front": {"INVITE", "ACK"}, "behind": {"ACK", "BYE"}}  # within the dialogs

    def came() -> dict[str, set[str]]:
        return {proxy.name: {one.name for one in later_requests(chain, proxy)} for proxy in (chain.front, chain.behind)}

    assert wait_until(lambda: came() == from_switch, SETTLE_S), came()
    for proxy, hidden in ((chain.front, LINE.b), (chain.behind, A)):
        for one in of_switch(chain, proxy):
            assert one.transport == chain.transport
            assert not shows(hidden, one.text)
        for one in later_requests(chain, proxy):
            assert one.header("Route")[0].startswith(f"<sip:[::1]:{proxy.port};")
        assert proxy.complaints() == []


def of_switch(chain: Chain, proxy: Kamailio) -> list[Passed]:
    """What came to a proxy from the switch, which signs first requests and responses."""
    return [one for one in proxy.passed() if "softswitch" in one.header("User-Agent") + one.header("Server")]


def later_requests(chain: Chain, proxy: Kamailio) -> list[Passed]:
    """Requests within a dialog that came to a proxy from the switch."""
    (switch,) = chain.ports[2:3]
    passed = [one for one in proxy.passed() if not one.name.isdigit() and one.within_dialog]
    return [one for one in passed if f"[::1]:{switch};" in one.header("Via")[0]]


async def talked(chain: Chain, folder: Path) -> tuple[Sipp, Sipp]:
    """One call, from dialling to its end."""
    at_caller, at_front, _, _, at_callee = chain.ports
    here = Path(__file__).parent
    caller = Sipp(
        "caller", folder, here / "caller6.xml", ("[::1]", at_caller), {"caller": A, "rtp_port": 40000}, media_ip="[::1]"
    )
    callee = Sipp(
        "callee",
        folder,
        here / "callee6.xml",
        ("[::1]", at_callee),
        {"callee": LINE.b, "rtp_port": 40002},
        media_ip="[::1]",
    )
    try:
        await callee.answer()
        await caller.call(f"[::1]:{at_front}", national(LINE.x))
        await asyncio.wait_for(callee.wait(), SETTLE_S)
    finally:
        caller.stop()
        callee.stop()
    return caller, callee
