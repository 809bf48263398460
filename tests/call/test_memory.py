"""What an established, idle call takes: at most 40 KB (issue "SIP that carriers trust"), here without sockets.

`python -m tests.bench --only memory` measures the real switch; this finds at once what makes a call heavier.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from tests.support.calls import SWITCH, Lab, play

WARM_UP, CALLS = 20, 20
MOST_KB = 36.0  # what the allocator wastes comes on top
TRANSACTIONS_OVER_S = 40.0


def test_an_idle_call_takes_little_memory() -> None:
    async def establish(lab: Lab) -> None:
        await lab.establish()
        await asyncio.sleep(TRANSACTIONS_OVER_S)
        for phone in (lab.caller, lab.callee):
            phone.pending()
            phone.fresh()
            phone.source = SWITCH
        lab.wire.trace.clear()
        lab.media.commands.clear()
        lab.records.opened.clear()

    async def story(lab: Lab) -> None:
        for _ in range(WARM_UP):
            await establish(lab)
        tracemalloc.start()
        try:
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(CALLS):
                await establish(lab)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(lab.registry) == WARM_UP + CALLS
        assert (after - before) / CALLS / 1024 <= MOST_KB

    play(story)
