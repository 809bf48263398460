"""The process of `softswitch serve`: one switch, its signals, its event loop and its memory.

Called by the command line; whatever the switch is made of stands in app.py.

    SIGHUP   reload dialplans, prompts and certificates; live calls keep what they have, a broken file keeps the old
    SIGTERM  no new calls, wait for live ones (`call.drain_s`), then hang up; a second one hangs up at once
"""

from __future__ import annotations

import asyncio
import signal

import uvloop

from softswitch.app import Switch
from softswitch.config import Config
from softswitch.logs import configure_logging
from softswitch.memory import return_large_blocks, spare_the_collector

ENDING = (signal.SIGTERM, signal.SIGINT)


def run(config: Config) -> None:
    """`softswitch serve`: blocks until the switch has stopped."""
    return_large_blocks()
    configure_logging(config.log.level, config.log.format, config.log.mask_numbers)
    uvloop.run(serve(config))


async def serve(config: Config) -> None:
    """Run a switch until SIGTERM or SIGINT; the two and SIGHUP find nobody home behind it, and end nothing."""
    switch = Switch(config)
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, switch.terminate)
    loop.add_signal_handler(signal.SIGHUP, switch.reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # see __main__.py
    try:
        await _live(switch)
    finally:
        await switch.stop()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, *ENDING})  # the loop's end makes them deadly again


async def _live(switch: Switch) -> None:
    """From its start until it is time to stop, which may come before it has started."""
    starting, stopped = asyncio.create_task(switch.start()), asyncio.create_task(switch.wait_stopped())
    try:
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            spare_the_collector()
            await stopped
    finally:
        starting.cancel()
        stopped.cancel()
        await asyncio.gather(starting, stopped, return_exceptions=True)
