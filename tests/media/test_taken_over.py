"""Thousands of calls whose controller comes back at once: what each costs does not grow with their number."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter
from pathlib import Path

import pytest

from media import protocol
from media.ports import PortPool
from media.tables import Table
from tests.media.scripted_core import Listener, scripted_engine


def test_what_many_calls_cost_that_are_taken_over_grows_as_they_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody looks through all for each, and each playback and recording is told once a side to end."""
    engine, core = scripted_engine(monkeypatch)
    counts = itertools.count(1)
    monkeypatch.setattr(PortPool, "bind", lambda pool, wanted: (2 * next(counts), socket.socket(), socket.socket()))

    def open_native(call: str, rtp: socket.socket, rtcp: socket.socket) -> int:
        with rtp, rtcp:
            return core.open(call)

    monkeypatch.setattr(engine, "_open_native", open_native)
    first, second, calls = Listener(), Listener(), 20

    async def story() -> None:
        for name in range(1, 2 * calls, 2):
            for side in (name, name + 1):
                engine.open_endpoint(first, protocol.OpenEndpoint(side))
            engine.record(first, protocol.Record(name, str(tmp_path / f"{name}.wav"), name, name + 1))
            engine.play(first, protocol.Play(name, (name,), ("tone:cn/ringback",), loop=True))
        first.orphaned = True
        core.told.clear()
        with monkeypatch.context() as blind:
            blind.setattr(Table, "__iter__", pytest.fail)
            for side in range(1, 2 * calls + 1):
                engine.open_endpoint(second, protocol.OpenEndpoint(side, 2 * side))
            for name in range(1, 2 * calls, 2):
                engine.record(
                    second, protocol.Record(name, str(tmp_path / f"{name}.wav"), name, name + 1, elapsed_s=1.0)
                )

    asyncio.run(story())
    told = Counter(verb for verb, *_ in core.told)
    assert told == {"disconnect": 2 * calls, "close_recording": 3 * calls, "stop_play": calls}
    core.stop()
