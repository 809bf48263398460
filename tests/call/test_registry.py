"""The list of live calls."""

from __future__ import annotations

import asyncio

from softswitch.call.cdr import CallRecord
from softswitch.call.registry import CallRegistry
from tests.support.virtual_time import run


def test_a_call_is_listed_for_as_long_as_the_block_lasts() -> None:
    async def story() -> None:
        registry = CallRegistry()
        one, two = (CallRecord(name, lambda: 0.0) for name in ("one", "two"))
        with registry.listed(one):
            with registry.listed(two):
                assert [record.call_id for record in registry] == ["one", "two"]
            assert len(registry) == 1
        assert list(registry) == []

    run(story())


def test_waiting_for_the_last_call_ends_with_it() -> None:
    async def story() -> None:
        registry = CallRegistry()
        await registry.wait_empty()

        async def call(seconds: float) -> None:
            with registry.listed(CallRecord(str(seconds), lambda: 0.0)):
                await asyncio.sleep(seconds)

        calls = [asyncio.create_task(call(seconds)) for seconds in (1, 5, 3)]
        await asyncio.sleep(0)
        await registry.wait_empty()
        assert asyncio.get_running_loop().time() == 5
        await asyncio.gather(*calls)

    run(story())


def test_the_list_may_change_while_it_is_read() -> None:
    async def story() -> None:
        registry = CallRegistry()
        with registry.listed(CallRecord("one", lambda: 0.0)):
            for _ in registry:
                with registry.listed(CallRecord("two", lambda: 0.0)):
                    pass

    run(story())
