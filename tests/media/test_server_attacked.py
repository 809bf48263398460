"""The control socket under attack: what a controller may say wrong harms neither its own calls nor anybody else's."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import msgspec
import pytest

from media import protocol, server
from tests.media.phone import wait_for_seconds
from tests.media.support import Room, room, run
from tests.media.test_server import read_event

pytestmark = pytest.mark.real_time


class Controller:
    """A raw connection to the media server of a room, greeted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connected(cls, place: Room) -> Controller:
        """Greeted and welcomed."""
        controller = cls(*await asyncio.open_unix_connection(str(Path(place.folder) / "media.sock")))
        assert isinstance(await controller.answer(protocol.encode(protocol.Hello())), protocol.Welcome)
        return controller

    async def answer(self, frame: bytes) -> protocol.Event:
        """To one frame."""
        self.writer.write(frame)
        return await read_event(self.reader)

    async def lives(self, name: int) -> None:
        """It can still open an endpoint and close it."""
        assert isinstance(await self.answer(protocol.encode(protocol.OpenEndpoint(name))), protocol.EndpointOpened)
        assert isinstance(await self.answer(protocol.encode(protocol.CloseEndpoint(name))), protocol.EndpointClosed)


def frame(body: bytes) -> bytes:
    """`body` with its length."""
    return len(body).to_bytes(4, "big") + body


WRONG = {
    "no map": b"\x91\x01",
    "no type": b"\x80",
    "unknown type": msgspec.msgpack.encode({"type": "Reboot"}),
    "endless depth": b"\x82\xa4type\xa5Hello\xa1x" + b"\x91" * 200_000 + b"\xc0",
    "no text": b"\x82\xa4type\xacOpenEndpoint\xa4call\xa1\xff",
    "no number": msgspec.msgpack.encode({"type": "Record", "recording": 1, "path": "x", "left": None, "right": 2}),
    "time that is no number": protocol.encode(protocol.Record(1, "x.wav", 1, 2, elapsed_s=float("nan")))[4:],
    "endless time": protocol.encode(protocol.Record(1, "x.wav", 1, 2, elapsed_s=float("inf")))[4:],
    "unknown endpoints": protocol.encode(protocol.Connect(-1, 2**63))[4:],
    "endpoint that is not there": protocol.encode(protocol.CloseEndpoint(2**64 - 1))[4:],
    "huge port": protocol.encode(protocol.OpenEndpoint(1, 2**63))[4:],
    "negative port": protocol.encode(protocol.OpenEndpoint(1, -2))[4:],
    "file of no possible name": protocol.encode(protocol.Play(1, (1,), ("\0",)))[4:],
    "nothing to play": protocol.encode(protocol.Play(1, (), ()))[4:],
    "too many to play to": protocol.encode(protocol.Play(1, (1,) * 100_000, ("x",)))[4:],
    "loop of too many": protocol.encode(protocol.Play(1, (1,), (), loop=True, once=2**40))[4:],
    "recording of no possible name": protocol.encode(protocol.Record(1, "\0", 1, 2))[4:],
    "recording to nowhere": protocol.encode(protocol.Record(1, "", 1, 2))[4:],
    "recording to a folder": protocol.encode(protocol.Record(1, "/", 1, 2))[4:],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_is_refused_and_costs_nobody_the_connection(wrong: bytes) -> None:
    async def story() -> None:
        async with room() as place:
            controller = await Controller.connected(place)
            event = await controller.answer(frame(wrong))
            assert isinstance(event, protocol.Refused | protocol.EndpointFailed | protocol.Played | protocol.Recorded)
            assert isinstance(event, protocol.Refused | protocol.EndpointFailed) or event.error
            await controller.lives(7)
            controller.writer.close()
            await place.leg()

    run(story)


def test_no_bytes_in_frames_break_the_connection() -> None:
    chance = random.Random(4)
    seeds = [
        protocol.encode(command)[4:]
        for command in (
            protocol.OpenEndpoint(1, 31000, "call", True),
            protocol.ConfigureEndpoint(1, "127.0.0.1", 4000, 8, 101, coding=protocol.Coding("opus", 96)),
            protocol.Connect(1, 2),
            protocol.Play(1, (1, 2), ("tone:ringback/cn",), True, True, 1),
            protocol.StopPlay(1),
            protocol.Voices(1),
            protocol.CloseRecording(1),
            protocol.CloseEndpoint(1),
        )
    ]

    def mutated() -> bytes:
        body = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        return bytes(body[: chance.randrange(1, len(body) + 1)] if chance.random() < 0.2 else body)

    async def story() -> None:
        async with room() as place:
            controller = await Controller.connected(place)
            for _ in range(2000):
                controller.writer.write(frame(mutated()))
            controller.writer.write(protocol.encode(protocol.Play(9999, (), ())))
            while await read_event(controller.reader) != protocol.Played(9999, error="0 listeners, expected 1 to 4"):
                pass
            controller.writer.close()
            await place.leg()

    run(story)


async def flood(writer: asyncio.StreamWriter) -> None:
    """Ask and ask, and read no answer, until the other side parts."""
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(frame(b"x") * 1000)
            await writer.drain()


def test_who_does_not_read_is_parted_with_and_only_he(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_UNREAD", 100_000)

    async def story() -> None:
        async with room() as place:
            _, mine = await place.leg()
            controller = await Controller.connected(place)
            assert isinstance(
                await controller.answer(protocol.encode(protocol.OpenEndpoint(1))), protocol.EndpointOpened
            )
            await flood(controller.writer)
            async with asyncio.timeout(25):
                while place.driver.totals.endpoints != 1:  # his are closed after the grace time
                    await wait_for_seconds(0.01)
            assert place.driver.up
            mine.close()
            await mine.statistics

    run(story)


def test_what_fails_unforeseen_is_told_and_the_connection_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    async def story() -> None:
        async with room() as place:
            controller = await Controller.connected(place)
            with monkeypatch.context() as context:
                context.setattr("media.engine.Engine.connect", fails)
                refused = await controller.answer(protocol.encode(protocol.Connect(1, 2)))
            assert refused == protocol.Refused("Connect", "ZeroDivisionError('by nothing')")
            await controller.lives(1)
            controller.writer.close()

    run(story)


def test_a_controller_that_dies_in_the_middle_of_a_frame_leaves_nothing() -> None:
    async def story() -> None:
        async with room() as place:
            controller = await Controller.connected(place)
            assert isinstance(
                await controller.answer(protocol.encode(protocol.OpenEndpoint(1))), protocol.EndpointOpened
            )
            controller.writer.write(protocol.encode(protocol.OpenEndpoint(2))[:-1])
            controller.writer.close()
            async with asyncio.timeout(25):
                while place.driver.totals.endpoints or place.driver.totals.ports_free != 40:
                    await wait_for_seconds(0.01)

    run(story)


def test_a_thousand_openings_of_too_few_ports_are_each_answered_and_the_ports_come_back() -> None:
    async def story() -> None:
        async with room(pairs=8) as place:
            first, second = await Controller.connected(place), await Controller.connected(place)
            for name in range(1000):
                for controller in (first, second):  # the same names: each has its own
                    controller.writer.write(protocol.encode(protocol.OpenEndpoint(name)))
            for controller in (first, second):
                events = [await read_event(controller.reader) for _ in range(1000)]
                opened = [event.endpoint for event in events if isinstance(event, protocol.EndpointOpened)]
                refused = [event.reason for event in events if isinstance(event, protocol.EndpointFailed)]
                assert len(opened) + len(refused) == 1000
                assert all(reason.startswith("no free RTP port pair in 31000-31015 on ") for reason in refused)
                for name in opened:
                    controller.writer.write(protocol.encode(protocol.CloseEndpoint(name)))
                closed = [await read_event(controller.reader) for _ in opened]
                assert all(isinstance(event, protocol.EndpointClosed) for event in closed)
            for _ in range(3):
                await first.lives(5000)
            for controller in (first, second):
                controller.writer.close()

    run(story)
