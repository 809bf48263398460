"""HEP3 packets hold the chunks of the specification; the export sends them and never waits."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
from typing import Any

import pytest

from softswitch.tracing import hep
from softswitch.tracing.hep import HepExport, encode
from tests.tracing.messages import call, invite, traced


def chunks(packet: bytes) -> dict[int, bytes]:
    """Payloads by chunk type; all of vendor 0, lengths with their own six bytes."""
    assert packet[:4] == b"HEP3"
    assert struct.unpack_from(">H", packet, 4)[0] == len(packet)
    found, packet = {}, packet[6:]
    while packet:
        vendor, kind, length = struct.unpack_from(">HHH", packet)
        assert vendor == 0
        found[kind] = packet[6:length]
        packet = packet[length:]
    return found


def test_a_packet_tells_who_when_and_what() -> None:
    message = traced(1000.25, "0", invite("a"))
    assert chunks(encode(message, 2001, "secret", "a")) == {
        1: b"\x02",
        2: b"\x11",
        3: bytes([192, 0, 2, 1]),
        4: bytes([192, 0, 2, 10]),
        7: struct.pack(">H", 5060),
        8: struct.pack(">H", 5060),
        9: struct.pack(">I", 1000),
        10: struct.pack(">I", 250_000),
        11: b"\x01",
        12: struct.pack(">I", 2001),
        14: b"secret",
        17: b"a",
        15: message.data,
    }


def test_ipv6_has_chunks_of_its_own_and_key_and_correlation_may_be_absent() -> None:
    message = traced(1.0, "0", b"x", transport="tls")
    ends = ("2001:db8::1", 5060), ("2001:db8::2", 5061)
    found = chunks(encode(dataclasses.replace(message, source=ends[0], destination=ends[1]), 7))
    assert (found[1], found[2]) == (b"\x0a", b"\x06")
    assert (found[5][-1], found[6][-1]) == (1, 2)
    assert not {3, 4, 14, 17} & set(found)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (counters have no event)
            await asyncio.sleep(0.001)


def test_what_is_offered_arrives_at_the_collector() -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
            collector.bind(("127.0.0.1", 0))
            collector.settimeout(60)
            export = HepExport(collector.getsockname(), 2001)
            running = asyncio.create_task(export.run())
            for message in call():
                export.offer(message, "a")
            export.offer(traced(1.0, "0", bytes(65_500)))
            await until(lambda: export.counts["dropped"])
            for _ in range(60):  # more than a turn's
                export.offer(call()[0], "a")
            await until(lambda: export.counts["sent"] == len(call()) + 60)
            got = [chunks(collector.recv(65535)) for _ in call()]
            assert [one[15] for one in got] == [one.data for one in call()]
            assert {one[17] for one in got} == {b"a"}
            assert dict(export.counts) == {"sent": len(call()) + 60, "dropped": 1}
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


def test_a_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hep, "AT_MOST_WAITING", 2)
    export = HepExport(("127.0.0.1", 9), 1)
    for message in call()[:5]:
        export.offer(message)
    assert export.counts == {"dropped": 3}


def test_a_collector_that_is_gone_is_counted() -> None:
    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = nobody.getsockname()
        export = HepExport(address, 1)
        running = asyncio.create_task(export.run())
        export.offer(call()[0])
        await until(lambda: export.counts["sent"])
        export.offer(call()[0])
        await until(lambda: export.counts["failed"])
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label empty or too long")])
def test_a_collector_without_an_address_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Nor does a name that can't be one (`homer..example`) end the task, and with it the switch's health."""
    monkeypatch.setattr(hep, "OPEN_AGAIN_S", 0.001)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        opened, tries = loop.create_datagram_endpoint, iter([error])

        async def open_one(*arguments: Any, **more: Any) -> Any:
            for failure in tries:
                raise failure
            return await opened(*arguments, **more)

        monkeypatch.setattr(loop, "create_datagram_endpoint", open_one)
        export = HepExport(("127.0.0.1", 9), 1)
        running = asyncio.create_task(export.run())
        export.offer(call()[0])
        await until(lambda: export.counts["sent"])
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    assert f"no way to the HEP collector 127.0.0.1:9: {error}" in caplog.text
