"""The B2BUAs that bench_calls.py loads, each started on loopback and ended again: this switch and Sippy.

Sippy's `b2bua` takes every call to one static route, without RADIUS and accounting, and logs as it does when nothing is
set. This switch does its whole work: binding look-up, CDRs to SQLite and JSON lines, a log line for each call event,
metrics.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import LOOPBACK, SwitchProcess, free_port, wait_until
from tests.bench.cpu import children, cpu_seconds, tree_seconds

DIALLED = "17000000001"
CALLER = "13800000001"
CALLEE = "13900000002"
RTP_PORTS = "20000-27999"
MADE_UP_PORTS = "10000-59999"  # those of no media at all cost nothing


@dataclass(frozen=True, slots=True)
class Subject:
    """A running B2BUA that takes calls on `port` and passes them to `callee_port`."""

    name: str
    port: int
    callee_port: int
    pid: int
    retransmissions: Callable[[], float] = float  # its own count, where it has one
    metric: Callable[[str], float] = lambda name: 0.0  # one of its metrics, by name

    def signalling_s(self) -> float:
        """CPU seconds so far of the signalling process alone."""
        return cpu_seconds(self.pid)

    def media_pids(self) -> list[int]:
        """The media server beside it, if any."""
        return children(self.pid)

    def total_s(self) -> float:
        """CPU seconds so far, media server included."""
        return tree_seconds(self.pid)

    @property
    def has_media(self) -> bool:
        """Whether a media server runs beside it."""
        return bool(self.media_pids())


def lab_dialplan(callee_port: int) -> str:
    """Calls come from anywhere on this machine and go to `callee_port`."""
    return (
        f'[[trunk]]\nname = "in"\nhost = "{LOOPBACK}"\nport = 9\nsources = ["{LOOPBACK}/32"]\n\n'
        f'[[trunk]]\nname = "out"\nhost = "{LOOPBACK}"\nport = {callee_port}\n\n'
        '[[route]]\nname = "all"\ntargets = ["out"]\n'
    )


@contextmanager
def our_switch(folder: Path, *, media: bool, max_lag_s: float = 0.05) -> Iterator[Subject]:
    """This switch with one AXB binding, its media server beside it or no media at all; `max_lag_s` 0: no guard."""
    callee_port = free_port()
    settings: dict[str, dict[str, object]] = {
        "media": {
            "driver": "server" if media else "null",
            "ports": RTP_PORTS if media else MADE_UP_PORTS,
            "silence_s": 3600,
        },
        "limits": {"max_calls": 20000, "max_lag_s": max_lag_s},
        "log": {"format": "json"},
        "store": {
            "url": f"sqlite:///{folder.resolve() / 'softswitch.db'}",
            "cache_mb": 4,
        },  # full after some hundred calls
    }
    switch = SwitchProcess(folder, dialplan=lab_dialplan(callee_port), settings=settings)
    switch.cli("number", "add", DIALLED, "--app", "bench", "--mode", "AXB")
    switch.cli("bind", "axb", DIALLED, CALLER, CALLEE)
    name = "softswitch with media server" if media else "softswitch, null media"
    with switch:
        counted = lambda: switch.metric("softswitch_sip_retransmissions_total")  # noqa: E731 - two words long
        yield Subject(name, switch.sip_port, callee_port, switch.pid, counted, switch.metric)


@contextmanager
def sippy(folder: Path) -> Iterator[Subject]:
    """Sippy B2BUA, routing statically."""
    folder.mkdir(parents=True, exist_ok=True)
    port, callee_port = free_port(), free_port()
    route = f"--static_route={LOOPBACK}:{callee_port}"
    address = (f"--sip_address={LOOPBACK}", f"--sip_port={port}", f"--b2bua_socket=unix:{folder / 'b2bua.sock'}")
    process = subprocess.Popen(
        [str(sippy_program()), "-f", *address, route, "--auth_enable=off", "--acct_enable=off"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "sippy.log").open("wb"),
    )
    try:
        if not wait_until(lambda: _bound(port), 10):
            raise RuntimeError(f"Sippy does not listen: {(folder / 'sippy.log').read_text()[-500:]}")
        yield Subject(f"Sippy B2BUA {importlib.metadata.version('sippy')}", port, callee_port, process.pid)
    finally:
        process.kill()  # it takes no SIGTERM while it serves
        process.wait()


def sippy_program() -> Path | None:
    """Sippy's `b2bua` beside this Python, None where the extra `bench` is not installed."""
    found = shutil.which("b2bua_radius", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


def _bound(port: int) -> bool:
    return f":{port:04X} " in Path("/proc/net/udp").read_text(encoding="ascii")
