"""Long lists of jobs leave the event loop its turns, keep their order and survive a job that fails."""

from __future__ import annotations

import asyncio
import functools

from structlog.testing import capture_logs

from softswitch.media_drivers.slices import AT_ONCE, Slices
from tests.support.virtual_time import run


def test_the_loop_has_its_turn_between_slices_and_order_is_kept() -> None:
    async def story() -> None:
        slices, done = Slices(), list[int]()
        slices.put(functools.partial(done.append, number) for number in range(2 * AT_ONCE))
        assert done == list(range(AT_ONCE))
        assert slices.waiting
        slices.put([functools.partial(done.append, -1)])
        assert len(done) == AT_ONCE
        await asyncio.sleep(0)
        assert len(done) == 2 * AT_ONCE
        await asyncio.sleep(0)
        assert done == [*range(2 * AT_ONCE), -1]
        assert not slices.waiting

    run(story())


def test_what_a_job_puts_comes_behind_the_others() -> None:
    async def story() -> None:
        slices, done = Slices(), list[str]()
        slices.put([lambda: slices.put([lambda: done.append("later")]), lambda: done.append("before")])
        assert done == ["before", "later"]

    run(story())


def test_a_job_that_fails_is_told_and_costs_the_others_nothing() -> None:
    async def story() -> None:
        slices, done = Slices(), list[int]()
        with capture_logs() as logs:
            slices.put([lambda: 1 // 0, lambda: done.append(1)])  # type: ignore[list-item]
        assert done == [1]
        assert [entry["event"] for entry in logs] == ["media_job_failed"]

    run(story())


def test_what_is_cleared_is_not_done() -> None:
    async def story() -> None:
        slices, done = Slices(), list[int]()
        slices.put(functools.partial(done.append, number) for number in range(AT_ONCE + 1))
        slices.clear()
        await asyncio.sleep(0)
        assert len(done) == AT_ONCE
        slices.put([functools.partial(done.append, -1)])
        assert done[-1] == -1

    run(story())
