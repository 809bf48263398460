"""A peer that does not read what we wrote keeps no place for ever: over real loopback sockets (stream_transport.py)."""

from __future__ import annotations

import asyncio

from tests.support.streams import LOOPS, MESSAGE, Bench, Loop, open_now, play

PIECE = b"x" * 65536


@LOOPS
def test_who_does_not_read_to_the_end_is_cut_off_when_it_is_idle(loop: Loop) -> None:
    async def story(bench: Bench) -> None:
        transport = await bench.open()
        _, writer = await bench.peer()
        writer.write(MESSAGE)
        await bench.until(lambda: bench.got)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = transport.streams._connections.values()
        assert connection._transport is not None
        while connection._transport.get_write_buffer_size() < 8 * len(PIECE):  # more than the system may still take
            bench.send(PIECE, bench.got[0][1])
            await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        transport.streams.sweep(now + 901)
        await asyncio.sleep(0.1)
        assert open_now(bench) == 1, "what waits is written out first"
        transport.streams.sweep(now + 905)
        assert open_now(bench) == 1
        transport.streams.sweep(now + 1000)
        await bench.until(lambda: open_now(bench) == 0)
        assert bench.counts["idle"] == 1

    play(story, loop)
