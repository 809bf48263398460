"""TCP over real loopback sockets: accepted, opened, used again, bounded, closed (RFC 3261 18, RFC 5626)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from contextlib import suppress
from typing import Any

import pytest

from demo.switch_process import free_port
from softswitch.sip import stream_transport
from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.connection import Connection
from softswitch.sip.stream_transport import StreamLimits
from tests.support.streams import HOST, LOOPS, MESSAGE, Bench, Loop, gone, open_now, play, unanswered

BEGUN = b"OPTIONS sip:a@b SIP/2.0\r\n"

# Accepting


@LOOPS
def test_answers_go_back_by_the_connection_that_the_request_came_by(loop: Loop) -> None:
    """18.2.2."""

    async def story(bench: Bench) -> None:
        await bench.open()
        reader, writer = await bench.peer()
        writer.write(MESSAGE + b"\r\n\r\n" + MESSAGE)
        assert await reader.readexactly(2) == b"\r\n"
        await bench.until(lambda: len(bench.got) == 2)
        data, path = bench.got[0]
        assert data == MESSAGE
        assert path.hop == Hop("tcp", *writer.get_extra_info("sockname")[:2])
        bench.send(b"back", path._replace(hop=Hop("tcp", HOST, 9)))
        assert await reader.readexactly(4) == b"back"
        assert bench.counts == {"accepted": 1}
        writer.close()
        await bench.until(lambda: open_now(bench) == 0)

    play(story, loop)


@LOOPS
def test_when_that_connection_is_gone_a_new_one_is_opened(loop: Loop) -> None:
    """18.2.2: to the address of `received` and the port of the Via."""

    async def story(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tcp"), Listener(HOST, 0, "tcp"))
        _, writer = await bench.peer()
        writer.write(MESSAGE)
        await bench.until(lambda: bench.got)
        path = bench.got[0][1]
        writer.close()
        await bench.until(lambda: open_now(bench) == 0)
        bench.send(MESSAGE, path._replace(hop=Hop("tcp", *bench.addresses[1])))
        await bench.until(lambda: len(bench.got) == 2)
        assert bench.got[1][1].listener == 1

    play(story, loop)


@LOOPS
def test_an_open_connection_serves_requests_to_its_other_end(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        reader, writer = await bench.peer()
        await bench.until(lambda: open_now(bench))
        bench.send(MESSAGE, Path(Hop("tcp", *writer.get_extra_info("sockname")[:2])))
        assert await reader.readexactly(len(MESSAGE)) == MESSAGE
        assert not bench.counts["opened"]

    play(story, loop)


class Door(socket.socket):
    """A listening socket of a system that has no file descriptor left at first."""

    full = True

    def accept(self) -> tuple[socket.socket, Any]:
        if self.full:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@LOOPS
def test_when_the_system_has_no_room_accepting_waits_a_little(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_transport, "PAUSE_S", 0.02)
    doors: list[Door] = []

    def create(address: tuple[str, int], *, family: int, backlog: int) -> Door:
        doors.append(Door(family, socket.SOCK_STREAM))
        doors[-1].bind(address)
        doors[-1].listen(backlog)
        return doors[-1]

    monkeypatch.setattr(socket, "create_server", create)

    async def story(bench: Bench) -> None:
        transport = await bench.open()
        await bench.peer()
        await asyncio.sleep(0.05)
        assert transport.streams.open == 0
        doors[0].full = False
        await bench.until(lambda: transport.streams.open == 1)
        doors[0].full = True
        await bench.peer()
        await asyncio.sleep(0.01)
        transport.close()
        await asyncio.sleep(0.03)

    play(story, loop)


@LOOPS
def test_so_many_connections_at_once_are_accepted_in_several_wakes(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_transport, "ACCEPTS_PER_WAKE", 2)

    async def story(bench: Bench) -> None:
        await bench.open()
        await asyncio.gather(*[bench.peer() for _ in range(7)])
        await bench.until(lambda: open_now(bench) == 7)

    play(story, loop)


@LOOPS
def test_who_does_not_finish_a_message_is_cut_off_and_so_is_who_says_nothing(loop: Loop) -> None:
    """Slow loris."""

    async def story(bench: Bench) -> None:
        transport = await bench.open()
        slow, silent, idle = [await bench.peer() for _ in range(3)]
        slow[1].write(MESSAGE + BEGUN)
        idle[1].write(MESSAGE)
        await bench.until(lambda: len(bench.got) == 2)
        now = asyncio.get_running_loop().time()
        transport.streams.sweep(now + 9)
        assert not bench.counts["slow"]
        transport.streams.sweep(now + 11)
        assert await gone(slow[0])
        assert await gone(silent[0])
        assert dict(bench.counts) == {"accepted": 3, "slow": 2}
        transport.streams.sweep(now + 1000)
        assert await gone(idle[0])
        assert bench.counts["idle"] == 1

    play(story, loop)


@LOOPS
def test_limits_of_time_are_looked_at_by_themselves(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_transport, "SWEEP_S", 0.05)

    async def story(bench: Bench) -> None:
        await bench.open()
        talker, talking = await bench.peer()
        talking.write(MESSAGE)
        await bench.until(lambda: bench.got)
        bench.transport.streams._limits = StreamLimits(message_s=0.1)
        reader, _ = await bench.peer()
        assert await gone(reader)
        assert not talker.at_eof()
        talking.close()
        await bench.until(lambda: bench.transport.streams._sweeping is None)  # nobody is left to look at

    play(story, loop)


@LOOPS
def test_a_malformed_request_is_passed_on_to_be_refused_and_the_connection_closed(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        reader, writer = await bench.peer()
        writer.write(MESSAGE.replace(b"0\r", b"x\r"))
        assert await gone(reader)
        assert len(bench.got) == 1

    play(story, loop)


@LOOPS
def test_a_peer_that_never_reads_is_cut_off(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        reader, writer = await bench.peer(limit=1)
        writer.write(MESSAGE)
        await bench.until(lambda: bench.got)
        path = bench.got[0][1]._replace(hop=Hop("tcp", HOST, 1))
        for _ in range(400):
            bench.send(b"x" * 65536, path)
            if bench.counts["unread"]:
                break
        await bench.until(lambda: open_now(bench) == 0)
        assert bench.counts["unread"] == 1
        writer.close()
        assert not reader.at_eof()

    play(story, loop)


# Opening


@LOOPS
def test_requests_to_one_target_share_a_connection_from_the_listeners_address(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open(Listener("127.0.0.5", 0, "tcp"), Listener(HOST, 0, "tcp"))
        target = Path(Hop("tcp", "localhost", bench.addresses[1][1]))
        for _ in range(3):
            bench.send(MESSAGE, target)
        await bench.until(lambda: len(bench.got) == 3)
        bench.send(MESSAGE, target)
        bench.send(MESSAGE, Path(Hop("tcp", *bench.addresses[1])))  # the same, by its address
        await bench.until(lambda: len(bench.got) == 5)
        assert {path.hop.host for _, path in bench.got} == {"127.0.0.5"}
        assert bench.counts == {"opened": 1, "accepted": 1}

    play(story, loop)


@LOOPS
def test_connections_of_ours_are_kept_alive_and_given_up_when_dead(loop: Loop) -> None:
    """RFC 5626 3.5.1, 4.4.1."""

    async def story(bench: Bench) -> None:
        transport = await bench.open(Listener(HOST, 0, "tcp"))
        heard = bytearray()
        answering = True

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            bench.writers.append(writer)
            while data := await reader.read(1000):
                heard.extend(data)
                if answering and data == b"\r\n\r\n":
                    writer.write(b"\r\n")

        server = await asyncio.start_server(answer, HOST, 0)
        bench.send(MESSAGE, Path(Hop("tcp", *server.sockets[0].getsockname()[:2])))
        await bench.until(lambda: heard == MESSAGE)
        now = asyncio.get_running_loop().time()
        (connection,) = transport.streams._connections.values()
        transport.streams.sweep(now + 29)
        transport.streams.sweep(now + 31)
        transport.streams.sweep(now + 32)  # not again so soon
        await bench.until(lambda: heard == MESSAGE + b"\r\n\r\n" and not connection.unanswered)
        answering = False
        transport.streams.sweep(now + 62)
        await bench.until(lambda: heard == MESSAGE + b"\r\n\r\n" * 2)
        transport.streams.sweep(now + 71)
        assert transport.streams.open == 1
        transport.streams.sweep(now + 73)
        await bench.until(lambda: not transport.streams.open)
        assert bench.counts == {"opened": 1, "silent": 1}
        server.close()

    play(story, loop, keep_alive_s=30.0)


@LOOPS
def test_what_can_not_be_connected_to_is_told(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open(Listener("0.0.0.0", 0, "tcp"), Listener(HOST, 0))
        nobody = Path(Hop("tcp", HOST, 1))
        bench.send(b"1", nobody)
        bench.send(b"2", nobody)
        assert bench.lost == []
        await bench.until(lambda: len(bench.lost) == 2)
        assert [one.data for one in bench.lost] == [b"1", b"2"]
        bench.send(b"3", nobody)
        await bench.until(lambda: len(bench.lost) == 3)
        with pytest.raises(OSError, match="no listener for tls"):
            bench.send(b"x", Path(Hop("tls", HOST, 1)))
        with pytest.raises(OSError, match="no listener for tcp"):
            bench.send(b"x", Path(Hop("tcp", HOST, 1), 1))
        with pytest.raises(OSError, match="listener 0 is not UDP"):
            bench.send(b"x", Path(Hop("udp", HOST, 1), 0))

    play(story, loop)


@LOOPS
def test_a_target_that_does_not_answer_is_given_up_in_time(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        with socket.create_server(("127.0.0.6", 0), backlog=0) as full, contextlib.ExitStack() as fillers:
            for _ in range(4):  # nobody accepts: further SYNs are dropped
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            bench.send(b"1", Path(Hop("tcp", *full.getsockname())))
            await bench.until(lambda: bench.lost)

    play(story, loop, connect_s=0.05)


class Breaking:
    """A server that reads and breaks the connection so many times, then only reads."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.got: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Path:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return Path(Hop("tcp", *self._server.sockets[0].getsockname()))

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.got.append(await reader.readexactly(len(MESSAGE)))
        self.times -= 1
        if self.times >= 0:
            writer.transport.abort()


@LOOPS
def test_a_request_goes_out_again_where_the_connection_breaks_under_it(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        breaking = Breaking(1)
        async with breaking as path:
            bench.send(MESSAGE, path, unanswered(path))
            await bench.until(lambda: len(breaking.got) == 2)
            assert bench.lost == []
            assert bench.counts == {"opened": 2}

    play(story, loop)


@LOOPS
def test_but_only_once_and_not_if_it_was_answered(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        breaking = Breaking(4)
        async with breaking as path:
            bench.send(MESSAGE, path, unanswered(path))
            await bench.until(lambda: bench.lost)
            assert len(breaking.got) == 2
        steady = Breaking(0)
        async with steady as path:
            answered = unanswered(path)
            bench.send(MESSAGE, path, answered)
            await bench.until(lambda: steady.got)
            answered.terminate()
        await bench.until(lambda: not open_now(bench))
        assert len(bench.lost) == 1

    play(story, loop)


@LOOPS
def test_nothing_is_rescued_when_the_switch_stops(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        transport = await bench.open()
        breaking = Breaking(0)
        async with breaking as path:
            bench.send(MESSAGE, path, unanswered(path))
            bench.send(MESSAGE, Path(Hop("tcp", "127.0.0.6", 9)))
            await bench.until(lambda: breaking.got)
            transport.close()
            await bench.until(lambda: not transport.streams.open)
            assert bench.counts["opened"] == 1
            late = Connection(transport.streams, 99, path.hop, 0, accepted=False)
            assert not transport.streams.opened(late)

    play(story, loop)


# IPv6


@LOOPS
def test_ipv6_and_ipv4_side_by_side(loop: Loop) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no ::1")

    async def story(bench: Bench) -> None:
        port = free_port(socket.SOCK_STREAM)
        await bench.open(Listener("::", port, "tcp"), Listener("0.0.0.0", port, "tcp"), Listener("::1", 0, "tcp"))
        bench.send(MESSAGE, Path(Hop("tcp", "::1", port), 2))
        bench.send(MESSAGE, Path(Hop("tcp", HOST, port), 1))
        await bench.until(lambda: len(bench.got) == 2)
        assert sorted((path.hop.host, path.listener) for _, path in bench.got) == [(HOST, 1), ("::1", 0)]

    play(story, loop)


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False
