"""A whole switch but for sockets, media and disk: real SIP core, real routing, real call story, under virtual time.

    def test_something() -> None:
        async def story(lab: Lab) -> None:
            await lab.establish()                      # A calls X, B answers, announcement over, talking
            lab.callee.send(lab.callee.request("BYE"))
            ...
            assert (await lab.cdr()).ended_by == "callee"
        play(story)

The caller sits at 10.0.0.9, callees at 10.0.0.21 and 10.0.0.22 (trunks `first` and `second`), the switch at 10.0.0.1.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from softswitch.call.admission import Admission, Limit
from softswitch.call.b2bua import B2bua
from softswitch.call.cdr import CdrWriter
from softswitch.call.registry import CallRegistry
from softswitch.call.services import CallServices, CallSettings
from softswitch.errors import StoreError
from softswitch.interfaces import (
    App,
    Binding,
    Cdr,
    CdrSink,
    EndpointStatistics,
    Mode,
    PrivateNumber,
    Prompt,
    Router,
)
from softswitch.media_drivers.null import NullDriver, NullEndpoint
from softswitch.routing.dialplan import parse_dialplans
from softswitch.routing.resolve import Resolver
from softswitch.routing.trunk import NO_TRUNK, Trunk
from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account
from softswitch.sip.locating import AsGiven, Locating
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.user_agent import UserAgent
from tests.support.memory_store import MemoryStore
from tests.support.peer import Pairs, Peer
from tests.support.virtual_time import run
from tests.support.wire import Address, Wire

SWITCH: Address = ("10.0.0.1", 5060)
CALLER: Address = ("10.0.0.9", 5060)
FIRST: Address = ("10.0.0.21", 5060)
SECOND: Address = ("10.0.0.22", 5060)
CHINA = Path(__file__).resolve().parent.parent.parent / "dialplans" / "10-china.toml"
EPOCH = 1_700_000_000.0

A, B, STRANGER, FIXED = "+8613800000001", "+8613900000002", "+8613700000009", "+8675588880001"
X_AXB, X_AX, X_AXE = "+8617000000001", "+8617000000002", "+8617000000003"

DIALPLAN = """
[[trunk]]
name = "in"
host = "10.0.0.9"
sources = ["10.0.0.9/32"]

[[trunk]]
name = "first"
host = "10.0.0.21"
sources = ["10.0.0.21/32"]

[[trunk]]
name = "second"
host = "10.0.0.22"
sources = ["10.0.0.22/32"]

[[route]]
name = "all"
targets = ["first", "second"]
"""

PROMPT_LENGTHS = {
    "no_binding": 2.0,
    "no_permission": 2.0,
    "enter_extension": 2.0,
    "invalid_extension": 1.0,
    "connecting": 2.0,
    "service_fault": 2.0,
    "last_minute": 2.0,
    "powered_off": 2.0,
    "announcement": 1.5,
    "waiting": 4.0,
    "ringback": 5.0,
    "busy": 3.0,
    "congestion": 3.0,
    "callback_tone": 1.0,
    "unapproved": 1.0,
}


def sdp(host: str, port: int = 40000, *, codecs: str = "8 0 101", direction: str = "", version: int = 1) -> bytes:
    """A description of one audio stream."""
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0", f"o=- 77 {version} IN {family} {host}", "s=-",
        f"c=IN {family} {host}", "t=0 0", f"m=audio {port} RTP/AVP {codecs}",
    ]  # fmt: skip
    lines += ["a=rtpmap:101 telephone-event/8000"] if "101" in codecs.split() else []
    lines += ["a=rtpmap:111 opus/48000/2"] if "111" in codecs.split() else []
    lines += [f"a={direction}"] if direction else []
    return ("\r\n".join(lines) + "\r\n").encode()


@dataclass
class Prompts:
    """A catalogue of made-up prompts."""

    missing: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)  # names and languages

    def find(self, name: str, language: str) -> Prompt | None:
        """The prompt, unless it is among the missing."""
        self.asked.append((name, language))
        if name in self.missing or name not in PROMPT_LENGTHS:
            return None
        return Prompt(name, language, f"{name}.wav", PROMPT_LENGTHS[name], f"sha-{name}", name != "unapproved")


@dataclass
class CdrMemory:
    """CdrStore and CdrSink in lists."""

    opened: list[Cdr] = field(default_factory=list)
    closed: list[Cdr] = field(default_factory=list)
    unfinished: list[Cdr] = field(default_factory=list)
    written: list[Cdr] = field(default_factory=list)
    fail: bool = False

    async def open_attempt(self, cdr: Cdr) -> None:
        """Keep it."""
        if self.fail:
            raise StoreError("the store is away")
        self.opened.append(cdr)

    async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
        """Keep them."""
        if self.fail:
            raise StoreError("the store is away")
        self.closed += cdrs

    async def unfinished_attempts(self) -> list[Cdr]:
        """What a test put there."""
        return self.unfinished

    def write(self, cdr: Cdr) -> None:
        """Keep it."""
        if self.fail:
            raise StoreError("the disk is full")
        self.written.append(cdr)

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class CountingMetrics:
    """CallMetrics in lists."""

    ended: list[tuple[str, int, str, float | None]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    setups: list[float] = field(default_factory=list)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    qualities: list[tuple[str, float]] = field(default_factory=list)

    def call_ended(self, mode: str, direction: int, outcome: str, talk_s: float | None) -> None:
        """Count."""
        self.ended.append((mode, direction, outcome, talk_s))

    def post_dial_delay(self, seconds: float) -> None:
        """Count."""
        self.delays.append(seconds)

    def setup_time(self, seconds: float) -> None:
        """Count."""
        self.setups.append(seconds)

    def leak(self, what: str, where: str) -> None:
        """Count."""
        self.leaks.append((what, where))

    def quality(self, trunk: str, statistics: EndpointStatistics, mos: float) -> None:
        """Count."""
        self.qualities.append((trunk, mos))

    def recorded(self, size: int) -> None:
        """Count."""
        self.bytes.append(size)


class Lab:
    """The switch, its parts and its peers. Change `binding` options before the first call."""

    def __init__(
        self,
        *,
        dialplan: str = "",
        wire: Wire | None = None,
        settings: CallSettings | None = None,
        max_duration_s: int = 0,
    ) -> None:
        self.wire = wire or Wire()
        self.max_duration_s = max_duration_s  # of every call
        self.media = NullDriver(
            durations={f"{name}.wav": length for name, length in PROMPT_LENGTHS.items()}, address="10.0.0.1"
        )
        self.store = MemoryStore()
        self.prompts, self.records, self.metrics = Prompts(), CdrMemory(), CountingMetrics()
        self.settings = settings or CallSettings(identity_host=SWITCH[0], host_name="lab")
        self.limits: dict[str, Limit] = {}
        self.accounts: dict[str, Account] = {}  # by trunk
        self.dialplan = parse_dialplans({"10-china.toml": CHINA.read_text(), "lab.toml": DIALPLAN + dialplan})
        self.router: Router | None = None
        self.locating: Locating = AsGiven()
        self.user_agent = UserAgent(transport_factory=self.wire.open)
        self.crashes: list[BaseException] = []
        self.epoch: float = EPOCH  # another: the machine's clock is set
        self._fill()

    def _fill(self) -> None:
        for mode, x in ((Mode.AXB, X_AXB), (Mode.AX, X_AX), (Mode.AXE, X_AXE)):
            self.store.add_number(PrivateNumber(x, App(f"app-{mode.value}", mode)))
        self.axb = self.store.add(
            Binding(
                "axb-1", "app-AXB", Mode.AXB, X_AXB, A, B, announcement="announcement", record=True, user_data="order-7"
            )
        )
        self.ax = self.store.add(Binding("ax-1", "app-AX", Mode.AX, X_AX, A))
        self.axe = self.store.add(Binding("axe-1", "app-AXE", Mode.AXE, X_AXE, A, extension="1234"))

    def change(self, binding: Binding, **options: Any) -> Binding:
        """Replace a binding's options."""
        return self.store.add(structs.replace(binding, **options))

    async def start(self) -> None:
        """Bring everything up."""
        loop = asyncio.get_running_loop()
        self.caller, self.callee, self.second = (Peer(self.wire, at) for at in (CALLER, FIRST, SECOND))
        self.registry = CallRegistry()
        self.admission = Admission(loop.time)
        sink: CdrSink = self.records
        self.cdrs = CdrWriter(self.records, [sink])
        self._writer = asyncio.create_task(self.cdrs.run())
        self.user_agent.accept_source = lambda hop: bool(self.trunk_of(hop)) or None
        self.services = CallServices(
            user_agent=self.user_agent,
            router=self.router or self._resolver(),
            store=self.store,
            media=self.media,
            prompts=self.prompts,
            cdrs=self.cdrs,
            admission=self.admission,
            registry=self.registry,
            metrics=self.metrics,
            wall_clock=self.now,
            trunk_of=self.trunk_of,
            limits_of=lambda name: [self.limits[name]] if name in self.limits else [],
            own_hosts=frozenset({SWITCH[0]}),
            settings=self.settings,
            account_of=self.accounts.get,
            trunk=self.trunk,
            locating=self.locating,
        )
        b2bua = B2bua(self.services)
        await self.user_agent.start([SWITCH], b2bua.handle)

    def _resolver(self) -> Resolver:
        chance, longest_s = random.Random(1), self.max_duration_s
        return Resolver(self.store, lambda: self.dialplan, self.now, chance, max_duration_s=longest_s)

    async def stop(self) -> None:
        """Bring everything down; nothing may be left over."""
        await self.user_agent.stop()
        await self.cdrs.drain()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        assert self.media.endpoints == [], "media endpoints left open"
        assert len(self.registry) == 0, "calls left in the registry"

    def now(self) -> float:
        """UTC seconds, virtual."""
        return self.epoch + asyncio.get_running_loop().time()

    def trunk_of(self, hop: Hop) -> str:
        """By the dialplan's sources."""
        trunk = self.dialplan.trunk_of(hop.host, hop.port, hop.transport)
        return "" if trunk is None else trunk.name

    def trunk(self, name: str) -> Trunk:
        """By the dialplan of the moment."""
        return self.dialplan.trunks.get(name, NO_TRUNK)

    def set_trunk(self, name: str, **options: Any) -> None:
        """Change what the dialplan says of a trunk."""
        trunks = self.dialplan.trunks
        trunks = {**trunks, name: replace(trunks[name], **options)}
        self.dialplan = replace(self.dialplan, trunks=trunks)

    # Steps of a call

    def dial(
        self,
        dialled: str = X_AXB,
        *,
        by: str = A,
        body: bytes | None = None,
        headers: Pairs = (),
        via: Peer | None = None,
    ) -> SipRequest:
        """The caller's INVITE goes out."""
        phone = via or self.caller
        invite = phone.invite(
            f"sip:{dialled}@{SWITCH[0]}",
            from_=f"<sip:{by}@{phone.address[0]}>",
            headers=headers,
            body=sdp(phone.address[0]) if body is None else body,
        )
        phone.send(invite, to=SWITCH)
        return invite

    async def ring(self, at: Peer | None = None) -> SipRequest:
        """The callee gets its INVITE and rings; the caller hears so."""
        phone = at or self.callee
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        return invite

    async def pick_up(self, invite: SipRequest, at: Peer | None = None, *, body: bytes | None = None) -> None:
        """The callee answers and gets its ACK."""
        phone = at or self.callee
        phone.send(phone.response(invite, 200, body=sdp(phone.address[0], 41000) if body is None else body))
        await phone.receive("ACK")

    async def caller_answered(self, *, ignoring: tuple[int, ...] = (100, 180, 183)) -> SipResponse:
        """The caller gets its 200 and acknowledges it."""
        ok = await self.caller.receive_response(200, ignoring=ignoring)
        self.caller.send(self.caller.ack(ok))
        return ok

    async def establish(self, dialled: str = X_AXB, *, by: str = A, talk: bool = True) -> SipRequest:
        """the call up to the talk (without `talk`: to the announcement's beginning); returns the callee's INVITE."""
        self.dial(dialled, by=by)
        invite = await self.ring()
        await self.pick_up(invite)
        await self.caller_answered()
        if talk:
            await asyncio.sleep(PROMPT_LENGTHS["announcement"] + 0.1)
        return invite

    async def hang_up(self, phone: Peer | None = None, *, headers: Pairs = ()) -> None:
        """One side hangs up, the other gets its BYE and answers it."""
        one = phone or self.caller
        other = self.callee if one is self.caller else self.caller
        one.send(one.request("BYE", headers=headers))
        await one.receive(200)
        bye = await other.receive_request("BYE")
        other.send(other.response(bye, 200))

    async def answer_bye(self, phone: Peer) -> SipRequest:
        """The phone is hung up on."""
        bye = await phone.receive_request("BYE")
        phone.send(phone.response(bye, 200))
        return bye

    async def refused(self, status: int) -> SipResponse:
        """The caller's INVITE is refused with `status`; it acknowledges."""
        response = await self.caller.receive_response(status, ignoring=(100, 180, 183))
        self.caller.send(self.caller.ack(response))
        return response

    # What became of it

    async def cdr(self) -> Cdr:
        """The only call's record, once it is written."""
        for _ in range(200):
            if self.records.closed:
                break
            await asyncio.sleep(0.05)
        assert len(self.records.closed) == 1, f"{len(self.records.closed)} records"
        return self.records.closed[0]

    def endpoints(self) -> tuple[NullEndpoint, NullEndpoint]:
        """The caller's and the callee's endpoint."""
        first, second = self.media.endpoints
        return first, second

    def verbs(self, *wanted: str) -> list[str]:
        """The media commands of these kinds, in order."""
        return [verb for verb in self.media.verbs() if verb in wanted]


def play(story: Callable[[Lab], Awaitable[None]], lab: Lab | None = None, **options: Any) -> Lab:
    """Run `story` in a lab under virtual time; fails where anything is left over when it ends."""
    made = lab or Lab(**options)

    async def whole() -> None:
        await made.start()
        try:
            await story(made)
        finally:
            await made.stop()

    run(whole())
    return made
