"""Runs all scenarios against one switch, several at a time, and keeps what happened for the tests to look at.

Called by conftest.py once a session. SIPp speaks, the phones of rtp.py hear and talk, and afterwards the CDRs are
fetched from the store: nothing here judges. Of each is noted whether the machine stood still while it was told.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softswitch.interfaces import Cdr
from softswitch.stores.provisioning import open_provisioning
from tests.scenarios.relay import Relay, Way
from tests.scenarios.rtp import Address, Phone, SilentTarget, media_address
from tests.scenarios.scenario import SILENT, RelayPart
from tests.scenarios.sipp import Sipp, TracedMessage, messages
from tests.scenarios.world import EXTENSION, PORT, RELAY_PORT, VOICES, Place
from tests.support.certificates import Certificate
from tests.support.stalls import StallWatch

AT_ONCE = 8
CALLEE_PATIENCE_S = 30.0  # after the caller's end: CANCEL and BYE of the other leg may still be on their way
CDR_PATIENCE_S = 30.0


@dataclass(slots=True)
class Outcome:
    """What one scenario left behind. Sides are "caller", "callee" and, with several targets, "callee_1" …"""

    place: Place
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    traced: dict[str, list[TracedMessage]] = field(default_factory=dict)
    at_silent_targets: list[bytes] = field(default_factory=list)
    order_heard: dict[str, list[str]] = field(default_factory=dict)
    heard: dict[str, dict[str, int]] = field(default_factory=dict)
    cdrs: list[Cdr] = field(default_factory=list)
    relays: dict[str, Relay] = field(default_factory=dict)
    broken: str = ""  # why it could not be told to its end
    span: tuple[float, float] = 0.0, 0.0  # when it was told, by time.monotonic()
    stood_still: bool = False  # the machine, within that

    def received(self, side: str) -> list[TracedMessage]:
        """What arrived at `side`, with every retransmission."""
        return [message for message in self.traced[side] if not message.sent]


@dataclass(frozen=True, slots=True)
class Site:
    """Where the switch is, for a place; its store; a folder for what SIPp writes; the phones' and targets' TLS."""

    switch: Callable[[Place], str]
    database: str
    folder: Path
    certificate: Certificate
    authority: str

    def context(self, *, server: bool, shown: bool) -> ssl.SSLContext:
        """TLS of a relay, with a certificate that the switch takes or (`shown` false) none."""
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        context = ssl.create_default_context(purpose, cafile=self.authority)
        if shown:
            context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        return context


def run_all(places: Sequence[Place], site: Site) -> dict[str, Outcome]:
    """Every scenario's outcome, by name."""
    with StallWatch() as watch:
        outcomes = {one.place.scenario.name: one for one in asyncio.run(_run_several(places, site))}
        _fetch_cdrs(site.database, outcomes)
    for outcome in outcomes.values():
        outcome.stood_still = watch.stood_still_within(*outcome.span)
    return outcomes


async def _run_several(places: Sequence[Place], site: Site) -> Sequence[Outcome]:
    room, waiting_room = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

    async def run_one(place: Place) -> Outcome:
        async with waiting_room if place.scenario.call.lasts_s else room:  # who only waits is in nobody's way
            directory = site.folder / place.scenario.name
            directory.mkdir()
            began_at = time.monotonic()
            try:
                outcome = await _Run(place, site, directory).run()
            except Exception:  # no other scenario's fault
                outcome = Outcome(place, broken=traceback.format_exc())
            outcome.span = began_at, time.monotonic()
            return outcome

    # The long ones first, so that the last to start are short.
    inside_out = sorted(places, key=lambda place: not place.scenario.media.caller_hears)
    return await asyncio.gather(*map(run_one, inside_out))


def _fetch_cdrs(database: str, outcomes: dict[str, Outcome]) -> None:
    """The finished records of each X; those that are due but not yet written are waited for."""
    store = open_provisioning(database)
    deadline = time.monotonic() + CDR_PATIENCE_S
    for outcome in outcomes.values():
        due = outcome.place.scenario.records
        x = outcome.place.number("x")
        while len(found := list(store.cdrs(x=x).items)) < due and time.monotonic() < deadline:
            time.sleep(0.05)
        outcome.cdrs = found
    store.close()


class _Run:
    """One scenario: its SIPps, its phones, its silent targets."""

    def __init__(self, place: Place, site: Site, folder: Path) -> None:
        self._place, self._site, self._folder = place, site, folder
        self._relays: dict[str, Relay] = {}
        media = place.scenario.media
        self._phones = {
            "caller": Phone(VOICES["caller"], [place.filled(keys) for keys in media.keys], tones=media.tones),
            "callee": Phone(VOICES["callee"]),
        }
        self._silent: list[asyncio.DatagramTransport] = []
        self._silent_targets: list[SilentTarget] = []

    async def run(self) -> Outcome:
        place = self._place
        caller_phone, callee_phone = self._phones["caller"], self._phones["callee"]
        await caller_phone.open(place.caller_ip)
        await callee_phone.open(place.targets[-1])
        caller = self._sipp("caller", "uac.xml", 0, caller_phone)
        callees: list[Sipp] = []
        try:
            for index, (name, file) in enumerate(self._targets()):
                if file == SILENT:
                    await self._open_silent(place.targets[index])
                else:
                    callees.append(self._sipp(name, file, index + 1, callee_phone))
                    await callees[-1].answer()
                    await self._relay_callee(name, index + 1)
            if place.scenario.media.talk:
                _talk(caller_phone, caller)
                _talk(callee_phone, callees[-1])
            await caller.call(await self._relay_caller(), _national(place.number("x")))
            await _all_over(callees)
        finally:
            for sipp in (caller, *callees):
                sipp.stop()
            for phone in self._phones.values():
                phone.close()
            for transport in self._silent:
                transport.close()
            for relay in self._relays.values():
                relay.close()
        return self._outcome([caller, *callees])

    async def _relay_caller(self) -> str:
        """Where the caller's SIPp is to call: the switch, or the relay before it."""
        place = self._place
        switch = self._site.switch(place)
        await self._take_long("caller", place.at[0])
        if not place.relayed[0]:
            return switch
        host, _, port = switch.rpartition(":")
        relay = self._relays["caller"] = Relay(self._way(place.scenario.call.transport, "caller"))
        at = place.caller_ip, RELAY_PORT
        await relay.before_caller(at, (host, int(port)))
        return f"{at[0]}:{at[1]}"

    async def _take_long(self, side: str, at: tuple[str, int]) -> None:
        """What is too long for UDP comes by TCP."""
        part = self._place.scenario.relay
        if part is not None and part.long and part.side == side:
            relay = self._relays[side] = Relay(Way())
            await relay.to_datagrams(at)

    async def _relay_callee(self, name: str, number: int) -> None:
        place = self._place
        await self._take_long("callee", place.at[number])
        if place.relayed[number]:
            host, port = place.at[number]
            relay = self._relays[name] = Relay(self._way(place.scenario.trunk.transport, "callee"))
            await relay.before_callee((host, RELAY_PORT), (host, port))

    def _way(self, transport: str, side: str) -> Way:
        part = self._place.scenario.relay
        mine = part if part is not None and part.side == side else RelayPart("caller")
        context = None
        if transport == "tls":
            context = self._site.context(server=side == "callee", shown=mine.certificate)
        return Way(context, mine.drop_after, mine.ping)

    def _targets(self) -> list[tuple[str, str]]:
        files = self._place.scenario.call.callees
        several = sum(file != SILENT for file in files) > 1
        names = [f"callee_{i + 1}" if several else "callee" for i in range(len(files))]
        return list(zip(names, files, strict=True))

    def _sipp(self, name: str, file: str, number: int, phone: Phone) -> Sipp:
        """The SIPp of the caller (0) or of target `number`."""
        call, place = self._place.scenario.call, self._place
        keys: dict[str, str | int] = {"rtp_port": phone.port, "extension": EXTENSION}
        if name == "caller":
            keys["caller"] = place.number(call.caller)
            keys["national"] = _national(place.number(call.caller))
            keys["a"] = place.number("a")
        else:
            keys["callee"] = place.number(call.callee)
            keys["domain"] = place.domain
            keys["other"] = place.targets[number % len(place.targets)]  # the target after this one
        return Sipp(
            name,
            self._folder,
            place.scenario.folder / file,
            place.at[number],
            keys,
            media_ip=(place.caller_ip, *place.targets)[number],
            transport=(place.scenario.trunk.transport if number else call.transport).replace("tls", "tcp"),
            calls=call.takes[number - 1] if number and call.takes else call.calls,
            lasts_s=call.lasts_s,
        )

    async def _open_silent(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        transport, target = await loop.create_datagram_endpoint(SilentTarget, local_addr=(address, PORT))
        self._silent.append(transport)
        self._silent_targets.append(target)

    def _outcome(self, sipps: Sequence[Sipp]) -> Outcome:
        outcome = Outcome(self._place, relays=self._relays)
        for sipp in sipps:
            outcome.exit_codes[sipp.name] = sipp.exit_code
            outcome.errors[sipp.name] = sipp.errors
            outcome.traced[sipp.name] = messages(sipp.trace)
        for side, phone in self._phones.items():
            outcome.order_heard[side], outcome.heard[side] = phone.order, phone.heard
        outcome.at_silent_targets = [data for target in self._silent_targets for data in target.received]
        return outcome


def _talk(phone: Phone, sipp: Sipp) -> None:
    """Talk to where the switch's SDP says, once SIPp has seen one."""

    def remote() -> Address | None:
        sdps = [media_address(message.text) for message in messages(sipp.trace) if not message.sent]
        return next((address for address in reversed(sdps) if address), None)

    phone.talk(remote)


async def _all_over(callees: Sequence[Sipp]) -> None:
    """Wait for the callees' SIPps; one that still waits then has not had its call, or not its end."""
    try:
        async with asyncio.timeout(CALLEE_PATIENCE_S):
            await asyncio.gather(*(sipp.wait() for sipp in callees))
    except TimeoutError:
        return


def _national(number: str) -> str:
    """As a trunk dials it: without the +86."""
    return number.removeprefix("+86")
