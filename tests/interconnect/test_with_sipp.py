"""The real switch and SIPp on loopback: a registrar (RFC 3261 10.2 and 22), a trunk that fails and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from demo.switch_process import wait_until
from softswitch.interfaces import App, Mode
from softswitch.stores.provisioning import open_provisioning
from softswitch.stores.rules import BindingOptions
from tests.scenarios.scenario import SCENARIOS
from tests.scenarios.sipp import Sipp, messages
from tests.scenarios.world import reserve_network
from tests.support.switch import RunningSwitch

REGISTRAR, TRUNK = Path(__file__).with_name("registrar.xml"), Path(__file__).with_name("trunk.xml")
CALLER = SCENARIOS / "answered_caller_hangs_up" / "uac.xml"
SHORT = Path(__file__).with_name("short_caller.xml")
A, B, X = "+8613800002345", "+8613900002345", "+8617000002345"

pytestmark = [pytest.mark.sipp, pytest.mark.real_time]


def plan(registrar: str) -> str:
    return (
        f'[[trunk]]\nname = "carrier"\nhost = "{registrar}"\nregister = true\nregister_expires_s = 600\n'
        'username = "us"\npassword = "secret"\n'
    )


def comes_to(switch: RunningSwitch, metric: str, value: float) -> bool:
    """Whether the metric has this value within a time that is long for any machine."""
    return bool(wait_until(lambda: switch.metric(metric) == value or None, 60))


def test_the_switch_registers_with_proof_and_for_long_enough_and_says_goodbye(tmp_path: Path) -> None:
    network, lock = reserve_network()
    host = f"127.{network}.0.2"
    registrar = Sipp("registrar", tmp_path, REGISTRAR, (host, 5060), {}, media_ip=host)

    async def story() -> None:
        await registrar.answer()
        with RunningSwitch(tmp_path / "switch", dialplan=plan(host)) as switch:
            assert await asyncio.to_thread(comes_to, switch, "softswitch_trunk_registered", 1)
        async with asyncio.timeout(60):
            await registrar.wait()

    started = time.monotonic()
    try:
        asyncio.run(story())
    finally:
        registrar.stop()
        lock.close()
    assert registrar.exit_code == 0, registrar.errors
    received = [message for message in messages(registrar.trace) if not message.sent]
    asked = list({message.header("CSeq"): message for message in received}.values())  # one may have come twice
    assert [message.header("Expires") for message in asked] == ["600", "600", "7200", "7200", "0"]
    assert len({message.header("Call-ID") for message in asked}) == 1
    assert [message.header("CSeq") for message in asked] == [f"{n} REGISTER" for n in range(1, 6)]
    assert asked[0].header("Contact").startswith("<sip:us@127.0.0.1:")
    assert time.monotonic() - started < 180
    log = (tmp_path / "switch").rglob("*.log")
    assert all("secret" not in file.read_text(encoding="utf-8") for file in log)


# Health (RFC 3261 11): a trunk goes down and comes back

TRUNKS = """
[[trunk]]
name = "callers"
host = "127.{network}.0.1"
sources = ["127.{network}.0.1/32"]
[[trunk]]
name = "first"
host = "127.{network}.0.2"
health_s = 0.2
[[trunk]]
name = "second"
host = "127.{network}.0.3"
[[route]]
name = "all"
targets = ["first", "second"]
"""


class Site:
    """A network of loopback with the SIPps of two trunks and of a caller."""

    def __init__(self, folder: Path, network: int, switch: RunningSwitch) -> None:
        self._folder, self._network, self._switch = folder, network, switch
        self._calls = 0

    def sipp(self, name: str, host: int, file: Path, calls: int = 1, **keys: str) -> Sipp:
        address = f"127.{self._network}.0.{host}"
        return Sipp(name, self._folder, file, (address, 5060), keys, media_ip=address, calls=calls)

    async def call(self) -> None:
        """One whole call to X."""
        self._calls += 1
        caller = self.sipp(f"caller-{self._calls}", 1, CALLER, caller=A, rtp_port="40002")
        await caller.call(f"127.0.0.1:{self._switch.sip_port}", X.removeprefix("+86"))
        assert caller.exit_code == 0, caller.errors

    async def first_is(self, up: bool) -> bool:
        """Whether the switch comes to say so of the first trunk."""
        return await asyncio.to_thread(comes_to, self._switch, "softswitch_trunk_up", float(up))


async def ended(*trunks: Sipp) -> None:
    for trunk in trunks:
        trunk.stop()
        await trunk.wait()


def invites(trunk: Sipp) -> int:
    return len({one.text for one in messages(trunk.trace) if not one.sent and one.name == "INVITE"})


def test_calls_go_elsewhere_while_a_trunk_says_that_it_is_down_and_back_when_it_is_up(tmp_path: Path) -> None:
    network, lock = reserve_network()
    switch = RunningSwitch(tmp_path / "switch", dialplan=TRUNKS.format(network=network))
    store = open_provisioning(str(tmp_path / "switch" / "softswitch.db"))
    store.add_number(X, App("axb-app", Mode.AXB, 4))
    store.bind_axb(X, A, B, BindingOptions())
    store.close()
    site = Site(tmp_path, network, switch)
    sick = tmp_path / "sick.xml"
    sick.write_text(TRUNK.read_text().replace("200 Healthy", "503 Service Unavailable"))
    down, up, second = (site.sipp(*one, 1000) for one in (("down", 2, sick), ("up", 2, TRUNK), ("second", 3, TRUNK)))

    async def story() -> None:
        await down.answer()
        await second.answer()
        with switch:
            assert await site.first_is(up=False)
            await site.call()
            await ended(down)
            await up.answer()
            assert await site.first_is(up=True)
            await site.call()
        await ended(up, second)

    with contextlib.closing(lock):
        asyncio.run(story())
    assert (invites(down), invites(second), invites(up)) == (0, 1, 1)
    log = switch.log_file.read_text(encoding="utf-8")
    assert log.index("trunk_down") < log.index("trunk_up")


def test_a_caller_whose_invite_is_short_understands_the_shortest_challenge(tmp_path: Path) -> None:
    """By UDP nothing longer than its INVITE may come back before it has shown its password (RFC 3261 26.1.5).

    SIPp 3.6 knows MD5 alone, which is not the best of those that are offered where there is room.
    """
    network, lock = reserve_network()
    host = f"127.{network}.0.1"
    proving = (
        f'[[trunk]]\nname = "callers"\nhost = "{host}"\nsources = ["{host}/32"]\nauth = "digest"\n'
        'auth_username = "them"\nauth_password = "secret"\n'
    )
    caller = Sipp("caller", tmp_path, SHORT, (host, 5060), {}, media_ip=host)

    async def story(switch: RunningSwitch) -> None:
        with switch:
            await caller.call(f"127.0.0.1:{switch.sip_port}", "17000000077")

    with contextlib.closing(lock):
        asyncio.run(story(RunningSwitch(tmp_path / "switch", dialplan=proving)))
    assert caller.exit_code == 0, caller.errors
    asked, challenge = (next(one for one in messages(caller.trace) if one.sent is sent) for sent in (True, False))
    assert challenge.name == "401"
    assert "\nv:SIP" in challenge.text
    assert len(challenge.text) <= len(asked.text)
