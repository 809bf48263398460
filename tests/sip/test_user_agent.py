"""The awaitable face: starting, stopping, one task a call, and two user agents talking on an in-memory wire."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from time import thread_time
from typing import Any

import pytest

from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.core import Datagram
from softswitch.sip.message import SipRequest
from softswitch.sip.overload import Overload
from softswitch.sip.server_session import ServerSession
from softswitch.sip.strangers import Strangers
from softswitch.sip.timing import Timing
from softswitch.sip.transport import Receive
from softswitch.sip.user_agent import UserAgent
from tests.support.peer import OFFER, Peer
from tests.support.recorder import PHONE, SWITCH, Recorder, Switch, play, switch_on
from tests.support.virtual_time import run
from tests.support.wire import Wire, WireTransport

URI = "sip:100@10.0.0.1"


async def nobody(session: ServerSession) -> None:
    raise AssertionError("no call was expected")


def on_wire(wire: Wire, **settings: Any) -> UserAgent:
    return UserAgent(transport_factory=wire.open, **settings)


def test_two_user_agents_call_talk_and_hang_up() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.close()

        async def answer(session: ServerSession) -> None:
            recorder = Recorder(session)
            session.trying()
            session.progress(180)
            session.accept(body=OFFER)
            await recorder.until("BYE")

        callee = on_wire(wire)
        await callee.start([PHONE], answer)
        session = switch.call()
        recorder = Recorder(session)
        await recorder.until("answered 200")
        session.acknowledge()
        info = await session.request("OPTIONS")
        assert info.status == 200
        assert callee.held == {"transactions": 2, "sessions": 1, "tasks": 1}
        session.hang_up()
        await asyncio.sleep(40)
        assert callee.held == {"transactions": 0, "sessions": 0, "tasks": 0}
        labels = ["INVITE", "100", "180", "200", "ACK", "OPTIONS", "200", "BYE", "200"]
        assert wire.labels() == labels
        assert callee.counts["in", "INVITE", 0] == 1
        assert not callee.retransmissions
        await callee.stop()

    play(story)


def test_a_listener_on_port_0_tells_its_real_port() -> None:
    async def story() -> None:
        agent = on_wire(Wire())
        addresses = await agent.start([("10.0.0.1", 0), ("10.0.0.2", 5060)], nobody)
        assert addresses[0][1] > 0
        assert addresses[1] == ("10.0.0.2", 5060)
        await agent.stop()

    run(story())


def test_the_second_listener_answers_with_its_own_address() -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire)
        await agent.start([SWITCH, ("10.0.0.2", 5070)], nobody)
        phone = Peer(wire, PHONE)
        phone.send(phone.invite(URI), to=("10.0.0.2", 5070))
        await asyncio.sleep(0)
        phone.pending()
        phone.send(phone.request("OPTIONS"))
        await phone.receive(200, ignoring=[500])
        assert wire.trace[-1].source == ("10.0.0.2", 5070)
        await agent.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("softswitch.sip.user_agent"), "disabled", True)
        run(story())


def test_the_advertised_host_stands_in_via_and_contact() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        agent = on_wire(wire, advertised_host="203.0.113.7", product="p/2", supported=["timer"])
        await agent.start([("10.0.0.5", 5060)], nobody)
        agent.invite(Hop("udp", *PHONE), request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>")
        invite = await phone.receive_request("INVITE")
        assert invite.via.host == "203.0.113.7"
        assert invite.headers.get("Contact") == "<sip:203.0.113.7:5060>"
        assert invite.headers.get("User-Agent") == "p/2"
        assert invite.headers.get("Supported") == "timer"
        phone.send(phone.response(invite, 486))
        await phone.receive("ACK")
        await agent.stop()

    play(story)


def test_options_is_answered_by_the_call_layers_word() -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire)

        def busy(request: SipRequest, source: Hop) -> int:
            return 503 if source.host == PHONE[0] else 200

        await agent.start([SWITCH], nobody, on_options=busy)
        phone = Peer(wire, PHONE)
        phone.invite(URI)
        for expected in (503,):
            phone.send(phone.request("OPTIONS"), to=SWITCH)
            await phone.receive(expected)
        await agent.stop()
        agent = on_wire(wire)
        await agent.start([SWITCH], nobody)
        phone.send(phone.request("OPTIONS"), to=SWITCH)
        await phone.receive(200)
        await agent.stop()

    run(story())


def test_a_tap_sees_what_is_let_in_and_what_is_sent_while_it_is_there() -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire)
        seen: list[tuple[bytes, Hop, int, bool]] = []

        def tap(data: bytes, peer: Hop, listener: int, *, received: bool) -> None:
            seen.append((data.partition(b" ")[0], peer, listener, received))

        await agent.start([SWITCH], nobody)
        phone = Peer(wire, PHONE)
        phone.invite(URI)
        for agent.tap in (None, tap, None):
            phone.send(phone.request("OPTIONS"), to=SWITCH)
            await phone.receive(200)
        assert seen == [(b"OPTIONS", Hop("udp", *PHONE), 0, True), (b"SIP/2.0", Hop("udp", *PHONE), 0, False)]
        await agent.stop()

    run(story())


def test_accept_source_may_change_at_any_time() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        invite = phone.invite(URI)
        switch.agent.accept_source = lambda source: None
        phone.send(invite, to=SWITCH)
        await phone.silence(1)
        switch.agent.accept_source = lambda source: False
        phone.send(invite)
        await phone.receive(403)

    play(story)


def test_strangers_are_turned_away_and_banned_before_the_core_sees_them() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        switch.agent.accept_source = lambda source: None
        phone.send(phone.request("OPTIONS", headers=[("User-Agent", "friendly-scanner")]), to=SWITCH)
        await phone.silence(1)
        ((source, why, seconds),) = switch.agent.bans()
        assert (source, why) == (PHONE[0], "scanner")
        assert 0 < seconds < 600
        assert not switch.agent.counts
        assert switch.agent.welcome(Hop("tcp", PHONE[0], 1)), "by UDP it may have been anybody"
        scan = phone.request("OPTIONS", headers=[("User-Agent", "friendly-scanner")]).encode()
        switch.agent._receive(scan, Hop("tcp", PHONE[0], 1), 0, 7)
        assert not switch.agent.welcome(Hop("tcp", PHONE[0], 1))
        assert switch.agent.welcome(Hop("tcp", "10.0.0.77", 1))
        assert switch.agent.room_for(Hop("tcp", "10.0.0.77", 1)) == 0.5
        switch.agent.accept_source = lambda source: True
        assert switch.agent.welcome(Hop("tcp", PHONE[0], 1)), "a trunk, whatever was sent in its name"
        switch.agent.shut_out(PHONE[0], "password")
        assert not switch.agent.welcome(Hop("tcp", PHONE[0], 1))
        assert switch.agent.lift_ban(PHONE[0])
        assert switch.agent.welcome(Hop("tcp", PHONE[0], 1))
        assert not switch.agent.lift_ban(PHONE[0])

    play(story, strangers=Strangers())
    UserAgent().shut_out(PHONE[0], "operator")  # nobody is kept out of what is not there
    assert UserAgent().bans() == []
    assert UserAgent().welcome(Hop("tcp", PHONE[0], 1))
    assert UserAgent().room_for(Hop("tcp", PHONE[0], 1)) == 1.0


def test_a_uri_with_the_host_and_port_that_we_tell_is_ours() -> None:
    """So a Contact of ours is known again in a registrar's list (RFC 3261 10.2.4)."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        assert switch.agent.is_at(*SWITCH)
        assert not switch.agent.is_at(*PHONE)

    play(story)


def test_a_late_loop_is_measured_and_refuses_new_calls() -> None:
    async def story() -> None:
        wire, overload = Wire(), Overload()
        agent = on_wire(wire, overload=overload)
        await agent.start([SWITCH], nobody)
        phone = Peer(wire, PHONE)
        await asyncio.sleep(1)
        assert overload.lag_s < 0.001
        loop = asyncio.get_running_loop()
        agent._measure_lag(overload, loop.time() - 1.0, -1.0, -1)
        assert not overload.reason(0, 0, loop.time()), "one of the few that come in all the same"
        phone.send(phone.invite(URI), to=SWITCH)
        response = await phone.receive_response(503)
        assert response.headers.get("Retry-After") == "5"
        assert not agent.core.transactions
        await agent.stop()

    run(story())


def test_a_loop_that_stood_still_without_work_refuses_nobody() -> None:
    async def story() -> None:
        overload = Overload()
        agent = on_wire(Wire(), overload=overload)
        await agent.start([SWITCH], nobody)
        loop = asyncio.get_running_loop()
        busy = sys.maxsize  # more often than it can have rested
        agent._measure_lag(overload, loop.time() - 1.0, thread_time(), busy)
        assert [overload.reason(0, 0, loop.time()) for _ in range(20)] == [""] * 20
        agent._measure_lag(overload, loop.time() - 1.0, thread_time(), -1)
        assert [overload.reason(0, 0, loop.time()) for _ in range(20)] == [""] * 20, "again, but it rested in between"
        agent._measure_lag(overload, loop.time() - 1.0, thread_time(), busy)
        agent._measure_lag(overload, loop.time() - 1.0, thread_time(), busy)
        assert [overload.reason(0, 0, loop.time()) for _ in range(20)] == ["", *["lag"] * 19], "others take its time"
        await agent.stop()

    run(story())


def test_a_loop_that_stands_still_for_its_calls_own_sake_is_late_as_by_work() -> None:
    """A store on a slow disk: it gives the processor away of itself each time, and yet it does not rest."""

    async def story() -> None:
        overload, loop = Overload(), asyncio.get_running_loop()
        agent = on_wire(Wire(), overload=overload)
        await agent.start([SWITCH], nobody)
        agent.waited = lambda: 0.9
        agent._measure_lag(overload, loop.time() - 1.0, thread_time(), -1)
        assert [overload.reason(0, 0, loop.time()) for _ in range(20)] == ["", *["lag"] * 19]
        await agent.stop()

    run(story())


def test_a_call_task_that_raises_is_logged_and_its_caller_gets_500(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire)

        async def broken(session: ServerSession) -> None:
            raise ZeroDivisionError

        await agent.start([SWITCH], broken)
        phone = Peer(wire, PHONE)
        for _ in range(2):
            phone.fresh()
            phone.send(phone.invite(URI), to=SWITCH)
            phone.send(phone.ack(await phone.receive_response(500)))
        await agent.stop()

    run(story())
    assert "ZeroDivisionError" in caplog.text


def test_a_listener_that_raises_is_logged_and_other_calls_go_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        def on_bye(self, request: SipRequest) -> None:
            raise ZeroDivisionError

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.send(phone.invite(URI), to=SWITCH)
        session, _ = await switch.arrived()
        session.listener = Broken()
        session.accept()
        phone.send(phone.ack(await phone.receive_response(200)))
        phone.send(phone.request("BYE"))
        await phone.receive(200)
        phone.fresh()
        phone.send(phone.invite(URI))
        session, _ = await switch.arrived()
        session.hang_up()
        phone.send(phone.ack(await phone.receive_response(480)))

    play(story)
    assert "ZeroDivisionError" in caplog.text


def test_what_follows_an_act_of_the_call_layer_is_told_later_not_from_within_it() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        wire.refused.add(PHONE)
        first, second = switch.call(), switch.call()
        recorders = Recorder(first), Recorder(second)
        assert [one.events for one in recorders] == [[], []]
        await recorders[1].until("refused 503")
        assert recorders[0].events == ["refused 503"]

    play(story)


def test_a_listener_may_act_on_its_session_while_it_is_told() -> None:
    class Eager(Recorder):
        def __init__(self, session: Any) -> None:
            super().__init__()
            self.session = session

        def on_answered(self, response: Any) -> None:
            self.session.acknowledge()
            self.session.hang_up()

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        session.listener = Eager(session)
        phone.send(phone.response(await phone.receive_request("INVITE"), 200))
        await phone.receive("ACK")
        phone.send(phone.response(await phone.receive_request("BYE"), 200))

    play(story)


# Stopping


def test_stop_ends_calls_in_every_state_and_waits_for_their_byes() -> None:
    async def story() -> None:
        wire = Wire()
        async with switch_on(wire) as switch:
            agent = switch.agent
            ringing, talking, calling = (
                Peer(wire, ("10.0.1.1", 5060)),
                Peer(wire, ("10.0.1.2", 5060)),
                Peer(wire, PHONE),
            )
            ringing.send(ringing.invite(URI), to=SWITCH)
            await switch.arrived()
            talking.send(talking.invite(URI), to=SWITCH)
            session, recorder = await switch.arrived()
            session.accept()
            talking.send(talking.ack(await talking.receive_response(200)))
            await recorder.until("ACK")
            out = Recorder(switch.call())
            invite = await calling.receive_request("INVITE")
            calling.send(calling.response(invite, 180))
            await out.until("180")
            stopping = asyncio.create_task(agent.stop())
            ringing.send(ringing.ack(await ringing.receive_response(503)))
            cancel = await calling.receive_request("CANCEL")
            bye = await talking.receive_request("BYE")
            calling.send(calling.response(cancel, 200))
            calling.send(calling.response(invite, 487))
            await calling.receive("ACK")
            refused = Peer(wire, ("10.0.1.3", 5060))
            refused.send(refused.invite(URI), to=SWITCH)
            await refused.receive(503)
            assert not stopping.done()
            talking.send(talking.response(bye, 200))
            await stopping
            assert asyncio.get_running_loop().time() < 1
            with pytest.raises(RuntimeError):
                _ = agent.core
            await agent.stop()
            await agent.start([SWITCH], nobody)

    run(story())


def test_stop_waits_only_so_long_for_a_peer_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire, drain_s=3.0)
        started = asyncio.Event()

        async def answer(session: ServerSession) -> None:
            session.accept()
            started.set()
            await asyncio.Event().wait()

        await agent.start([SWITCH], answer)
        phone = Peer(wire, PHONE)
        phone.send(phone.invite(URI), to=SWITCH)
        phone.send(phone.ack(await phone.receive_response(200)))
        await started.wait()
        await agent.stop()
        assert asyncio.get_running_loop().time() == pytest.approx(3)
        assert "BYE" in wire.labels()

    run(story())
    assert "1 sessions had not ended" in caplog.text


def test_stop_lets_a_call_end_by_itself_first() -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire)

        async def answer(session: ServerSession) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                session.reject(480, headers=[("X-Why", "drain")])

        await agent.start([SWITCH], answer)
        phone = Peer(wire, PHONE)
        phone.send(phone.invite(URI), to=SWITCH)
        await asyncio.sleep(0.1)
        await agent.stop()
        assert (await phone.receive_response(480)).headers.get("X-Why") == "drain"

    run(story())


def test_nothing_happens_after_stop() -> None:
    """Sockets and timers may have had something in hand."""

    class Stubborn:
        def __init__(self, transport: WireTransport, receive: Receive) -> None:
            self.addresses = transport.addresses
            self.on_lost = transport.on_lost
            self.send = transport.send
            self.receive = receive

        def close(self) -> None:
            """Stay open."""

    async def story() -> None:
        wire = Wire()
        made: list[Stubborn] = []

        async def open_stubborn(listeners: Sequence[Listener], receive: Receive) -> Stubborn:
            made.append(Stubborn(WireTransport(wire, listeners, receive), receive))
            return made[0]

        agent = UserAgent(transport_factory=open_stubborn)
        await agent.stop()
        await agent.start([SWITCH], nobody)
        session = agent.invite(Hop("udp", *PHONE), request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>")
        await agent.stop()
        made[0].receive(b"OPTIONS", Hop("udp", *PHONE), 0)
        made[0].on_lost(Datagram(b"BYE", Path(Hop("tcp", *PHONE)), None))
        agent._wake()
        agent._drain()
        session.hang_up()
        session.core.finish()
        await asyncio.sleep(40)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("softswitch.sip.user_agent"), "disabled", True)
        run(story())


def test_timers_can_be_shorter_for_tests() -> None:
    async def story() -> None:
        wire = Wire()
        agent = on_wire(wire, timing=Timing(0.01, 0.04, 0.05))
        await agent.start([SWITCH], nobody)
        recorder = Recorder(
            agent.invite(Hop("udp", *PHONE), request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>")
        )
        await recorder.until("refused 408", 0.65)
        await agent.stop()

    run(story())


def test_an_address_that_is_taken_is_an_oserror() -> None:
    async def story() -> None:
        wire = Wire()
        Peer(wire, SWITCH)
        with pytest.raises(OSError, match="taken"):
            await on_wire(wire).start([SWITCH], nobody)

    run(story())
