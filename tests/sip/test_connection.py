"""One connection, driven by hand: the queue before it opens, bytes that come too early, peers that do not read."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from softswitch.sip.addresses import Hop, Path
from softswitch.sip.connection import PINGS_A_SECOND, QUEUE_LIMIT, Connection
from softswitch.sip.core import Datagram
from softswitch.sip.framing import PING, PONG
from tests.support.virtual_time import run

MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"
PEER = Hop("tcp", "10.0.0.9", 5060)


class Pipe(asyncio.Transport):
    """The asyncio side."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.9", 40000)})
        self.written: list[bytes] = []
        self.state = "open"

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As told."""

    def is_closing(self) -> bool:
        return self.state != "open"

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"


class Notes:
    """The owner."""

    def __init__(self, *, welcome: bool = True, close_after: int = 99) -> None:
        self.got: list[bytes] = []
        self.ends: list[str] = []
        self.counts: list[str] = []
        self.welcome, self.close_after = welcome, close_after

    def received(self, connection: Connection, message: bytes) -> None:
        self.got.append(message)
        if len(self.got) == self.close_after:
            connection.close("enough")

    def opened(self, connection: Connection) -> bool:
        return self.welcome

    def ended(self, connection: Connection, why: str) -> None:
        self.ends.append(why)

    def count(self, what: str, told: str = "") -> None:
        self.counts.append(what)


def play(story: Any, **settings: Any) -> None:
    async def whole() -> None:
        notes = Notes(**settings)
        story(Connection(notes, 1, PEER, 0, accepted=False), Pipe(), notes)

    run(whole())


def datagram(data: bytes = MESSAGE) -> Datagram:
    return Datagram(data, Path(PEER), None)


def test_what_waits_goes_out_in_its_order_when_it_opens() -> None:
    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.send(datagram(b"1"))
        connection.send(datagram(b"2"))
        connection.connection_made(pipe)
        connection.send(datagram(b"3"))
        assert pipe.written == [b"1", b"2", b"3"]
        assert connection.source == Hop("tcp", "10.0.0.9", 40000)
        assert connection.hop == PEER
        assert not connection.queue

    play(story)


def test_the_queue_before_it_opens_is_bounded() -> None:
    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        for _ in range(QUEUE_LIMIT):
            connection.send(datagram())
        with pytest.raises(OSError, match="256 messages wait"):
            connection.send(datagram())

    play(story)


def test_one_that_is_not_wanted_or_was_closed_meanwhile_is_aborted() -> None:
    def unwanted(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        assert pipe.state == "aborted"
        assert not connection.usable

    def closed(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.close("the switch stops")
        connection.connection_made(pipe)
        assert pipe.state == "aborted"

    play(unwanted, welcome=False)
    play(closed)


def test_pings_are_answered_and_messages_passed_on() -> None:
    """RFC 5626 4.4.1."""

    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        connection.data_received(b"\r\n\r\n" + MESSAGE)
        assert (pipe.written, notes.got) == ([PONG], [MESSAGE])

    play(story)


def test_a_flood_of_keep_alives_ends_the_connection_and_is_not_even_read_to_its_end() -> None:
    """Two million of them in a second, a few bytes each, kept the switch from everything else."""

    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        connection.data_received(PING * 50_000)
        assert pipe.written == [PONG] * PINGS_A_SECOND
        assert (pipe.state, notes.counts) == ("aborted", ["flood"])

    play(story)


def test_as_many_keep_alives_as_anybody_means_are_answered_for_ever() -> None:
    async def whole() -> None:
        pipe, notes = Pipe(), Notes()
        connection = Connection(notes, 1, PEER, 0, accepted=True)
        connection.connection_made(pipe)
        for _ in range(3):
            connection.data_received(PING * PINGS_A_SECOND)
            await asyncio.sleep(1.5)
        assert (pipe.state, len(pipe.written)) == ("open", 3 * PINGS_A_SECOND)
        connection.data_received(PING * PINGS_A_SECOND)
        await asyncio.sleep(0.9)
        connection.data_received(PING)
        assert (pipe.state, notes.counts) == ("aborted", ["flood"])

    run(whole())


def test_blank_lines_before_messages_are_no_flood_however_busy_a_peer_is() -> None:
    """RFC 3261 7.5: they MUST be ignored, and there are stacks that send some with every message."""

    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        connection.data_received((PING + MESSAGE) * 90)
        assert (pipe.state, len(notes.got), notes.counts) == ("open", 90, [])
        connection.data_received(PING * (PINGS_A_SECOND + 1))
        assert (pipe.state, notes.counts) == ("aborted", ["flood"])

    play(story)


def test_a_peer_that_answers_keep_alives_is_dead_when_it_stops() -> None:
    """RFC 5626 4.4.1; who never answers one is only old-fashioned."""

    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.ping(1.0)  # not open yet
        connection.connection_made(pipe)
        connection.ping(2.0)
        assert pipe.written == [PING]
        assert not connection.is_dead(100.0, 10.0)
        connection.data_received(MESSAGE)
        connection.ping(3.0)
        connection.data_received(PONG)
        assert not connection.is_dead(100.0, 10.0)
        connection.ping(4.0)
        assert connection.is_dead(14.1, 10.0) and not connection.is_dead(14.0, 10.0)
        connection.data_received(MESSAGE)  # alive, whatever it says
        assert not connection.is_dead(100.0, 10.0)
        for _ in range(3):
            connection.ping(5.0)
            connection.data_received(PONG + MESSAGE)
        assert pipe.written == [PING] * 6  # two answers are not a keep-alive
        connection.ping(6.0)
        connection.data_received(PING)
        assert pipe.written[-1] == PONG

    play(story)


def test_nothing_more_is_read_from_one_that_was_closed_meanwhile() -> None:
    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        connection.data_received(MESSAGE * 3)
        assert notes.got == [MESSAGE]
        assert pipe.state == "closed"

    play(story, close_after=1)


def test_the_clock_of_a_message_starts_with_its_first_byte_and_is_not_moved_by_more() -> None:
    async def story() -> None:
        connection = Connection(Notes(), 1, PEER, 0, accepted=False)
        connection.connection_made(Pipe())
        assert connection.begun == float("inf")
        await asyncio.sleep(5)
        connection.data_received(MESSAGE[:5])
        await asyncio.sleep(5)
        connection.data_received(MESSAGE[5:9])
        assert connection.begun == pytest.approx(5)
        connection.data_received(MESSAGE[9:] + MESSAGE[:1])
        assert connection.begun == pytest.approx(10)
        connection.data_received(MESSAGE[1:])
        assert connection.begun == float("inf")

    run(story())


@pytest.mark.parametrize(("data", "got"), [(b"GET / HTTP/1.1\r\n", 0), (MESSAGE.replace(b"0", b"x"), 1)])
def test_a_stream_that_makes_no_sense_is_closed_after_what_can_be_refused(data: bytes, got: int) -> None:
    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        connection.data_received(data)
        assert len(notes.got) == got
        assert pipe.state == "closed"
        assert notes.counts == ["malformed"]

    play(story)


def test_a_peer_that_does_not_read_is_cut_off() -> None:
    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(pipe)
        connection.pause_writing()
        connection.connection_lost(None)
        assert pipe.state == "aborted"
        assert notes.counts == ["unread"]
        assert notes.ends == ["1048576 bytes were not read"]

    play(story)


def test_the_reason_of_an_end_is_told() -> None:
    def story(connection: Connection, pipe: Pipe, notes: Notes) -> None:
        connection.connection_made(cast(asyncio.BaseTransport, pipe))
        connection.connection_lost(ConnectionResetError("reset"))
        connection.connection_lost(None)
        assert notes.ends == ["reset", "closed by the peer"]
        assert not connection.secure

    play(story)
