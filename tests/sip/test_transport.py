"""UDP over real loopback sockets, and the one timer."""

from __future__ import annotations

import asyncio
import socket

import pytest

from softswitch.sip import transport as sip_transport
from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.core import Datagram
from softswitch.sip.transport import Alarm, SocketTransport, Transport, open_transport
from softswitch.sip.user_agent import ServerSession, UserAgent
from tests.support.recorder import Recorder
from tests.support.virtual_time import run

LOOPBACK = [Listener("127.0.0.1", 0)]


def send(transport: Transport, data: bytes, hop: Hop, listener: int = 0) -> None:
    transport.send(Datagram(data, Path(hop, listener), None))


class Inbox:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, Hop, int]] = []
        self.news = asyncio.Event()

    def receive(self, data: bytes, source: Hop, listener: int, connection: int = 0) -> None:
        self.got.append((data, source, listener))
        self.news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()


def test_datagrams_travel_between_listeners_and_tell_source_and_listener() -> None:
    async def story() -> None:
        inbox = Inbox()
        transport = await open_transport([*LOOPBACK, *LOOPBACK], inbox.receive)
        (_, first), (_, second) = transport.addresses
        send(transport, b"hello", Hop("udp", "127.0.0.1", second), 0)
        send(transport, b"", Hop("udp", "127.0.0.1", first), 1)
        await inbox.until(2)
        assert sorted(inbox.got) == [
            (b"", Hop("udp", "127.0.0.1", second), 0),
            (b"hello", Hop("udp", "127.0.0.1", first), 1),
        ]
        transport.close()

    asyncio.run(story())


def test_a_burst_is_read_in_several_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_transport, "DATAGRAMS_PER_WAKE", 8)

    async def story() -> None:
        inbox = Inbox()
        transport = await open_transport(LOOPBACK, inbox.receive)
        burst = 2 * 8 + 1
        for number in range(burst):
            send(transport, str(number).encode(), Hop("udp", *transport.addresses[0]))
        await inbox.until(burst)
        assert [int(data) for data, _, _ in inbox.got] == list(range(burst))
        transport.close()

    asyncio.run(story())


def test_what_belongs_to_calls_is_passed_on_before_what_begins_new_ones() -> None:
    async def story() -> None:
        inbox = Inbox()
        transport = await open_transport(LOOPBACK, inbox.receive)
        begins, inside = b"INVITE x SIP/2.0\r\nTo: <x:y>\r\n\r\n", b"BYE x SIP/2.0\r\nTo: <x:y>;tag=1\r\n\r\n"
        for data in (begins, inside, begins, inside):
            send(transport, data, Hop("udp", *transport.addresses[0]))
        await inbox.until(4)
        assert [data for data, _, _ in inbox.got] == [inside, inside, begins, begins]
        transport.close()

    asyncio.run(story())


def test_a_new_call_that_waits_its_turn_is_dropped_when_the_transport_closes() -> None:
    async def story() -> None:
        got: list[bytes] = []

        def receive(data: bytes, source: Hop, listener: int, connection: int = 0) -> None:
            got.append(data)
            transport.close()

        transport = await open_transport(LOOPBACK, receive)
        for data in (b"INVITE x SIP/2.0\r\n\r\n", b"x"):
            send(transport, data, Hop("udp", *transport.addresses[0]))
        await asyncio.sleep(0.05)
        assert got == [b"x"]

    asyncio.run(story())


def test_closing_from_within_a_datagram_stops_reading() -> None:
    async def story() -> None:
        got: list[bytes] = []

        def receive(data: bytes, source: Hop, listener: int, connection: int = 0) -> None:
            got.append(data)
            transport.close()

        transport = await open_transport(LOOPBACK, receive)
        for _ in range(3):
            send(transport, b"x", Hop("udp", *transport.addresses[0]))
        await asyncio.sleep(0.05)
        assert got == [b"x"]

    asyncio.run(story())


def test_an_address_in_use_is_an_oserror_and_frees_what_was_bound() -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(OSError, match="in use"):
                await open_transport([*LOOPBACK, Listener(*taken.getsockname())], Inbox().receive)

    asyncio.run(story())


class Wire:
    """In the place of a socket: keeps what is sent, and refuses what is too long or all that comes."""

    def __init__(self, *, full: bool = False) -> None:
        self.sent: list[bytes] = []
        self.full = full

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self.full:
            raise BlockingIOError
        if len(data) > 1000:
            raise OSError("too long")
        self.sent.append(data)
        return len(data)

    def fileno(self) -> int:
        return 1 << 20  # of no file

    def close(self) -> None:
        """No socket."""


def over(wire: Wire) -> SocketTransport:
    transport = SocketTransport(Inbox().receive)
    transport._sockets[0] = wire  # type: ignore[assignment]
    return transport


NOWHERE = Hop("udp", "127.0.0.1", 9)


def test_what_a_turn_of_the_loop_sends_goes_out_together_and_in_order() -> None:
    async def story() -> None:
        wire = Wire()
        transport = over(wire)
        for data in (b"1", b"2", b"3"):
            send(transport, data, NOWHERE)
        assert wire.sent == []
        await asyncio.sleep(0)
        assert wire.sent == [b"1", b"2", b"3"]

    asyncio.run(story())


def test_a_turn_that_sends_much_sends_some_before_it_ends() -> None:
    async def story() -> None:
        wire = Wire()
        transport = over(wire)
        messages = [str(number).encode() for number in range(2 * sip_transport.SENT_AT_ONCE + 1)]
        for data in messages:
            send(transport, data, NOWHERE)
        assert wire.sent == messages[:-1]
        await asyncio.sleep(0)
        assert wire.sent == messages

    asyncio.run(story())


def test_what_still_is_to_go_when_the_transport_closes_goes() -> None:
    async def story() -> None:
        wire = Wire()
        transport = over(wire)
        send(transport, b"200 to the last BYE", NOWHERE)
        transport.close()
        assert wire.sent == [b"200 to the last BYE"]

    asyncio.run(story())


def test_what_the_system_refuses_to_send_is_told_as_lost_and_loses_nothing_else() -> None:
    async def story() -> None:
        wire = Wire()
        transport, lost = over(wire), list[bytes]()
        transport.on_lost = lambda datagram: lost.append(datagram.data)
        for data in (b"1", b"x" * 1001, b"2"):
            send(transport, data, NOWHERE)
        transport._send_all()
        assert (wire.sent, lost) == ([b"1", b"2"], [])  # never told from within what sends
        await asyncio.sleep(0)
        assert lost == [b"x" * 1001]

    asyncio.run(story())


def test_a_call_to_where_the_system_does_not_send_ends_with_503() -> None:
    async def story() -> None:
        async def nobody(session: ServerSession) -> None:
            raise AssertionError

        caller = UserAgent()
        await caller.start(LOOPBACK, nobody)
        session = caller.invite(
            Hop("udp", "127.0.0.1", 9),
            request_uri="sip:1@x",
            from_="<sip:a@x>",
            to="<sip:1@x>",
            body=b"x" * 70000,  # no datagram is that long
        )
        await Recorder(session).until("refused 503", 60)
        await caller.stop()

    asyncio.run(story())


def test_a_listener_of_another_transport_sends_no_datagram() -> None:
    async def story() -> None:
        with pytest.raises(OSError, match="listener 1 is not UDP"):
            send(over(Wire()), b"x", NOWHERE, listener=1)

    asyncio.run(story())


def test_a_full_send_buffer_loses_the_datagram_like_any_queue(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        send(over(Wire(full=True)), b"x", NOWHERE)
        await asyncio.sleep(0)

    asyncio.run(story())
    assert "datagram lost" in caplog.text


def test_ipv6_loopback_works_where_there_is_one() -> None:
    async def story() -> None:
        inbox = Inbox()
        try:
            transport = await open_transport([Listener("::1", 0)], inbox.receive)
        except OSError:
            pytest.skip("no IPv6 here")
        send(transport, b"six", Hop("udp", *transport.addresses[0]))
        await inbox.until(1)
        transport.close()

    asyncio.run(story())


def test_two_user_agents_call_over_real_sockets() -> None:
    async def story() -> None:
        async def answer(session: ServerSession) -> None:
            recorder = Recorder(session)
            session.accept()
            await recorder.until("BYE", 60)

        caller, callee = UserAgent(), UserAgent()
        await caller.start(LOOPBACK, answer)
        ((host, port),) = await callee.start(LOOPBACK, answer)
        session = caller.invite(
            Hop("udp", host, port), request_uri=f"sip:1@{host}:{port}", from_="<sip:a@x>", to="<sip:1@x>"
        )
        await Recorder(session).until("answered 200", 60)
        session.acknowledge()
        session.hang_up()
        await caller.stop()
        await callee.stop()

    asyncio.run(story())


def test_what_the_stream_transport_loses_ends_the_call_with_503() -> None:
    async def story() -> None:
        async def nobody(session: ServerSession) -> None:
            raise AssertionError

        caller = UserAgent()
        await caller.start([Listener("127.0.0.1", 0, "tcp")], nobody)
        session = caller.invite(Hop("tcp", "127.0.0.1", 1), request_uri="sip:1@x", from_="<sip:a@x>", to="<sip:1@x>")
        await Recorder(session).until("refused 503", 60)
        await caller.stop()

    asyncio.run(story())


def test_the_alarm_rings_at_the_earliest_time_set() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        rung: list[float] = []
        alarm = Alarm(lambda: rung.append(loop.time()))
        alarm.set(5.0)
        alarm.set(3.0)
        alarm.set(4.0)
        await asyncio.sleep(10)
        assert rung == [pytest.approx(3)]
        alarm.set(12.0)
        alarm.cancel()
        alarm.cancel()
        await asyncio.sleep(10)
        assert len(rung) == 1

    run(story())
