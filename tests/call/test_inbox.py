"""The inbox gives what was put in its order, to whoever waits."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.call.inbox import Inbox
from tests.support.virtual_time import run


def test_what_was_put_comes_out_in_its_order() -> None:
    async def story() -> None:
        inbox: Inbox[int] = Inbox()
        inbox.put(1)
        inbox.put(2)
        assert len(inbox) == 2
        assert [await inbox.get(), await inbox.get()] == [1, 2]

    run(story())


def test_who_waits_is_woken_and_gets_all_that_was_put_meanwhile() -> None:
    async def story() -> None:
        inbox: Inbox[int] = Inbox()
        waiting = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        inbox.put(1)
        inbox.put(2)
        assert await waiting == 1
        assert await inbox.get() == 2

    run(story())


def test_who_stops_waiting_takes_nothing_with_it() -> None:
    async def story() -> None:
        inbox: Inbox[int] = Inbox()
        waiting = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        inbox.put(1)
        assert await inbox.get() == 1

    run(story())
