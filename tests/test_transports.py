"""Calls through the whole switch over every transport and both address families, certificates changed while it runs."""

from __future__ import annotations

import asyncio
import functools
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from softswitch.app import Switch
from softswitch.config import Config
from softswitch.errors import ConfigError
from softswitch.sdp.offer_answer import local_offer
from softswitch.sip.addresses import Hop, Listener
from softswitch.sip.client_session import ClientSession
from softswitch.sip.provisional import RELIABLE
from softswitch.sip.server_session import ServerSession
from softswitch.sip.timing import Timing
from softswitch.sip.tls import Tls, TlsFiles
from softswitch.sip.transport import SocketTransport, open_transport
from softswitch.sip.user_agent import UserAgent
from tests.support.certificates import Authority
from tests.support.recorder import Recorder
from tests.test_app import ROOT, A, B, X, seed

pytestmark = pytest.mark.real_time
OFFER = local_offer("127.0.0.1", 40000, session_id=1, version=1)
TRUNK = """
[[trunk]]
name = "phone"
host = "{host}"
port = {port}
transport = "{transport}"
sources = ["127.0.0.1/32", "::1/128"]
[[route]]
name = "all"
targets = ["phone"]
"""
Story = Callable[[Switch, "Phone"], Awaitable[None]]


class Phone:
    """A caller and a callee that answers at once, or as `picks_up` says, at one address."""

    def __init__(self, transport: str, host: str, tls: Tls | None) -> None:
        self.user_agent = UserAgent(transport_factory=functools.partial(open_transport, tls=tls))
        self.transport, self.host = transport, host
        self.picks_up: Callable[[ServerSession], None] = lambda session: session.accept(body=OFFER)
        self.rung: asyncio.Queue[tuple[ServerSession, Recorder]] = asyncio.Queue()

    async def start(self) -> int:
        ((_, port),) = await self.user_agent.start([Listener(self.host, 0, self.transport)], self._answer)
        return port

    async def _answer(self, session: ServerSession) -> None:
        recorder = Recorder(session)
        self.picks_up(session)
        self.rung.put_nowait((session, recorder))
        await asyncio.Event().wait()

    def call(self, switch: Switch, **over: Any) -> tuple[ClientSession, Recorder]:
        """Call; nothing is acknowledged."""
        host, port = switch.sip_addresses[0]
        session = self.user_agent.invite(
            Hop(self.transport, host, port),
            request_uri=f"sip:{X}@example.net",
            from_=f"<sip:{A}@example.net>",
            to=f"<sip:{X}@example.net>",
            **{"body": OFFER, **over},
        )
        return session, Recorder(session)

    def break_connection(self, *, accepted: bool = False) -> None:
        """The connection that we opened, by which we called (or that we accepted), is gone all of a sudden."""
        transport = self.user_agent._transport
        assert isinstance(transport, SocketTransport)
        (one,) = [one for one in transport.streams._connections.values() if one.accepted is accepted]
        one.close("broken", at_once=True)

    async def talk(self, switch: Switch, **over: Any) -> ServerSession:
        """Call, and hang up again; returns the callee's side."""
        session, recorder = self.call(switch, **over)
        await recorder.until("answered 200", 60)
        session.acknowledge()
        called, ended = await self.rung.get()
        await ended.until("ACK", 60)
        session.hang_up()
        await ended.until("BYE", 60)
        return called


def run(
    folder: Path,
    story: Story,
    transport: str,
    host: str = "127.0.0.1",
    files: TlsFiles | None = None,
    phones: TlsFiles | None = None,
) -> None:
    """`files` are the switch's, and the phone's too where it has none of its own (`phones`)."""

    async def whole() -> None:
        async with started(folder, transport, host, files, phones or files) as (switch, phone), asyncio.timeout(60):
            await story(switch, phone)

    seed(folder)
    asyncio.run(whole())


@asynccontextmanager
async def started(
    folder: Path, transport: str, host: str, files: TlsFiles | None, phones: TlsFiles | None
) -> AsyncIterator[tuple[Switch, Phone]]:
    phone = Phone(transport, host, None if phones is None else Tls(phones))
    port = await phone.start()
    settings = config(folder, f"{transport}:{f'[{host}]' if ':' in host else host}:0", files)
    (folder / "dialplans" / "20-phone.toml").write_text(TRUNK.format(port=port, host=host, transport=transport))
    switch = Switch(settings)
    await switch.start()
    try:
        yield switch, phone
    finally:
        await phone.user_agent.stop()
        await switch.stop()


def config(folder: Path, listen: str, files: TlsFiles | None = None) -> Config:
    plans = folder / "dialplans"
    plans.mkdir(exist_ok=True)
    (plans / "10-china.toml").write_text((ROOT / "dialplans" / "10-china.toml").read_text())
    files = files or TlsFiles()
    sip = {"tls_certificate": files.certificate, "tls_key": files.key, "tls_authorities": files.authorities}
    return Config.model_validate(
        {
            "sip": {"listen": [listen], "tls_clients": files.clients, **sip},
            "media": {"driver": "null"},
            "limits": {"max_lag_s": 0},  # a busy machine is no overload of ours
            "store": {"url": f"sqlite:///{folder / 'switch.db'}"},
            "dialplan": {"directory": str(plans)},
            "prompts": {"directory": str(ROOT / "prompts")},
            "cdr": {"file": str(folder / "cdr.jsonl")},
            "ops": {"listen": "127.0.0.1:0"},
        }
    )


async def one_call(switch: Switch, phone: Phone) -> None:
    called = await phone.talk(switch)
    await switch.registry.wait_empty()
    host = f"[{phone.host}]" if ":" in phone.host else phone.host
    port = switch.sip_addresses[0][1]
    mark = "" if phone.transport == "udp" else f";transport={phone.transport}"
    assert called.invite.headers.get("Contact") == f"<sip:{host}:{port}{mark}>"
    assert called.invite.via.transport == phone.transport.upper()
    assert B in called.invite.uri


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_call_over_udp_and_tcp_by_ipv4_and_ipv6(tmp_path: Path, transport: str, host: str) -> None:
    run(tmp_path, one_call, transport, host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_call_over_tls_with_certificates_on_both_sides(tmp_path: Path, host: str) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("own", f"IP:{host}")
    files = TlsFiles(own.certificate, own.key, authority.file, "required")

    async def story(switch: Switch, phone: Phone) -> None:
        await one_call(switch, phone)
        assert switch.connections == {"accepted": 1, "opened": 1}  # the phone's to us, ours to where it listens

    run(tmp_path, story, "tls", host, files)


async def rename(folder: Path, switch: Switch, name: str) -> None:
    """The phone's certificate must be for `name`."""
    file = folder / "dialplans" / "20-phone.toml"
    file.write_text(re.sub(r"(?:tls_name = .*\n)?sources", f'tls_name = "{name}"\nsources', file.read_text()))
    await switch.reload()


def test_certificates_must_name_the_trunk_in_both_directions(tmp_path: Path) -> None:
    """RFC 5922 7: by the trunk's `tls_name`, where it has one."""
    authority = Authority(tmp_path)
    own = authority.issue("own", "IP:127.0.0.1", "DNS:sbc.example")
    files = TlsFiles(own.certificate, own.key, authority.file, "required")

    async def story(switch: Switch, phone: Phone) -> None:
        await rename(tmp_path, switch, "other.example")
        _, recorder = phone.call(switch)
        await recorder.until("refused 503", 60)
        assert switch.connections["misnamed"] >= 1
        await rename(tmp_path, switch, "sbc.example")
        await one_call(switch, phone)

    run(tmp_path, story, "tls", "127.0.0.1", files)


def test_a_caller_whose_connection_broke_is_hung_up_on_by_another_checked_by_its_trunks_name(tmp_path: Path) -> None:
    """RFC 5922 7.2: its Contact is an address, its certificate is for its domain."""
    authority = Authority(tmp_path)
    own, phones = authority.issue("own", "IP:127.0.0.1"), authority.issue("phone", "DNS:sbc.example")

    async def story(switch: Switch, phone: Phone) -> None:
        await rename(tmp_path, switch, "sbc.example")
        session, caller = phone.call(switch)
        await caller.until("answered 200", 60)
        session.acknowledge()
        called, callee = await phone.rung.get()
        await callee.until("ACK", 60)
        phone.break_connection()
        called.hang_up()
        await caller.until("BYE", 60)

    files = TlsFiles(own.certificate, own.key, authority.file)
    run(tmp_path, story, "tls", files=files, phones=TlsFiles(phones.certificate, phones.key, authority.file))


def test_a_new_certificate_is_taken_on_sighup_and_a_broken_one_is_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.issue("first", "IP:127.0.0.1"), authority.issue("second", "IP:127.0.0.1")
    files = TlsFiles(str(tmp_path / "own.pem"), str(tmp_path / "own.key"), authority.file)
    shutil.copy(first.certificate, files.certificate)
    shutil.copy(first.key, files.key)

    async def shown(switch: Switch) -> str:
        context = ssl.create_default_context(cafile=authority.file)
        _, writer = await asyncio.open_connection(*switch.sip_addresses[0], ssl=context)
        name = writer.get_extra_info("peercert")["subject"][0][0][1]
        writer.transport.abort()
        return str(name)

    async def story(switch: Switch, phone: Phone) -> None:
        assert await shown(switch) == "first"
        session, caller = phone.call(switch)
        await caller.until("answered 200", 60)
        session.acknowledge()
        _, callee = await phone.rung.get()
        shutil.copy(second.key, files.key)  # not the key of the certificate
        await switch.reload()
        assert await shown(switch) == "first"
        shutil.copy(second.certificate, files.certificate)
        shutil.copy(second.key, files.key)
        await switch.reload()
        assert await shown(switch) == "second"
        session.hang_up()  # what was up stays up
        await callee.until("BYE", 60)
        assert (switch.connections["opened"], callee.events) == (1, ["ACK", "BYE"])
        await one_call(switch, phone)

    run(tmp_path, story, "tls", files=files)


def test_a_trunk_that_no_listener_reaches_is_refused(tmp_path: Path) -> None:
    settings = config(tmp_path, "127.0.0.1:0")
    for host, transport, entry in (("127.0.0.1", "tcp", "tcp:host:port"), ("::1", "udp", r"udp:\[IPv6\]:port")):
        plan = TRUNK.format(port=5060, host=host, transport=transport)
        (tmp_path / "dialplans" / "20-phone.toml").write_text(plan)
        with pytest.raises(ConfigError, match=rf"sip\.listen: trunk 'phone' at {host} needs an entry {entry}"):
            Switch(settings)


# What SIPp can't play over a connection, where it does not expect a message that is sent again

SOON = Timing(t1=0.05)  # 64*T1: 3.2 s
STREAMS = pytest.mark.parametrize("transport", ["tcp", "tls"])


def files_for(folder: Path, transport: str) -> TlsFiles | None:
    """Certificates for an address, where the transport wants any."""
    if transport != "tls":
        return None
    authority = Authority(folder)
    own = authority.issue("own", "IP:127.0.0.1")
    return TlsFiles(own.certificate, own.key, authority.file)


def run_impatient(folder: Path, story: Story, transport: str) -> dict[str, Any]:
    """As `run`, with a switch that gives up soon; returns the call's record."""

    async def whole(switch: Switch, phone: Phone) -> None:
        switch.user_agent.core.timing = SOON
        await story(switch, phone)
        await switch.registry.wait_empty()
        await switch.cdrs.drain()
        assert switch.connections == {"accepted": 1, "opened": 1}  # all of it went by these two

    run(folder, whole, transport, files=files_for(folder, transport))
    lines = (folder / "cdr.jsonl").read_text().splitlines()
    assert len(lines) == 1
    cdr: dict[str, Any] = msgspec.json.decode(lines[0])
    return cdr


@STREAMS
@pytest.mark.parametrize("side", ["caller", "callee"])
def test_a_connection_that_falls_while_the_callee_rings_costs_nothing(
    tmp_path: Path, transport: str, side: str
) -> None:
    """RFC 3261 18.2.2: responses go by another, to where the Via says; requests in the dialog to the Contact."""

    async def story(switch: Switch, phone: Phone) -> None:
        phone.picks_up = lambda session: session.progress(180)
        session, caller = phone.call(switch)
        called, callee = await phone.rung.get()
        await caller.until("180", 60)
        phone.break_connection(accepted=side == "callee")
        called.accept(body=OFFER)
        await caller.until("answered 200", 60)
        session.acknowledge()
        await callee.until("ACK", 60)
        called.hang_up()
        await caller.until("BYE", 60)

    files = files_for(tmp_path, transport)
    run(tmp_path, story, transport, files=files)


@STREAMS
def test_an_ack_that_never_comes_over_a_connection_ends_the_call(tmp_path: Path, transport: str) -> None:
    """RFC 3261 13.3.1.4: the 200 is repeated "even if the transport is reliable", then both sides get a BYE."""

    async def story(switch: Switch, phone: Phone) -> None:
        _, caller = phone.call(switch)
        _, callee = await phone.rung.get()
        await caller.until("BYE", 60)
        await callee.until("BYE", 60)
        assert caller.events.count("answered 200") == 1
        assert phone.user_agent.counts["in", "INVITE", 200] >= 3

    cdr = run_impatient(tmp_path, story, transport)
    assert (cdr["ulFailReason"], cdr["ended_by"], bool(cdr["fwdAnswerTime"])) == (7505, "caller", True)


@STREAMS
def test_a_prack_that_never_comes_over_a_connection_refuses_the_call(tmp_path: Path, transport: str) -> None:
    """RFC 3262 3: the reliable response is repeated over any transport, then the INVITE gets a 5xx."""

    async def story(switch: Switch, phone: Phone) -> None:
        phone.picks_up = lambda session: session.progress(180)
        _, caller = phone.call(switch, headers=[("Require", RELIABLE)])
        _, callee = await phone.rung.get()
        await caller.until("refused 504", 60)
        await callee.until("cancelled", 60)
        assert phone.user_agent.counts["in", "INVITE", 180] >= 3

    cdr = run_impatient(tmp_path, story, transport)
    assert (cdr["ulFailReason"], cdr["ended_by"], cdr["sipStatusCode"]) == (7505, "caller", 504)


@STREAMS
def test_early_media_goes_reliably_over_a_connection_and_the_200_after_its_prack(
    tmp_path: Path, transport: str
) -> None:
    """RFC 3262 3."""

    async def story(switch: Switch, phone: Phone) -> None:
        phone.user_agent.core.extensions = frozenset({RELIABLE})

        def picks_up(session: ServerSession) -> None:
            session.progress(183, body=OFFER)
            session.accept(body=OFFER)

        phone.picks_up = picks_up
        await phone.talk(switch, headers=[("Supported", RELIABLE)])
        counts = phone.user_agent.counts
        assert counts["out", "PRACK", 0] == counts["in", "PRACK", 200] == 1  # the caller's
        assert counts["in", "PRACK", 0] == counts["out", "PRACK", 200] == 1  # the callee's

    cdr = run_impatient(tmp_path, story, transport)
    assert (cdr["ulFailReason"], cdr["ended_by"]) == (0, "caller")
