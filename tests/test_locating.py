"""The whole switch and a trunk that is a domain: found by a real DNS server, its dead address passed over."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from softswitch.app import Switch
from softswitch.sip.addresses import Hop
from softswitch.sip.tls import Tls, TlsFiles
from tests.support.certificates import Authority
from tests.support.name_server import NameServer, name_server
from tests.support.recorder import Recorder
from tests.test_app import A, X, seed
from tests.test_transports import OFFER, Phone, config

pytestmark = pytest.mark.real_time
ZONE = """
carrier.example. 300 IN NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.carrier.example.
_sip._udp.carrier.example. 300 IN SRV 1 0 {dead} first.carrier.example.
_sip._udp.carrier.example. 300 IN SRV 2 0 {port} second.carrier.example.
_sips._tcp.carrier.example. 300 IN SRV 1 0 {port} second.carrier.example.
first.carrier.example. 300 IN A 127.0.0.1
second.carrier.example. 300 IN A 127.0.0.1
"""
TRUNK = """
[[trunk]]
name = "carrier"
host = "carrier.example"
transport = "{transport}"
sources = ["127.0.0.1/32"]
connect_s = {connect_s}
[[route]]
name = "all"
targets = ["carrier"]
"""


@asynccontextmanager
async def switch_and(
    phone: Phone, folder: Path, trunk: str, files: TlsFiles | None = None
) -> AsyncIterator[tuple[Switch, NameServer, socket.socket]]:
    """A switch whose trunk is the phone and, before it, a socket that never answers."""
    port = await phone.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        async with name_server(ZONE.format(dead=silent.getsockname()[1], port=port)) as ((host, at), server):
            settings = config(folder, f"{phone.transport}:127.0.0.1:0", files)
            sip = settings.sip.model_copy(update={"dns_servers": [f"{host}:{at}"]})
            calm = settings.limits.model_copy(update={"max_lag_s": 0.0})  # this machine may be busy
            (folder / "dialplans" / "20-carrier.toml").write_text(trunk.format(dead=silent.getsockname()[1], port=port))
            switch = Switch(settings.model_copy(update={"sip": sip, "limits": calm}))
            await switch.start()
            try:
                yield switch, server, silent
            finally:
                await phone.user_agent.stop()
                await switch.stop()


def calls_at(silent: socket.socket) -> set[bytes]:
    """The calls that have come to it since, given up ones included: their INVITEs are repeated for 32 s."""
    came = set()
    with contextlib.suppress(BlockingIOError):
        while True:
            came.add(silent.recv(65535).partition(b"Call-ID:")[2].partition(b"\r\n")[0])
    return came


def test_a_call_to_a_trunk_that_is_a_domain_goes_on_to_its_second_address(tmp_path: Path) -> None:
    async def story() -> None:
        phone = Phone("udp", "127.0.0.1", None)
        trunk = TRUNK.format(transport="auto", connect_s=2.0)
        async with switch_and(phone, tmp_path, trunk) as (switch, server, silent):
            called = await phone.talk(switch)
            assert called.invite.uri.endswith("@carrier.example")
            first = calls_at(silent)
            await phone.talk(switch)
            assert (len(first), calls_at(silent) - first) == (1, set())  # the dead one is last now
            assert (switch.locator.counts["penalised"], len(switch.locator.penalties)) == (1, 1)
            assert (len(server.asked), len(set(server.asked))) == (4, 4)  # nothing was asked twice

    seed(tmp_path)
    asyncio.run(story())


ROUTE = """
[[trunk]]
name = "silent"
host = "127.0.0.1"
port = {dead}
connect_s = 2.0
[[trunk]]
name = "phone"
host = "127.0.0.1"
port = {port}
sources = ["127.0.0.1/32"]
[[route]]
name = "all"
targets = ["silent", "phone"]
"""


def test_a_trunk_that_a_call_has_found_dead_is_tried_last_by_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        phone = Phone("udp", "127.0.0.1", None)
        async with switch_and(phone, tmp_path, ROUTE) as (switch, _, silent):
            await phone.talk(switch)
            first = calls_at(silent)
            await phone.talk(switch)
            assert (len(first), calls_at(silent) - first) == (1, set())

    seed(tmp_path)
    asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "outcome", "penalised"),
    [("carrier.example", "answered 200", 0), ("second.carrier.example", "refused 502", 1)],
)
def test_the_certificate_must_name_the_domain_and_not_the_server_that_srv_leads_to(
    tmp_path: Path, name: str, outcome: str, penalised: int
) -> None:
    """RFC 5922 4: whoever can forge DNS must not be able to take the calls."""
    authority = Authority(tmp_path)
    ours, theirs = authority.issue("ours", "IP:127.0.0.1"), authority.issue("theirs", f"DNS:{name}")
    phone_files = TlsFiles(theirs.certificate, theirs.key, authority.file)

    async def story() -> None:
        phone = Phone("tls", "127.0.0.1", Tls(phone_files))
        files = TlsFiles(ours.certificate, ours.key, authority.file)
        async with switch_and(phone, tmp_path, TRUNK.format(transport="tls", connect_s=8.0), files) as (switch, *_):
            host, port = switch.sip_addresses[0]
            caller, callee = (f"<sip:{number}@example.net>" for number in (A, X))
            session = phone.user_agent.invite(
                Hop("tls", host, port), request_uri=f"sip:{X}@example.net", from_=caller, to=callee, body=OFFER
            )
            recorder = Recorder(session)
            await recorder.until(outcome, 60)
            session.acknowledge()
            session.hang_up()
            assert switch.locator.counts["penalised"] == penalised

    seed(tmp_path)
    asyncio.run(story())
