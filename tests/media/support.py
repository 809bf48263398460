"""A media server in the test's own loop and a driver connected to it, with phones at its endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from media.engine import Settings
from media.ports import SocketOptions
from media.server import MediaServer, ServerSettings
from softswitch.interfaces import MediaEndpoint, RtpRemote
from softswitch.media_drivers.server import ServerDriver
from softswitch.media_drivers.server_objects import ServerEndpoint
from tests.media.phone import Phone, wav
from tests.support.loopback import HOST

Result = TypeVar("Result")
STALL_S = 0.01  # half a frame: two that are late by so much meet
ATTEMPTS = 10
PATIENCE_S = 40.0  # with a story; more than with what it waits for


def remote(phone: Phone, **changes: object) -> RtpRemote:
    """What a phone's SDP would say: PCMA, events as 101."""
    values: dict[str, object] = {"payload_type": 8, "telephone_event": 101, **changes}
    return RtpRemote(phone.host, phone.port, **values)  # type: ignore[arg-type]


async def obeyed(driver: ServerDriver, folder: Path) -> None:
    """Until the core has obeyed every command given: a packet sent before that may be ahead of them.

    What is played to nobody is over at once, but not before the commands that were given earlier.
    """
    nobody = ServerEndpoint(driver, 0, "nobody", "127.0.0.1", 0)
    await driver.play([nobody], [wav(folder / "nothing.wav", b"\xd5")]).finished


@dataclass(slots=True)
class Room:
    """Everything a media test needs; `folder` is removed at its end."""

    driver: ServerDriver
    folder: Path
    phones: list[Phone] = field(default_factory=list)

    async def leg(self, *, call: str = "call", ipv6: bool = False, **changes: object) -> tuple[Phone, MediaEndpoint]:
        """A phone and the endpoint it talks to."""
        endpoint = await self.driver.open_endpoint(call, ipv6=ipv6)
        phone = Phone.bind(host="::1" if ipv6 else "127.0.0.1")
        phone.ssrc += len(self.phones)
        phone.target = (endpoint.address, endpoint.port)
        self.phones.append(phone)
        endpoint.configure(remote(phone, **changes))
        await obeyed(self.driver, self.folder)
        return phone, endpoint

    async def connect(self, a: MediaEndpoint, b: MediaEndpoint, *, digits: bool = True) -> None:
        """The two are connected when it returns."""
        self.driver.connect(a, b, digits=digits)
        await obeyed(self.driver, self.folder)


@contextlib.asynccontextmanager
async def room(
    *,
    silence_s: float = 60.0,
    first_port: int = 31000,
    pairs: int = 20,
    io: str = "auto",
    nat: bool = False,
    grace_s: float = 0.0,
    workers: int = 1,
    dscp: int = 0,
    kernel: bool = False,
) -> AsyncIterator[Room]:
    """A server and a driver for the length of a block."""
    with TemporaryDirectory() as name:
        last, sockets = first_port + 2 * pairs - 1, SocketOptions(dscp)
        settings = Settings(
            HOST, first_port, last, silence_s, io, bind6="::1", workers=workers, sockets=sockets, kernel_relay=kernel
        )
        path = f"{name}/media.sock"
        server = MediaServer(ServerSettings(path, grace_s, settings))
        await server.start()
        driver = ServerDriver(path, nat=nat)
        await driver.start()
        place = Room(driver, Path(name))
        try:
            yield place
        finally:
            for phone in place.phones:
                phone.close()
            await driver.close()
            await server.stop()


def run(story: Callable[[], Awaitable[Result]]) -> Result:
    """Run a test's story to its end; again where it failed while the machine stood still: that proves nothing."""
    for attempt in range(ATTEMPTS):
        stalls: list[float] = []
        try:
            return asyncio.run(_watched(story, stalls))
        except Exception as error:
            if not stalls or attempt == ATTEMPTS - 1:
                raise
            let_go(error)
    raise AssertionError("unreachable")


def let_go(failure: BaseException) -> None:
    """End what a story left open that broke off: to leave something is no fault of one that is told again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        failures: list[BaseException | None] = [failure]
        for one in failures:  # it grows
            if one is not None:
                failures += [one.__context__, one.__cause__]
                one.__traceback__ = one.__context__ = one.__cause__ = None  # the frames, and all that they know
        gc.collect()


def files_open_in(folder: Path) -> list[str]:
    """Those that this process has open: a count of all descriptors changes with whatever a test before left behind."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            opened.append(str(descriptor.readlink()))
    return [path for path in opened if path.startswith(f"{folder}/")]


def anew(folder: Path) -> Path:
    """A folder in `folder` where no attempt before has left anything."""
    made = folder / str(len(list(folder.iterdir())))
    made.mkdir()
    return made


async def _watched(story: Callable[[], Awaitable[Result]], stalls: list[float]) -> Result:
    watch = asyncio.create_task(_watch_for_stalls(stalls))
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await story()
    finally:
        watch.cancel()


async def _watch_for_stalls(stalls: list[float]) -> None:
    """Note how late the loop's timers are and how long threads wait for a processor, where it is more than a stall."""
    loop = asyncio.get_running_loop()
    waited_s = _waited_for_a_processor_s()
    while True:
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        stall = max(loop.time() - due, _waited_for_a_processor_s() - waited_s)
        if stall > STALL_S:
            stalls.append(stall)


def _waited_for_a_processor_s() -> float:
    """Seconds that this process's threads, the media core's among them, could have run and did not; 0 where unknown."""
    waited_ns = 0
    for schedstat in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            waited_ns += int(schedstat.read_text().split()[1])
    return waited_ns / 1e9
