"""Our media server beside rtpengine under the same RTP load, in one run: CPU a relayed packet, loss, latency.

`python -m tests.bench.bench_media [--calls 100 500 1000] [--seconds 10] [--only NAME] [--codecs]`. All run on loopback,
in turn: plain (by one thread, by one a processor), recorded and converting (PCMA and PCMU); with `--codecs` in place
of these plain, G.722 and Opus that pass or become PCMA, and SRTP, all ours. CPU is the process's own user and system
time (/proc/<pid>/stat) while the load runs; "whole" adds that of the load generator and of the kernel's threads, for on
loopback the sender pays for what the kernel does with a packet: what a relay adds to "no relay" (first and last, for
the machine's speed drifts) is what it costs the machine, and the only fair figure of one that passes packets on inside
the kernel. Latency is from one phone to the other's socket, "no relay" tells what it is without any. "load late" is how
late the load generator was with its own steps (p99): then it sends in bursts. rtpengine in user space records by
writing the packets as they come (`--recording-method=pcap`); it mixes nothing.
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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from media import _native
from softswitch.media_drivers.server import ServerDriver
from tests.bench.cpu import GENERATOR, SUBJECT, cpu_seconds, ended_seconds, interrupt_seconds, pin
from tests.bench.programs import CODECS, SRTP, compiled, floor_us
from tests.bench.report import Figure, show
from tests.bench.spoken import PLAIN, Way, Ways, coded

PHONES_FROM = 10000  # all below the ports that other programs get by chance
SERVER_FROM = 15000
RTPENGINE_FROM = 22400
NG_PORT = 22333
PCMU, PCMA = 0, 8
CALLS = 100, 500, 1000
CODED_CALLS = 100, 200  # Opus that becomes PCMA: 250 fill a processor
BENCH = "media"
NO_RELAY, NO_RELAY_AGAIN = "no relay", "no relay once more"
OURS, RECORDING, CONVERTING = "softswitch", "softswitch recording", "softswitch converting"
AGAIN = "softswitch once more"
EPOLL, ONE_PROCESSOR = "softswitch by epoll", "softswitch on one processor"
ALL_PROCESSORS = "softswitch, a thread a processor"
IN_KERNEL, RECORDING_IN_KERNEL = "softswitch in the kernel", "softswitch recording, in the kernel"
THEIRS, THEIR_RECORDING, THEIR_CONVERTING = "rtpengine", "rtpengine recording", "rtpengine converting"
RATIO_AT, LEAST_RATIO, LONGEST_P99_MS = 500, 5.0, 3.0
MOST_FOR_RECORDING = 1.35
MEASURABLE_S = 0.5  # of CPU: /proc counts in steps of 10 ms
ON_ONE_PROCESSOR = 1000  # calls


@dataclass(frozen=True, slots=True)
class Rig:
    """A relay under test: its process (0: there is none), and a line of the load generator's for each phone."""

    pid: int
    phones: list[str]
    alone: bool = False  # it has one processor, and the load the others


@dataclass(frozen=True, slots=True)
class Result:
    """What one run showed."""

    name: str
    calls: int
    packets: int
    lost: int
    cpu_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    behind_ms: float = 0.0  # the load generator with its own steps, p99
    load_s: float = 0.0  # CPU of the load generator, and of the kernel's threads for packets

    @property
    def cost_us(self) -> float:
        """CPU microseconds a relayed packet."""
        return self.cpu_s * 1e6 / max(self.packets, 1)

    @property
    def whole_us(self) -> float:
        """The same with the load generator's, who pays for what the kernel does with a packet it sends."""
        return (self.cpu_s + self.load_s) * 1e6 / max(self.packets, 1)


def compile_load(folder: str) -> str:
    """The path of the load generator."""
    return compiled(folder, "rtp_load", (*SRTP, *CODECS))


# Our media server


@contextlib.asynccontextmanager
async def our_server(
    calls: int,
    folder: str,
    *,
    io: str = "auto",
    record: bool = False,
    ways: Ways = (PLAIN, PLAIN),
    alone: bool = False,
    workers: int = 1,
    kernel: bool = False,
) -> AsyncIterator[Rig]:
    """`calls` connected pairs of endpoints; `ways`: how the two phones of each speak; `alone`: one processor;
    `workers`: threads (0: one a processor); `kernel`: plain streams pass there.
    """
    path = f"{folder}/media-{io}.sock"
    ports = f"{SERVER_FROM}-{SERVER_FROM + 4 * calls + 99}"
    arguments = (
        "--socket",
        path,
        "--ports",
        ports,
        "--io",
        io,
        "--workers",
        str(workers),
        *["--kernel-relay"] * kernel,
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "media", *arguments)
    driver = ServerDriver(path)
    try:
        await driver.start()
        phones = [await _our_call(driver, call, folder, record, ways) for call in range(calls)]
        if alone:
            pin(process.pid, SUBJECT)
        yield Rig(process.pid, [phone for pair in phones for phone in pair], alone)
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


async def _our_call(driver: ServerDriver, call: int, folder: str, record: bool, ways: Ways) -> list[str]:
    endpoints = [await driver.open_endpoint(f"bench-{call}") for _ in range(2)]
    phones = []
    for side, endpoint in enumerate(endpoints):
        local = PHONES_FROM + 4 * call + 2 * side
        endpoint.configure(ways[side].remote(local))
        phones.append(ways[side].phone(local, endpoint.port))
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


def _rtpengine_call(control: socket.socket, call: int, record: bool, convert: bool) -> list[str]:
    caller, callee = PHONES_FROM + 4 * call, PHONES_FROM + 4 * call + 2
    name = f"bench-{call}"
    theirs = PCMU if convert else PCMA
    options: dict[str, object] = {"codec": {"mask": ["PCMA"], "transcode": ["PCMU"]}} if convert else {}
    if record:
        options["record_call"] = "on"
    offered = _ng(control, f"o{call}", command="offer", call_id=name, from_tag="a", sdp=_sdp(caller), **options)
    answer = _sdp(callee, theirs)
    answered = _ng(control, f"a{call}", command="answer", call_id=name, from_tag="a", to_tag="b", sdp=answer)
    return [f"{caller} {_offered_port(answered)} {PCMA}", f"{callee} {_offered_port(offered)} {theirs}"]


@contextlib.asynccontextmanager
async def rtpengine(calls: int, folder: str, *, record: bool = False, convert: bool = False) -> AsyncIterator[Rig]:
    """`calls` calls by offer and answer; packets are relayed in user space (--table=-1)."""
    ports = ("--port-min", str(RTPENGINE_FROM), "--port-max", str(RTPENGINE_FROM + 4 * calls + 999))
    recording = (f"--recording-dir={folder}", "--recording-method=pcap") if record else ()
    listen = f"--listen-ng=127.0.0.1:{NG_PORT}"
    arguments = ("--foreground", "--table=-1", "--interface=127.0.0.1", listen, *ports, *recording)
    process = await asyncio.create_subprocess_exec(
        "rtpengine", *arguments, "--log-level=3", "--log-stderr", stderr=subprocess.DEVNULL
    )
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    control.settimeout(0.5)
    try:
        rig = (_rtpengine_call(control, call, record, convert) for call in range(calls))
        yield Rig(process.pid, [phone for phones in rig for phone in phones])
        if record and len(os.listdir(f"{folder}/pcaps")) < calls:
            raise RuntimeError("rtpengine has not recorded all calls")
    finally:
        control.close()
        process.terminate()
        await process.wait()


# The run


@contextlib.asynccontextmanager
async def no_relay(calls: int) -> AsyncIterator[Rig]:
    """Phones that send to each other."""
    pairs = [(PHONES_FROM + 4 * call, PHONES_FROM + 4 * call + 2) for call in range(calls)]
    yield Rig(0, [phone for a, b in pairs for phone in (PLAIN.phone(a, b), PLAIN.phone(b, a))])


async def measure_one(
    name: str, calls: int, rig: AbstractAsyncContextManager[Rig], load: str, seconds: float
) -> Result:
    """Load `rig` for `seconds`."""
    async with rig as relay:
        lines = "".join(f"{phone}\n" for phone in relay.phones)
        generator = await asyncio.create_subprocess_exec(
            load, str(seconds), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if relay.alone:
            pin(generator.pid, GENERATOR)
        before, others = cpu_seconds(relay.pid) if relay.pid else 0.0, ended_seconds() + interrupt_seconds()
        output, _ = await generator.communicate(lines.encode())
        cpu = cpu_seconds(relay.pid) - before if relay.pid else 0.0
        others = ended_seconds() + interrupt_seconds() - others
    if generator.returncode:
        raise RuntimeError("the load generator failed: a port of its is taken")
    figures = json.loads(output)
    lost = figures["sent"] - figures["received"]
    p50, p99, p999, behind = (figures[key] for key in ("p50_ms", "p99_ms", "p999_ms", "behind_ms"))
    return Result(name, calls, figures["received"], lost, cpu, p50, p99, p999, behind, others)


def kernel_relays() -> bool:
    """Whether it is permitted, and this kernel and build can."""
    with contextlib.suppress(OSError):
        _native.KernelRelay(1)
        return True
    return False


def rigs(calls: int, folder: str) -> dict[str, Callable[[], AbstractAsyncContextManager[Rig]]]:
    """What is measured with so many calls."""
    chosen: dict[str, Callable[[], AbstractAsyncContextManager[Rig]]] = {
        NO_RELAY: lambda: no_relay(calls),
        EPOLL: lambda: our_server(calls, folder, io="epoll"),
        OURS: lambda: our_server(calls, folder),
        ALL_PROCESSORS: lambda: our_server(calls, folder, workers=0),
        RECORDING: lambda: our_server(calls, folder, record=True),
        CONVERTING: lambda: our_server(calls, folder, ways=(PLAIN, Way("PCMU"))),
    }
    if kernel_relays():
        chosen[IN_KERNEL] = lambda: our_server(calls, folder, kernel=True)
        chosen[RECORDING_IN_KERNEL] = lambda: our_server(calls, folder, kernel=True, record=True)
    if calls >= ON_ONE_PROCESSOR:
        chosen[ONE_PROCESSOR] = lambda: our_server(calls, folder, alone=True)
    if shutil.which("rtpengine"):
        chosen[THEIRS] = lambda: rtpengine(calls, folder)
        chosen[THEIR_RECORDING] = lambda: rtpengine(calls, folder, record=True)
        chosen[THEIR_CONVERTING] = lambda: rtpengine(calls, folder, convert=True)
    chosen[NO_RELAY_AGAIN] = chosen[NO_RELAY]
    return chosen


def coded_rigs(calls: int, folder: str) -> dict[str, Callable[[], AbstractAsyncContextManager[Rig]]]:
    """The same of codecs and SRTP; plain calls come first and last, for what the machine does meanwhile."""

    def ours(ways: Ways) -> Callable[[], AbstractAsyncContextManager[Rig]]:
        return lambda: our_server(calls, folder, ways=ways)

    spoken = {f"{OURS} {name}": ours(ways) for name, ways in coded().items()}
    return {OURS: ours((PLAIN, PLAIN)), **spoken, AGAIN: ours((PLAIN, PLAIN))}


async def run(plan: Sequence[int], seconds: float, only: str | None = None, *, codecs: bool = False) -> list[Result]:
    """All relays in turn, with each number of calls in the plan."""
    results = []
    for calls in plan:
        with TemporaryDirectory(prefix="softswitch-bench-") as folder:
            load = compile_load(folder)
            for name, rig in (coded_rigs if codecs else rigs)(calls, folder).items():
                if only is None or only in name:
                    print(f"media: {calls} calls, {name} …", file=sys.stderr)
                    results.append(await measure_one(name, calls, rig(), load, seconds))
    return results


def tell(results: Sequence[Result], seconds: float) -> None:
    """Print the table."""
    print(f"50 packets/s each way for {seconds:g} s; ms from one phone to the other")
    print(f"{'calls':>5}  {'relay':<36}{'packets':>10}{'lost':>7}{'CPU s':>8}{'µs/packet':>11}", end="")
    print(f"{'whole':>9}{'p50 ms':>9}{'p99 ms':>9}{'p99.9':>9}{'load late':>11}")
    for one in results:
        print(
            f"{one.calls:>5}  {one.name:<36}{one.packets:>10}{one.lost:>7}{one.cpu_s:>8.2f}{one.cost_us:>11.2f}", end=""
        )
        print(f"{one.whole_us:>9.2f}{one.p50_ms:>9.2f}{one.p99_ms:>9.2f}{one.p999_ms:>9.2f}{one.behind_ms:>11.2f}")


def _bare_us(results: Sequence[Result]) -> float:
    """What a packet costs without a relay, first and last in the mean: the machine's speed drifts. 0: nobody looked."""
    bare = [one.whole_us for one in results if one.name in (NO_RELAY, NO_RELAY_AGAIN)]
    return sum(bare) / len(bare) if bare else 0.0


def judge(results: Sequence[Result]) -> list[Figure]:
    """What was expected of us, and whether it came true."""
    by_name = {(one.calls, one.name): one for one in results}
    figures = []
    for (calls, name), one in by_name.items():
        plain, theirs = by_name.get((calls, OURS)), by_name.get((calls, THEIRS))
        subject = f"{name}, {calls} calls"
        if name == OURS and theirs and one.cost_us:
            ratio, expected = theirs.cost_us / one.cost_us, f"at least {LEAST_RATIO:g} expected at {RATIO_AT}"
            good = ratio >= LEAST_RATIO if calls == RATIO_AT and one.cpu_s >= MEASURABLE_S else None
            figures.append(
                Figure(BENCH, subject, "packets a CPU second, by rtpengine's", ratio, "times", good, expected)
            )
        bare_us = _bare_us([one for one in results if one.calls == calls])
        likewise = {IN_KERNEL: theirs, RECORDING_IN_KERNEL: by_name.get((calls, THEIR_RECORDING))}.get(name)
        if likewise and 0 < bare_us < one.whole_us:
            ratio = (likewise.whole_us - bare_us) / (one.whole_us - bare_us)
            asked = name == IN_KERNEL and calls == RATIO_AT
            good, expected = ratio >= LEAST_RATIO if asked else None, f"at least {LEAST_RATIO:g} expected" * asked
            figures.append(
                Figure(BENCH, subject, "added to the machine, by rtpengine's", ratio, "times", good, expected)
            )
        if name in (OURS, IN_KERNEL) and calls == RATIO_AT:
            good, expected = one.p99_ms <= LONGEST_P99_MS, f"at most {LONGEST_P99_MS:g} expected"
            figures.append(Figure(BENCH, subject, "p99 latency", one.p99_ms, "ms", good, expected))
            figures.append(Figure(BENCH, subject, "packets lost", one.lost, "", one.lost == 0, "0 expected"))
        if name == RECORDING and plain and plain.cost_us:
            ratio, expected = one.cost_us / plain.cost_us, f"at most {MOST_FOR_RECORDING:g} expected"
            good = ratio <= MOST_FOR_RECORDING if plain.cpu_s >= MEASURABLE_S else None
            figures.append(Figure(BENCH, subject, "CPU, by that of plain calls", ratio, "times", good, expected))
        if name.removeprefix(f"{OURS} ") in coded() and plain and plain.cost_us:
            ratio = one.cost_us / plain.cost_us
            figures.append(Figure(BENCH, subject, "CPU, by that of plain calls", ratio, "times"))
        if name == ONE_PROCESSOR:
            figures.append(Figure(BENCH, subject, "packets lost", one.lost, "", one.lost == 0, "0 expected"))
    return figures


def measure(
    plan: Sequence[int] | None = None, seconds: float = 10.0, only: str | None = None, *, codecs: bool = False
) -> list[Figure]:
    """The figures of all relays, and the expectations."""
    results = asyncio.run(run(plan or (CODED_CALLS if codecs else CALLS), seconds, only, codecs=codecs))
    tell(results, seconds)
    figures = []
    for one in results:
        latency = f"p50 {one.p50_ms:.2f}, p99 {one.p99_ms:.2f}, p99.9 {one.p999_ms:.2f} ms"
        note, subject = f"{one.packets} packets, {one.lost} lost, {latency}", f"{one.name}, {one.calls} calls"
        figures.append(Figure(BENCH, subject, "CPU a packet", one.cost_us, "µs", None, note))
    return [*figures, *judge(results)]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", help="only relays whose name holds this text")
    parser.add_argument("--codecs", action="store_true", help="G.722, Opus and SRTP beside plain calls")
    values = parser.parse_args()
    show(measure(values.calls, values.seconds, values.only, codecs=values.codecs))
    print(f"recvfrom and sendto of one packet: {floor_us():.2f} µs")


if __name__ == "__main__":
    main()
