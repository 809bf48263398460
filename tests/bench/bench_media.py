"""Relayed packets per CPU second of our media server beside rtpengine under the same RTP load, in one run.

`python -m tests.bench.bench_media [--calls 200] [--seconds 10] [--only NAME]`. Both run on loopback, in turn. CPU is
the process's own user and system time (/proc/<pid>/stat) while the load runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from softswitch.interfaces import RtpRemote
from softswitch.media_drivers.server import ServerDriver

PHONES_FROM = 10000  # all below the ports that other programs get by chance
SERVER_FROM = 15000
RTPENGINE_FROM = 22400
NG_PORT = 22333
PCMU, PCMA = 0, 8


@dataclass(frozen=True, slots=True)
class Rig:
    """A relay under test: its process, and per phone the local and the target port and the payload type."""

    pid: int
    phones: list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Result:
    """What one run showed."""

    name: str
    packets: int
    lost: int
    cpu_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def cost_us(self) -> float:
        """CPU microseconds a relayed packet."""
        return self.cpu_s * 1e6 / max(self.packets, 1)


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid` with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compile_load(folder: str, name: str = "rtp_load") -> str:
    """The path of the load generator, or of the program that has another `name`."""
    source = Path(__file__).with_name(f"{name}.c")
    target = f"{folder}/{name}"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", target, str(source)], check=True)
    return target


def floor_us() -> float:
    """CPU microseconds that the kernel takes to receive a packet and to send it on: the best of three."""
    with TemporaryDirectory() as folder:
        program = compile_load(folder, "udp_floor")
        return min(float(subprocess.run([program], capture_output=True, check=True).stdout) for _ in range(3))


# Our media server


@contextlib.asynccontextmanager
async def our_server(
    calls: int, folder: str, *, io: str = "auto", record: bool = False, convert: bool = False
) -> AsyncIterator[Rig]:
    """`calls` connected pairs of endpoints; `convert`: PCMA on one side, PCMU on the other."""
    path = f"{folder}/media-{io}.sock"
    arguments = ("--socket", path, "--ports", f"{SERVER_FROM}-{SERVER_FROM + 4 * calls + 99}", "--io", io)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "media", *arguments)
    driver = ServerDriver(path)
    try:
        await driver.start()
        phones = [await _our_call(driver, call, folder, record, convert) for call in range(calls)]
        yield Rig(process.pid, [phone for pair in phones for phone in pair])
        recordings = list(driver.recordings.values())
        for recording in recordings:
            recording.close()
        reports = [await recording.finished for recording in recordings]
        if any(report.truncated for report in reports):
            raise RuntimeError("a recording was truncated")
    finally:
        await driver.close()
        process.terminate()
        await process.wait()


async def _our_call(
    driver: ServerDriver, call: int, folder: str, record: bool, convert: bool
) -> list[tuple[int, int, int]]:
    endpoints = [await driver.open_endpoint(f"bench-{call}") for _ in range(2)]
    phones = []
    for side, endpoint in enumerate(endpoints):
        local = PHONES_FROM + 4 * call + 2 * side
        payload_type = PCMU if convert and side else PCMA
        endpoint.configure(RtpRemote("127.0.0.1", local, payload_type, 101))
        phones.append((local, endpoint.port, payload_type))
    driver.connect(*endpoints)
    if record:
        driver.record(f"{folder}/recordings/{call}.wav", *endpoints).voices()
    return phones


# rtpengine


def _bencode(value: object) -> bytes:
    if isinstance(value, dict):
        return b"d" + b"".join(_bencode(key) + _bencode(value[key]) for key in sorted(value)) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(_bencode(one) for one in value) + b"e"
    text = str(value).encode()
    return str(len(text)).encode() + b":" + text


def _offered_port(reply: bytes) -> int:
    if b"m=audio " not in reply:
        raise RuntimeError(f"rtpengine says {reply!r}")
    return int(reply.split(b"m=audio ")[1].split()[0])


def _sdp(port: int, payload_type: int = PCMA) -> str:
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        f"m=audio {port} RTP/AVP {payload_type}",
        f"a=rtpmap:{payload_type} {'PCMU' if payload_type == PCMU else 'PCMA'}/8000",
        "",
    )
    return "\r\n".join(lines)


def _ng(control: socket.socket, cookie: str, **command: object) -> bytes:
    request = {key.replace("_", "-"): value for key, value in command.items()} | {"ICE": "remove"}
    for _ in range(20):
        control.sendto(f"{cookie} ".encode() + _bencode(request), ("127.0.0.1", NG_PORT))
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            return control.recv(65536)
    raise RuntimeError("rtpengine does not answer")


def _rtpengine_call(control: socket.socket, call: int, convert: bool) -> list[tuple[int, int, int]]:
    caller, callee = PHONES_FROM + 4 * call, PHONES_FROM + 4 * call + 2
    name = f"bench-{call}"
    theirs = PCMU if convert else PCMA
    options = {"codec": {"mask": ["PCMA"], "transcode": ["PCMU"]}} if convert else {}
    offered = _ng(control, f"o{call}", command="offer", call_id=name, from_tag="a", sdp=_sdp(caller), **options)
    answer = _sdp(callee, theirs)
    answered = _ng(control, f"a{call}", command="answer", call_id=name, from_tag="a", to_tag="b", sdp=answer)
    return [(caller, _offered_port(answered), PCMA), (callee, _offered_port(offered), theirs)]


@contextlib.asynccontextmanager
async def rtpengine(calls: int, *, convert: bool = False) -> AsyncIterator[Rig]:
    """`calls` calls by offer and answer; packets are relayed in user space (--table=-1)."""
    ports = ("--port-min", str(RTPENGINE_FROM), "--port-max", str(RTPENGINE_FROM + 4 * calls + 999))
    arguments = ("--foreground", "--table=-1", "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{NG_PORT}", *ports)
    process = await asyncio.create_subprocess_exec(
        "rtpengine", *arguments, "--log-level=3", "--log-stderr", stderr=subprocess.DEVNULL
    )
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    control.settimeout(0.5)
    try:
        yield Rig(process.pid, [phone for call in range(calls) for phone in _rtpengine_call(control, call, convert)])
    finally:
        control.close()
        process.terminate()
        await process.wait()


# The run


async def measure(name: str, rig: AbstractAsyncContextManager[Rig], load: str, seconds: float) -> Result:
    """Load `rig` for `seconds`."""
    async with rig as relay:
        lines = "".join(f"{local} {target} {payload_type}\n" for local, target, payload_type in relay.phones)
        generator = await asyncio.create_subprocess_exec(
            load, str(seconds), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        before = cpu_seconds(relay.pid)
        output, _ = await generator.communicate(lines.encode())
        cpu = cpu_seconds(relay.pid) - before
    if generator.returncode:
        raise RuntimeError("the load generator failed: a port of its is taken")
    figures = json.loads(output)
    lost = figures["sent"] - figures["received"]
    return Result(name, figures["received"], lost, cpu, *(figures[key] for key in ("p50_ms", "p99_ms", "p999_ms")))


def tell(results: list[Result], calls: int, seconds: float) -> None:
    """Print the table and the ratios."""
    print(f"{calls} calls, 50 packets/s each way, {seconds:g} s")
    print(f"{'relay':<24}{'packets':>10}{'lost':>7}{'CPU s':>8}{'µs/packet':>11}{'p50 ms':>8}{'p99 ms':>8}{'p99.9':>8}")
    for result in results:
        print(
            f"{result.name:<24}{result.packets:>10}{result.lost:>7}{result.cpu_s:>8.2f}{result.cost_us:>11.2f}"
            f"{result.p50_ms:>8.2f}{result.p99_ms:>8.2f}{result.p999_ms:>8.2f}"
        )
    costs = {result.name: result.cost_us for result in results}
    theirs = costs.get("rtpengine")
    for name, cost in costs.items():
        if theirs and not name.startswith("rtpengine") and cost:
            print(f"{name}: {theirs / cost:.1f} times rtpengine's packets per CPU second")


async def run(calls: int, seconds: float, only: str | None) -> list[Result]:
    """All relays in turn."""
    with TemporaryDirectory() as folder:
        load = compile_load(folder)
        rigs: dict[str, Callable[[], AbstractAsyncContextManager[Rig]]] = {
            "softswitch media epoll": lambda: our_server(calls, folder, io="epoll"),
            "softswitch media": lambda: our_server(calls, folder),
            "softswitch recording": lambda: our_server(calls, folder, record=True),
            "softswitch converting": lambda: our_server(calls, folder, convert=True),
        }
        if shutil.which("rtpengine"):
            rigs["rtpengine"] = lambda: rtpengine(calls)
            rigs["rtpengine converting"] = lambda: rtpengine(calls, convert=True)
        results = []
        for name, rig in rigs.items():
            if only is None or only in name:
                results.append(await measure(name, rig(), load, seconds))
        return results


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", help="only relays whose name holds this text")
    values = parser.parse_args()
    tell(asyncio.run(run(values.calls, values.seconds, values.only)), values.calls, values.seconds)
    print(f"recvfrom and sendto of one packet: {floor_us():.2f} µs")


if __name__ == "__main__":
    main()
