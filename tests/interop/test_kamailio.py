"""Calls through Debian's Kamailio, in front of the switch and behind it, between pjsua2 phones (RFC 3261 16).

The proxies record-route, so every later request of a call must come by them (12.2.1.1), and they tell what they saw.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import closing
from pathlib import Path

import pytest

from demo.phone import Phone, header_values
from demo.switch_process import wait_until
from tests.interop.kamailio import Passed
from tests.interop.rig import Call, Rig
from tests.interop.world import LINES
from tests.scenarios.sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.phones]

TRANSPORTS = ("udp", "tcp", "tls")
REMOTE_HOLD, ACTIVE = 3, 1  # pjsua_call_media_status
SETTLE_S = 60.0
GIVEN_UP, BUSY = (7501, 7502), 8102  # failure codes of the CDR
LATE_ANSWER = Path(__file__).with_name("late_answer.xml")
Phones = tuple[Phone, Phone]


def hold_for_a_moment(holder: Phone, other: Phone) -> None:
    """Two re-INVITEs (RFC 3264 8.4)."""
    holder.hold()
    other.wait_for("media", status=REMOTE_HOLD)
    holder.wait_for("media", hearing=False)
    holder.unhold()
    other.wait_for("media", status=ACTIVE)
    holder.wait_for("media", hearing=True)


# A whole call


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("line", [*TRANSPORTS, "strict"])
def test_every_request_of_a_call_goes_by_the_proxies(rig: Rig, phones: Phones, line: str, who: str) -> None:
    call = Call(rig, LINES[line], *phones)
    caller, callee = phones
    active, passive = (caller, callee) if who == "caller" else (callee, caller)
    acknowledged = rig.acks()
    call.connect()
    hold_for_a_moment(active, passive)
    # Of the call, the hold and its end: one that was lost comes again with our next 200 while the call lasts.
    assert wait_until(lambda: rig.acks() - acknowledged >= 3, SETTLE_S)
    active.hang_up()
    cdr = call.over()

    wait_until(lambda: came(call) == must_come(rig, who), SETTLE_S)  # a proxy may be late to write its log
    assert came(call) == must_come(rig, who)
    assert (cdr["ulFailReason"], cdr["ended_by"], cdr["a"]["trunk"]) == (0, who, "front")
    assert cdr["b"]["trunk"] == LINES[line].trunks[0]
    call.hides_numbers()


def came(call: Call) -> dict[tuple[str, str], set[str]]:
    """Which requests within the dialogs came to which proxy from whom."""
    return {
        (proxy.name, source): {one.name for one in call.later_requests(proxy, source)}
        for proxy in (call.rig.front, call.rig.behind)
        for source in call.rig.network.parties
    }


def must_come(rig: Rig, who: str) -> dict[tuple[str, str], set[str]]:
    """The same when all is well and `who` holds and hangs up."""
    everything, network = {"INVITE", "ACK", "BYE"}, rig.network
    by_caller = who == "caller"
    return {
        ("front", network.caller): everything if by_caller else {"ACK"},
        ("front", network.switch): set() if by_caller else everything,
        ("front", network.callee): set(),
        ("behind", network.callee): set() if by_caller else everything,
        ("behind", network.switch): {"PRACK", *everything} if by_caller else {"PRACK", "ACK"},  # B's 180 is reliable
        ("behind", network.caller): set(),
    }


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("line", TRANSPORTS)
def test_a_loose_route_stands_in_front_of_the_remote_target(rig: Rig, phones: Phones, line: str, who: str) -> None:
    call, bye = bye_to_the_other(rig, phones, line, who)
    other = rig.network.callee if who == "caller" else rig.network.caller
    routes = bye.header("Route")
    assert bye.transport == line  # that of the first route
    assert f"@{other}:5060" in bye.uri
    assert len(routes) == (1 if line == "udp" else 2)  # a change of transport is recorded twice
    assert all(f"<sip:{call.proxy_before(other).address}" in route and ";lr" in route for route in routes)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_two_proxies_in_a_row_are_passed_in_their_order(rig: Rig, phones: Phones, who: str) -> None:
    """RFC 3261 12.1.2: the caller's side of a dialog turns the Record-Route fields round."""
    call, network = Call(rig, LINES["chained"], *phones), rig.network
    call.connect()
    (phones[0] if who == "caller" else phones[1]).hang_up()
    assert call.over()["ended_by"] == who
    if who == "callee":
        call.wait_to_pass(rig.front, "BYE", network.callee)
        call.wait_to_pass(rig.behind, "BYE", network.front)
    else:
        bye = call.wait_to_pass(rig.behind, "BYE", network.switch)
        first, second = bye.header("Route")
        assert first.startswith(f"<sip:{network.behind}:5077;")
        assert second.startswith(f"<sip:{network.front};")
        call.wait_to_pass(rig.front, "BYE", network.behind)
    call.hides_numbers()


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_strict_route_is_the_request_uri_and_the_remote_target_is_the_last_route(
    rig: Rig, phones: Phones, who: str
) -> None:
    """RFC 3261 12.2.1.1: "If the first URI does not contain the lr parameter …"."""
    call, bye = bye_to_the_other(rig, phones, "strict", who)
    other = rig.network.callee if who == "caller" else rig.network.caller
    (route,) = bye.header("Route")
    assert bye.uri == f"sip:{call.proxy_before(other).address}:5072"
    assert f"@{other}:5060" in route


def bye_to_the_other(rig: Rig, phones: Phones, line: str, who: str) -> tuple[Call, Passed]:
    """The switch's BYE to who did not hang up, as the proxy got it; the phone had it from the proxy."""
    call = Call(rig, LINES[line], *phones)
    call.connect()
    active, passive = phones if who == "caller" else phones[::-1]
    active.hang_up()
    call.over()
    proxy = rig.behind if who == "caller" else rig.front
    bye = call.wait_to_pass(proxy, "BYE", rig.network.switch)
    last = [event["message"] for event in passive.all("received") if event["message"].startswith("BYE ")][-1]
    by_proxy, by_switch = header_values(last, "Via")
    assert f" {proxy.address}" in by_proxy
    assert by_switch.partition(";")[0] == bye.header("Via")[0].partition(";")[0]
    return call, bye


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("line", TRANSPORTS)
def test_a_call_outlives_a_restart_of_both_proxies(rig: Rig, phones: Phones, line: str, who: str) -> None:
    """Loose routes need no memory; the connections of TCP and TLS are opened anew (RFC 3261 18.1.1)."""
    call = Call(rig, LINES[line], *phones)
    call.connect()
    rig.front.restart()
    rig.behind.restart()
    active, passive = phones if who == "caller" else phones[::-1]
    hold_for_a_moment(active, passive)
    active.hang_up()
    cdr = call.over()
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (0, who)


# A call that is not answered


@pytest.mark.parametrize("line", [*TRANSPORTS, "strict"])
def test_a_cancel_and_reliable_early_media_go_by_the_proxies(rig: Rig, phones: Phones, line: str) -> None:
    call = Call(rig, LINES[line], *phones)
    call.dial()
    call.callee.wait_for("incoming")
    call.callee.answer(183)
    call.caller.wait_for("media", hearing=True)
    for proxy, source in ((rig.behind, rig.network.switch), (rig.front, rig.network.caller)):
        assert call.wait_to_pass(proxy, "PRACK", source).header("Route")  # RFC 3262, each leg by itself
        call.wait_to_pass(
            proxy, "200", rig.network.callee if proxy is rig.behind else rig.network.switch, method="PRACK"
        )
    call.caller.hang_up()
    assert call.caller.wait_for("disconnected")["status"] == 487
    call.callee.wait_for("disconnected")
    call.wait_to_pass(rig.front, "487", rig.network.switch)
    call.wait_to_pass(rig.behind, "CANCEL", rig.network.switch)
    call.wait_to_pass(rig.behind, "487", rig.network.callee)
    assert call.cdr()["ulFailReason"] in GIVEN_UP
    call.hides_numbers()


@pytest.mark.parametrize("line", TRANSPORTS)
def test_busy_passes_to_the_caller(rig: Rig, phones: Phones, line: str) -> None:
    call = Call(rig, LINES[line], *phones)
    call.ring()
    call.callee.hang_up(486)
    assert call.caller.wait_for("disconnected")["status"] == 486
    call.wait_to_pass(rig.behind, "ACK", rig.network.switch)  # RFC 3261 17.1.1.3: to the proxy, hop by hop
    assert call.cdr()["ulFailReason"] == BUSY
    call.hides_numbers()


# What else a proxy does


@pytest.mark.parametrize(("line", "status"), [("refused", "503"), ("silent", "408")])
def test_the_next_target_is_tried(rig: Rig, phones: Phones, line: str, status: str) -> None:
    call = Call(rig, LINES[line], *phones)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as nobody:
        nobody.bind((rig.network.nobody, 5060))
        call.connect()
    call.caller.hang_up()
    cdr = call.over()
    assert (cdr["ulFailReason"], cdr["b"]["trunk"]) == (0, "callee")
    assert call.wait_to_pass(rig.behind, "INVITE", rig.network.switch).door == (5073 if status == "503" else 5074)
    call.hides_numbers()


def test_of_two_answers_of_a_fork_one_has_the_call_and_the_other_is_ended(
    rig: Rig, phones: Phones, tmp_path: Path
) -> None:
    """RFC 3261 13.2.2.4: each 2xx gets its ACK; the dialog that is not wanted gets a BYE."""

    async def played() -> Sipp:
        at = (rig.network.rival, 5060)
        rival = Sipp("rival", tmp_path, LATE_ANSWER, at, {}, media_ip=rig.network.rival)
        try:
            await rival.answer()
            await asyncio.to_thread(call.connect)
            await asyncio.wait_for(rival.wait(), SETTLE_S)
        finally:
            rival.stop()
        return rival

    call = Call(rig, LINES["forked"], *phones)
    rival = asyncio.run(played())
    assert rival.exit_code == 0, rival.errors
    call.caller.hang_up()
    cdr = call.over()
    byes = [one for one in call.later_requests(rig.behind, rig.network.switch) if one.name == "BYE"]
    tags = {one.header("To")[0].partition(";tag=")[2] for one in byes}
    assert len(tags) == 2
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (0, "caller")
    call.hides_numbers()


def test_a_proxy_that_asks_for_a_password_gets_it_for_invite_and_bye(rig: Rig, phones: Phones) -> None:
    """RFC 7616 and 8760, against Kamailio's own arithmetic."""
    call = Call(rig, LINES["challenged"], *phones)
    call.connect()
    call.caller.hang_up()
    assert call.over()["ulFailReason"] == 0
    for method in ("INVITE", "BYE"):
        request = call.wait_to_pass(rig.behind, method, rig.network.switch)
        (proof,) = request.header("Proxy-Authorization")
        assert "algorithm=SHA-256" in proof
        assert "qop=auth" in proof
    call.hides_numbers()


# Beside calls


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_proxy_answers_health_checks(rig: Rig, transport: str) -> None:
    assert rig.behind.wait_to_see("OPTIONS", rig.network.switch, transport)
    assert rig.switch.metric("softswitch_trunk_up", trunk=f"behind-{transport}") == 1


def test_its_registrar_takes_a_registration(rig: Rig) -> None:
    assert wait_until(lambda: rig.switch.metric("softswitch_trunk_registered", trunk="behind-challenged"), SETTLE_S)


# After them all


def test_nothing_is_left_and_nobody_complained(rig: Rig) -> None:
    assert wait_until(lambda: json.loads(rig.switch.http("/calls")) == [], SETTLE_S)
    assert "call_crashed" not in rig.switch.log_file.read_text(encoding="utf-8")
    assert rig.switch.metric("softswitch_leak_guard_hits_total") == 0
    assert rig.front.complaints() == rig.behind.complaints() == []
