"""Memory of an established call: the switch before, and with thousands of calls that are up and idle.

`python -m tests.bench.bench_memory [--calls 5000]`. The phones are our own user agent, in another process than the
switch. Private memory is read after warm-up calls have come and gone, and again when every transaction of the idle
calls is over (64*T1 after the last). Without media the figure is signalling, routing and CDR; with the media server its
process is told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import LOOPBACK
from softswitch.sip.user_agent import Hop
from tests.bench.memory import memory_of
from tests.bench.phones import Exchange
from tests.bench.report import Figure, show
from tests.bench.switches import CALLER, DIALLED, Subject, our_switch

BENCH = "memory"
EXPECTED_KB = 40.0
WARM_UP_CALLS = 200
CALLS_A_SECOND = 100
PHONES_FROM = 30000  # numbers only: nobody sends RTP
PLANS = (5000, False), (2000, True)  # calls, with the media server or without
LINGER_S = 34.0  # 64*T1 and a little: then no transaction is left


@dataclass(frozen=True, slots=True)
class Idle:
    """KB that `calls` idle calls took of the signalling process and of the media server."""

    name: str
    calls: int
    signalling: int
    media: int
    kept: float  # memory blocks of Python objects: more after the calls than before


def measure(plans: Sequence[tuple[int, bool]] = PLANS) -> list[Figure]:
    """For each plan: so many calls, with the media server or without."""
    return [figure for calls, media in plans for figure in _figures(_run(calls, media=media))]


def _run(calls: int, *, media: bool) -> Idle:
    with (
        tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder,
        our_switch(Path(folder), media=media, max_lag_s=0) as subject,
    ):
        print(f"memory: {subject.name}, {calls} calls …", file=sys.stderr)
        return asyncio.run(_idle(subject, calls))


async def _idle(subject: Subject, calls: int) -> Idle:
    await _come_and_go(subject, WARM_UP_CALLS)
    await asyncio.sleep(LINGER_S)
    before, blocks = _taken(subject), await _blocks(subject)
    exchange = await _up(subject, calls)
    await asyncio.sleep(LINGER_S)
    up = await asyncio.to_thread(subject.metric, "softswitch_active_calls")
    assert up == calls, f"{up:g} of {calls} calls are up"
    during = _taken(subject)
    await _down(exchange)
    await asyncio.sleep(LINGER_S)
    kept = await _blocks(subject) - blocks
    return Idle(subject.name, calls, during[0] - before[0], during[1] - before[1], kept)


async def _blocks(subject: Subject) -> float:
    return await asyncio.to_thread(subject.metric, "softswitch_memory_blocks")


def _taken(subject: Subject) -> tuple[int, int]:
    """KB of the signalling process and of its media server."""
    return memory_of(subject.pid).own, sum(memory_of(pid).own for pid in subject.media_pids())


async def _up(subject: Subject, calls: int) -> Exchange:
    exchange = Exchange(subject.callee_port, PHONES_FROM)
    await exchange.start()
    hop = Hop("udp", LOOPBACK, subject.port)
    for _ in range(calls):
        await exchange.call(hop, CALLER, DIALLED)
        await asyncio.sleep(1 / CALLS_A_SECOND)
    return exchange


async def _down(exchange: Exchange) -> None:
    await exchange.hang_up(1 / CALLS_A_SECOND)
    await exchange.stop()


async def _come_and_go(subject: Subject, calls: int) -> None:
    await _down(await _up(subject, calls))


def _figures(idle: Idle) -> Iterator[Figure]:
    calls, each = idle.calls, idle.signalling / idle.calls
    note = f"{calls} idle calls; at most {EXPECTED_KB:g} expected"
    yield Figure(BENCH, idle.name, "memory a call, signalling", each, "KB", each <= EXPECTED_KB, note)
    if idle.media:
        yield Figure(BENCH, idle.name, "memory a call, media server", idle.media / calls, "KB")
    words = "when all was over; Python keeps some for use again, see soak for what is lost"
    yield Figure(BENCH, idle.name, "objects kept a call", idle.kept / calls, "blocks", None, words)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--media", action="store_true", help="with the media server")
    values = parser.parse_args()
    show(measure([(values.calls, values.media)]))


if __name__ == "__main__":
    main()
