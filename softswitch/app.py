"""The composition root: builds every part from the configuration, starts, drains and stops them.

Called by serving.py and by tests. The only module that knows concrete stores, media drivers and sinks.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import structlog
import uvicorn

from media.disk import DiskThreads
from softswitch import parts
from softswitch.api.bans import ban_router
from softswitch.api.operations import OperationsServer, operations_app
from softswitch.api.tracing import trace_router
from softswitch.api.trunks import TrunkReport, trunk_router
from softswitch.background import Background
from softswitch.call.admission import Admission, Limit
from softswitch.call.b2bua import B2bua
from softswitch.call.cdr import CdrWriter
from softswitch.call.registry import CallRegistry
from softswitch.call.services import CallServices
from softswitch.cdr_sinks.jsonl import JsonLines
from softswitch.config import Config, split_address
from softswitch.errors import ConfigError, StoreError
from softswitch.filing import Filing
from softswitch.interconnect.proof import Proof
from softswitch.interconnect.upkeep import Upkeep, account_of
from softswitch.interconnect.whereabouts import Whereabouts
from softswitch.interfaces import Cdr, CdrSink, Prompt, RecordingReport
from softswitch.logs import lines_lost
from softswitch.media_drivers.server import ServerDriver
from softswitch.metrics import Metrics
from softswitch.prompts import Prompts, load_catalogue
from softswitch.reloading import Reloading
from softswitch.repair import mend_recordings, recording_of
from softswitch.retention import Retention, sweep
from softswitch.routing.dialplan import Dialplan, load_dialplans
from softswitch.routing.resolve import Resolver
from softswitch.routing.trunk import NO_TRUNK, Trunk
from softswitch.sip.addresses import Hop, Listener, bracketed
from softswitch.sip.digest_server import Challenger
from softswitch.sip.locating import ANY
from softswitch.sip.message import SipRequest
from softswitch.sip.overload import Overload
from softswitch.sip.server_session import ServerSession
from softswitch.sip.tls import Tls
from softswitch.sip.user_agent import Account
from softswitch.stores.alone import StoreLock
from softswitch.stores.life import SignsOfLife
from softswitch.stores.sqlite import SqliteStore, app_keys, open_sqlite
from softswitch.tracing.trace import Trace, TraceLimits, Wanted

SWEEP_EVERY_S = 3600.0
EXPIRE_EVERY_S = 15.0  # traces
SIGN_EVERY_S = 1.0
SETTLE_S = 1.0  # what is done to files when the switch stops: a disk that stands still is not waited for
MARKED_WITHIN_S = 5.0  # how far the CDR file has all; what is not marked the next start looks up

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Switch:
    """One running switch, alone with its store from the first. Making and starting it raise ConfigError, StoreError or
    MediaError with the place and the reason.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.dialplan: Dialplan = self._load_dialplan()
        self.prompts = self._load_prompts()
        self.metrics = Metrics()
        self._background = Background()
        self._spawn = self._background.spawn
        self.registry = CallRegistry()
        self.admission = Admission(time.monotonic, int(config.limits.retry_after_s))
        self.connections: Counter[str] = Counter()  # what happened to TCP and TLS connections
        self.tls = Tls(parts.tls_files(config.sip))
        self.overload = Overload(parts.overload_limits(config), lambda: len(self.registry))
        transports = parts.transports(config.sip, self.tls, self.connections, self._welcome, self._room_for)
        self.user_agent = parts.user_agent(config.sip, transports, self.overload)
        self.user_agent.waited = lambda: self.metrics.store_s
        self.listeners = [Listener(one.host, one.port, one.transport, *one[3:]) for one in config.sip.listeners]
        self.locator = parts.locator(config.sip)
        self.whereabouts = Whereabouts(lambda: self.dialplan, self.locator.known)
        self.user_agent.addresses_of, self.user_agent.address_failed = self.locator.known, self.locator.failed
        if config.sip.tls_clients != "none":  # else nobody is asked for one
            self.tls.admits = self.whereabouts.admits
        self.upkeep = Upkeep(self.user_agent, random.random, self.locator, self._spawn)
        self.media_process, self.media = parts.media_parts(config)
        self.sip_addresses: list[tuple[str, int]] = []
        self.trace, self.hep = self._tracing(), parts.hep_export(config)
        self._stopping = asyncio.Event()
        self._disk, self._leaves_files = DiskThreads(), threading.Event()
        self._reloading = Reloading(self._disk, self._read_files, self._take_files, self._refuse_files)
        self._http: OperationsServer | None = None
        sinks = self._sinks()
        self._alone, self.store = self._open_store()  # last: nothing that fails behind it leaves the lock behind
        self.cdrs = CdrWriter(self.store, sinks)
        self._signs = SignsOfLife(config.store.path)
        self.filing = Filing(self.store, self.sink, self.cdrs, lambda left: self._spawn("crash", self._close(left)))

    def _open_store(self) -> tuple[StoreLock, SqliteStore]:
        """Alone first: opening may migrate the file, which must not happen below a switch that works with it."""
        store = self.config.store
        alone = StoreLock(store.path)
        try:
            observe = self.metrics.store_latency
            return alone, open_sqlite(store.path, observe=observe, cache_mb=store.cache_mb, alone=True)
        except StoreError:
            alone.close()
            raise

    def _load_prompts(self) -> Prompts:
        settings = self.config.prompts
        return load_catalogue(settings.directory, settings.language, settings.tones)

    def _load_dialplan(self) -> Dialplan:
        """The dialplan; raises ConfigError also for a trunk that none of our listeners could reach."""
        dialplan = load_dialplans(self.config.dialplan.directory)
        local = parts.local_addresses(self.config.sip)
        for trunk in dialplan.trunks.values():
            if trunk.transport != ANY and local.listener_for(Hop(trunk.transport, trunk.host, trunk.port)) is None:
                wanted = f"{trunk.transport}:{'[IPv6]' if ':' in trunk.host else 'host'}:port"
                raise ConfigError("sip.listen", f"trunk '{trunk.name}' at {trunk.host} needs an entry {wanted}")
        return dialplan

    def _sinks(self) -> list[CdrSink]:
        self.sink = JsonLines(self.config.cdr.file) if self.config.cdr.file else None
        return [] if self.sink is None else [self.sink]

    # What the parts ask for

    def find(self, name: str, language: str) -> Prompt | None:
        """PromptCatalogue: by whatever catalogue is loaded now."""
        return self.prompts.find(name, language)

    def limits_of(self, name: str) -> list[Limit]:
        """The limits of a trunk."""
        trunk = self.trunk(name)
        return [Limit(("trunk", name), trunk.max_calls, trunk.calls_per_second, metered=True)]

    def _own_host(self) -> str:
        """The host part of our own identities."""
        return self.listeners[0].advertised_host or self.sip_addresses[0][0]

    def account_of(self, name: str) -> Account | None:
        """Who we are to a trunk."""
        return account_of(self.trunk(name))

    def trunk(self, name: str) -> Trunk:
        """What the dialplan in use says of a trunk."""
        return self.dialplan.trunks.get(name, NO_TRUNK)

    def _accept_source(self, hop: Hop) -> bool | None:
        if self.whereabouts.trunk_of(hop):
            return True
        return False if self.config.sip.unknown_source == "refuse" else None

    def _welcome(self, hop: Hop) -> bool:
        return self.user_agent.welcome(hop)

    def _room_for(self, hop: Hop) -> float:
        return self.user_agent.room_for(hop)

    def _on_options(self, request: SipRequest, source: Hop) -> int:
        return 503 if self.admission.draining else 200

    def _tracing(self) -> Trace:
        def attach(on: bool) -> None:
            self.user_agent.tap = self.trace.note if on else None

        return Trace(
            time.time,
            attach=attach,
            local_address=lambda listener: self.sip_addresses[listener],
            trunk_of=self.whereabouts.trunk_at,
            call_id_of=self._call_id_of,
            chance=random.random,
            limits=TraceLimits(self.config.trace.memory_mb << 20, self.config.trace.keep_s),
        )

    def _call_id_of(self, leg: str) -> str:
        """Our id of the live call whose caller's leg has this SIP Call-ID; empty where there is none."""
        found = (one.call_id for one in self.registry if one.a is not None and one.a.session.sip_call_id == leg)
        return next(found, "")

    async def _trace(self) -> None:
        """Begin what is to be traced from the start, and forget what is over."""
        if self.hep is not None:
            self.trace.on_message = self.hep.offer
            self._spawn("hep", self.hep.run())
        if self.config.trace.enabled:
            self.trace.want(Wanted(ratio=self.config.trace.ratio))
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            self.trace.expire()

    def _services(self) -> CallServices:
        config, upkeep, longest_s = self.config, self.upkeep, self.config.call.max_duration_s
        resolver = Resolver(
            self.store, lambda: self.dialplan, time.time, random.Random(), health=upkeep, max_duration_s=longest_s
        )
        hosts = {host for host, _ in self.sip_addresses} | {one.advertised_host for one in self.listeners}
        hosts |= {config.sip.advertised, config.media.bind, config.media.advertised}
        hosts |= {config.media.bind6, config.media.advertised6}
        return CallServices(
            user_agent=self.user_agent,
            router=resolver,
            store=self.store,
            media=self.media,
            prompts=self,
            cdrs=self.cdrs,
            admission=self.admission,
            registry=self.registry,
            metrics=self.metrics,
            wall_clock=time.time,
            trunk_of=self.whereabouts.trunk_of,
            limits_of=self.limits_of,
            account_of=self.account_of,
            trunk=self.trunk,
            locating=self.locator,
            own_hosts=frozenset(hosts - {""}),
            settings=parts.call_settings(config, self._own_host()),
        )

    def _handle(self, session: ServerSession) -> Coroutine[Any, Any, None]:
        self.trace.work_for(session.sip_call_id)
        return self._b2bua.handle(session)

    # Start, drain, stop

    async def start(self) -> None:
        """Open everything; when it returns, calls are taken."""
        self.locator.follow(_places(self.dialplan))
        if self.media_process is not None:
            parts.check_media_addresses(self.config.media)
            await self.media_process.start()
        if isinstance(self.media, ServerDriver):
            await self.media.start()
        parts.check_codecs(self.dialplan, self.media.codecs)
        self._tell_of_srtp()
        self._spawn("cdrs", self.cdrs.run())
        left_open = await self.filing.begin(await self.cdrs.left_open())
        self._spawn("cdr file", self.filing.run())
        self._spawn("signs of life", self._live())  # the first sign comes before the first call
        self.user_agent.accept_source = self._accept_source
        self.user_agent.authenticate = self._proof = Proof(
            lambda hop: self.trunk(self.whereabouts.trunk_of(hop)),
            Challenger(secrets.token_bytes(32), lambda: secrets.token_urlsafe(3)),
            lambda trunk, verdict: self.metrics.digest.labels(trunk, verdict).inc(),
            ban=lambda source: self.user_agent.shut_out(source, "password"),
            ban_after=self.config.sip.digest_ban_after,
        )
        self._doubt_who_owes_a_password()
        try:
            self.sip_addresses = await self.user_agent.start(self.listeners, self._handle, on_options=self._on_options)
        except OSError as error:
            raise ConfigError("sip.listen", f"cannot listen on {', '.join(self.config.sip.listen)}: {error}") from error
        self._b2bua = B2bua(self._services())  # wants to know the addresses; no INVITE is read before we wait again
        self._measure()
        self._spawn("recordings", self._sweep(left_open))
        self._spawn("traces", self._trace())
        self.upkeep.follow(self.dialplan.trunks, self._own_host())
        await self._serve_operations()
        bound = zip(self.listeners, self.sip_addresses, strict=True)
        self._reloading.begin()
        log.info("started", sip=[f"{one.transport}:{bracketed(host)}:{port}" for one, (host, port) in bound])

    def _tell_of_srtp(self) -> None:
        """Calls of trunks that require what the media server lacks are refused: better known now than by the first."""
        for trunk in self.dialplan.trunks.values():
            if trunk.lacks_srtp(self.media.srtp):
                log.error("srtp_unavailable", trunk=trunk.name, srtp=trunk.srtp, media=list(self.media.srtp))
            if trunk.keys_in_clear:
                log.warning("srtp_keys_in_clear", trunk=trunk.name, transport=trunk.transport)

    def _doubt_who_owes_a_password(self) -> None:
        """The entrance asks of every message that comes, so only where some trunk must prove anything."""
        proving = any(trunk.auth == "digest" for trunk in self.dialplan.trunks.values())
        self.user_agent.entrance.unproved = self._proof.unproved if proving else None

    def _measure(self) -> None:
        metrics = self.metrics
        metrics.sip(lambda: self.user_agent.counts, lambda: self.user_agent.retransmissions)
        metrics.connections(lambda: self.connections)
        metrics.cdrs(lambda: self.cdrs.refused)
        metrics.locating(lambda: self.locator.counts)
        metrics.gauge("sip_penalised_addresses", "Addresses used last", lambda: len(self.locator.penalties))
        metrics.turned_away(lambda: self.user_agent.entrance.counts)
        metrics.gauge("sip_banned_sources", "Sources that get no answer", lambda: len(self.user_agent.bans()))
        metrics.gauge("trace_bytes", "Memory that traces take", lambda: self.trace.size)
        metrics.gauge("event_loop_lag_seconds", "How late the event loop is", lambda: self.overload.lag_s)
        metrics.gauge("log_lines_lost", "Log lines that could not be written", lines_lost)
        media = self.media
        if isinstance(media, ServerDriver):
            metrics.media(lambda: msgspec.structs.asdict(media.totals), lambda: media.ways)
        metrics.trunks(
            self.upkeep.states.all,
            self.upkeep.registered,
            lambda: {one.name: one.calls for one in self._trunk_reports()},
            lambda: {one.name: one.full for one in self._trunk_reports()},
        )
        metrics.held(lambda: {**self.user_agent.held, "endpoints": len(self.media.endpoints)})
        metrics.gauge("memory_blocks", "Memory blocks of Python objects", sys.getallocatedblocks)
        metrics.gauge("active_calls", "Calls that are up", lambda: len(self.registry))
        metrics.gauge("media_up", "1 while the media server is connected", lambda: float(self.media.up))
        metrics.gauge("draining", "1 while no new calls are taken", lambda: float(self.admission.draining))

    def _trunk_reports(self) -> list[TrunkReport]:
        up, registered = self.upkeep.states.all(), self.upkeep.registered()
        return [
            TrunkReport(
                *(one.name, one.transport, one.host, one.port, up.get(one.name), registered.get(one.name)),
                *(self.admission.active(("trunk", one.name)), one.max_calls, one.calls_per_second),
                self.admission.refused[("trunk", one.name)],
            )
            for one in self.dialplan.trunks.values()
        ]

    async def _serve_operations(self) -> None:
        sock = self._operations_socket()
        mask, agent = self.config.log.mask_numbers, self.user_agent
        app = operations_app(self.metrics.registry, self.registry, self.checks, mask=mask)
        app.include_router(ban_router(agent.bans, agent.shut_out, agent.lift_ban))
        app.include_router(trunk_router(self._trunk_reports))
        app.include_router(trace_router(self.trace, None if self.hep is None else self.hep.counts))
        self._http = OperationsServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        self._http_task = asyncio.create_task(self._http.serve(sockets=[sock]))
        while not self._http.started and not self._http_task.done():
            await asyncio.wait([self._http_task], timeout=0.01)

    def _operations_socket(self) -> socket.socket:
        """Where uvicorn is to listen: it would end the process, nothing tidied up, where it can't open that itself."""
        host, port = split_address(self.config.ops.listen)
        try:
            return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise ConfigError("ops.listen", f"cannot listen on {self.config.ops.listen}: {error}") from error

    @property
    def operations_address(self) -> tuple[str, int]:
        """Where the operations interface listens."""
        assert self._http is not None
        host, port = self._http.servers[0].sockets[0].getsockname()[:2]
        return host, port

    def checks(self) -> Mapping[str, bool]:
        """What must hold for new calls to be welcome."""
        return {
            "sip": bool(self.sip_addresses),
            "media": self.media.up,
            "store": self.store.healthy(),
            "tasks": self._background.whole,
            "accepting": not self.admission.draining,
        }

    def reload(self) -> asyncio.Task[None]:
        """Read dialplans, prompts and certificates again, as soon as the switch has started; either all are new or all
        stay. What is done when that is.
        """
        return self._reloading.ask()

    def _read_files(self) -> tuple[Dialplan, Prompts, Tls]:
        return self._load_dialplan(), self._load_prompts(), Tls(parts.tls_files(self.config.sip))

    def _take_files(self, files: tuple[Dialplan, Prompts, Tls]) -> None:
        dialplan, prompts, tls = files
        parts.check_codecs(dialplan, self.media.codecs)
        self.dialplan, self.prompts = dialplan, prompts
        self.tls.follow(tls)
        self.locator.follow(_places(dialplan))
        self._tell_of_srtp()
        self._doubt_who_owes_a_password()
        self.upkeep.follow(dialplan.trunks, self._own_host())
        self.metrics.reloads.labels("done").inc()
        log.info("reloaded", trunks=len(dialplan.trunks))

    def _refuse_files(self, error: Exception) -> None:
        self.metrics.reloads.labels("refused").inc()
        trouble = {} if isinstance(error, ConfigError) else {"exc_info": error}
        log.error("reload_refused", error=str(error), kept="the plan in use", **trouble)

    def terminate(self) -> None:
        """First time: drain. Second time: stop at once."""
        if self.admission.draining:
            self._stopping.set()
        elif not self._stopping.is_set():
            self.admission.draining = True
            log.info("draining", calls=len(self.registry), seconds=self.config.call.drain_s)
            self._spawn("drain", self._drain())

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.call.drain_s):
                await self.registry.wait_empty()
        self._stopping.set()

    async def wait_stopped(self) -> None:
        """Return when it is time to stop."""
        await self._stopping.wait()

    async def stop(self) -> None:
        """Hang up what is left, write every CDR, close everything."""
        self.admission.draining = True
        self._reloading.end()
        self._leaves_files.set()
        await self.upkeep.stop()
        await self.locator.stop()
        await self.user_agent.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await self.cdrs.drain()
        if self._http is not None:
            self._http.should_exit = True
            await self._http_task
        if isinstance(self.media, ServerDriver):
            await self.media.close()
        if self.media_process is not None:
            await self.media_process.stop()
        await self._background.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MARKED_WITHIN_S):
                await self.filing.mark()
        await self._disk.settle(SETTLE_S)
        if self.sink is not None:
            self.sink.close()
        self.store.close()
        self._alone.close()
        log.info("stopped")

    async def _live(self) -> None:
        while True:
            self.store.healthy()  # it tells of itself
            with contextlib.suppress(RuntimeError):  # no thread is to be had: the next sign may be given
                await self._disk.do("signs", lambda: self._signs.note(time.time(), time.monotonic()))
            await asyncio.sleep(SIGN_EVERY_S)

    async def _recording_of(self, cdr: Cdr) -> RecordingReport | None:
        place = self.config.recording.directory, cdr.app_key
        return await self._with_recordings(lambda: recording_of(*place, cdr.call_id, cdr.call_in_at), None)

    async def _with_recordings(self, work: Callable[[], T], otherwise: T) -> T:
        """What `work` returns; `otherwise` where their file system fails or no thread is to be had."""
        try:
            return await self._disk.do("recordings", work)
        except (OSError, RuntimeError) as error:
            log.error("recordings_out_of_reach", error=str(error))
            return otherwise

    async def _sweep(self, left_open: Sequence[Cdr]) -> None:
        """What a crash left behind first, each recording by its call before the rest; then what is too old."""
        directory, left = self.config.recording.directory, self._leaves_files.is_set
        await self._close(left_open)
        mended = await self._with_recordings(lambda: mend_recordings(directory, time.time(), left), 0)
        self.metrics.mended.inc(mended)
        while True:
            await self._with_recordings(lambda: sweep(directory, self._retention(), time.time(), left), 0)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _close(self, left_open: Sequence[Cdr]) -> None:
        now = time.time()
        await self.cdrs.recover(left_open, self._recording_of, lambda begun: min(self._signs.last_sign(begun), now))
        if left_open:
            log.warning("cdrs_recovered", count=len(left_open))

    def _retention(self) -> Retention:
        """How long recordings are kept by now; waits for the store, not for the event loop's thread."""
        own = self.dialplan.recording_keep_days
        try:
            apps = app_keys(self.config.store.path)
        except StoreError as error:
            log.error("apps_not_read", error=str(error))
            apps = []  # nothing is deleted early for that
        else:
            if missing := sorted(own.keys() - set(apps)):
                log.warning("apps_not_there", apps=missing)
        return Retention(self.config.recording.keep_days, own, apps)


def _places(dialplan: Dialplan) -> list[Hop]:
    return [Hop(one.transport, one.host, one.port) for one in dialplan.trunks.values()]
