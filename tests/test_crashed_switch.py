"""kill -9 with a call up: one record, of a call that was as long as the switch lived, in the store and in the file."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from demo.switch_process import SwitchProcess, wait_until
from softswitch.app import Switch
from softswitch.interfaces import Cdr
from softswitch.stores.sqlite import open_sqlite
from tests.test_app import TRUNK, A, B, Phone, X
from tests.test_app import run as run_switch

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


def test_what_looks_after_files_goes_on_when_a_file_system_is_away_and_no_thread_is_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that a crash has cut is closed, a sign of life is given when it can be."""

    def away(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    refused: asyncio.Event

    def no_thread(*_: object) -> None:
        refused.set()
        raise RuntimeError("can't start new thread")

    alive = tmp_path / "switch.db.alive"

    async def story(switch: Switch, phone: Phone) -> None:
        nonlocal refused
        refused = asyncio.Event()
        await switch.cdrs.drain()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            await refused.wait()
        given = alive.read_text()
        assert await asyncio.to_thread(wait_until, lambda: alive.read_text() != given, 20)

    for part in ("recording_of", "mend_recordings", "sweep"):
        monkeypatch.setattr(f"softswitch.app.{part}", away)
    monkeypatch.setattr("softswitch.app.SIGN_EVERY_S", 0.01)
    store = open_sqlite(str(tmp_path / "switch.db"))
    asyncio.run(store.open_attempt(Cdr("crashed", call_in_at=time.time())))
    store.close()
    assert run_switch(tmp_path, story)[0]["ulFailReason"] == 8040
