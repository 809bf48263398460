"""The real switch and SIPp as its registrar, on loopback: RFC 3261 10.2 and 22 as somebody else understands them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.scenarios.sipp import Sipp, messages
from tests.scenarios.world import reserve_network
from tests.support.switch import RunningSwitch

REGISTRAR = Path(__file__).with_name("registrar.xml")

pytestmark = pytest.mark.sipp


def plan(registrar: str) -> str:
    return (
        f'[[trunk]]\nname = "carrier"\nhost = "{registrar}"\nregister = true\nregister_expires_s = 600\n'
        'username = "us"\npassword = "secret"\n'
    )


def registered(switch: RunningSwitch) -> bool:
    """Wait until the metric says so."""
    deadline = time.monotonic() + 15
    while not switch.metric("softswitch_trunk_registered"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_switch_registers_with_proof_and_for_long_enough_and_says_goodbye(tmp_path: Path) -> None:
    network, lock = reserve_network()
    host = f"127.{network}.0.2"
    registrar = Sipp("registrar", tmp_path, REGISTRAR, (host, 5060), {}, media_ip=host)

    async def story() -> None:
        await registrar.answer()
        with RunningSwitch(tmp_path / "switch", dialplan=plan(host)) as switch:
            assert await asyncio.to_thread(registered, switch)
        async with asyncio.timeout(15):
            await registrar.wait()

    started = time.monotonic()
    try:
        asyncio.run(story())
    finally:
        registrar.stop()
        lock.close()
    assert registrar.exit_code == 0, registrar.errors
    asked = [message for message in messages(registrar.trace) if not message.sent]
    assert [message.header("Expires") for message in asked] == ["600", "600", "7200", "7200", "0"]
    assert len({message.header("Call-ID") for message in asked}) == 1
    assert [message.header("CSeq") for message in asked] == [f"{n} REGISTER" for n in range(1, 6)]
    assert asked[0].header("Contact").startswith("<sip:us@127.0.0.1:")
    assert time.monotonic() - started < 60
    log = (tmp_path / "switch").rglob("*.log")
    assert all("secret" not in file.read_text(encoding="utf-8") for file in log)
