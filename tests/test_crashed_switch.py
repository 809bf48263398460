"""kill -9 with a call up: one record, of a call that was as long as the switch lived, in the store and in the file."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from pathlib import Path

import pytest

from demo.switch_process import SwitchProcess
from tests.test_app import TRUNK, A, B, Phone, X

pytestmark = pytest.mark.real_time


def test_an_unrecorded_call_ends_when_the_switch_did(tmp_path: Path) -> None:
    alive = tmp_path / "softswitch.db.alive"

    def sign() -> bytes:
        return alive.read_bytes() if alive.exists() else b""

    async def story() -> SwitchProcess:
        phone = Phone()
        plan = TRUNK.format(port=await phone.start())
        switch = SwitchProcess(tmp_path, dialplan=plan, settings={"media": {"driver": "null"}})
        switch.cli("number", "add", X, "--app", "app", "--mode", "AXB")
        switch.cli("bind", "axb", X, A, B)
        await asyncio.to_thread(switch.start)
        phone.call(("127.0.0.1", switch.sip_port))
        assert await phone.outcome == 200
        signs = [sign()]
        while len(signs) < 4:  # some seconds of talk
            await asyncio.sleep(0.05)
            signs += [newest for newest in [sign()] if newest != signs[-1]]
        switch.signal(signal.SIGKILL)
        await phone.user_agent.stop()
        return switch

    switch = asyncio.run(story())
    switch.stop()
    lived_until = float(alive.read_text().split()[1])
    switch.start()
    try:
        (cdr,) = switch.wait_for_cdrs(1)
    finally:
        switch.stop()
    ended, answered = (datetime.fromisoformat(cdr[name]).timestamp() for name in ("ended_at", "answered_at"))
    assert (cdr["ulFailReason"], ended) == (8040, round(lived_until, 3))
    assert ended - answered > 1.5
    switch.start()
    switch.stop()
    assert len(switch.cdrs()) == 1
