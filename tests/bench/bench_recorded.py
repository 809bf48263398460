"""200 recorded calls at once for a minute: no failed call, no lost packet, every recording complete.

`python -m tests.bench.bench_recorded [--calls 200] [--seconds 60] [--kernel]`. Switch, media server, phones and
RTP load share the machine. Each call is announced and recorded (AXB); RTP flows both ways once all calls are talking.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from demo.switch_process import LOOPBACK, SwitchProcess, free_port
from demo.wire import read_a_law
from softswitch.sip.user_agent import Hop
from tests.bench.bench_media import compile_load
from tests.bench.cpu import cpu_seconds, tree_seconds
from tests.bench.phones import Exchange
from tests.bench.report import Figure, show
from tests.bench.switches import CALLEE, CALLER, DIALLED, RTP_PORTS, lab_dialplan

BENCH = "recorded"
PHONES_FROM = 30000  # behind RTP_PORTS, below the ports that other programs get by chance
CALLS_A_SECOND = 20
TOLERANCE_MS = 40.0
A_LAW_BYTES_A_SECOND = 8000


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen of one run."""

    calls: int
    seconds: float
    sent: int
    received: int
    cut_off: int
    signalling_s: float
    total_s: float
    cdrs: list[dict[str, Any]]
    in_kernel: float = 0.0  # of the packets, each counted once


def measure(calls: int = 200, seconds: float = 60.0, *, kernel: bool = False) -> list[Figure]:
    """Place the calls, let them talk, hang up, look at CDRs and files; `kernel`: RTP passes there."""
    with tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder:
        load = compile_load(folder)
        run = asyncio.run(_run(_switch(Path(folder), kernel), load, calls, seconds))
        return list(_figures(run))


def _switch(folder: Path, kernel: bool) -> SwitchProcess:
    switch = SwitchProcess(
        folder / "switch",
        dialplan=lab_dialplan(free_port()),
        settings={"media": {"ports": RTP_PORTS, "kernel_relay": kernel}, "log": {"format": "json"}},
    )
    switch.cli("number", "add", DIALLED, "--app", "bench", "--mode", "AXB")
    switch.cli("bind", "axb", DIALLED, CALLER, CALLEE, "--record", "--announcement", "announcement")
    return switch


async def _run(switch: SwitchProcess, load: str, calls: int, seconds: float) -> Run:
    exchange = Exchange(_callee_port(switch), PHONES_FROM)
    await asyncio.to_thread(switch.start)
    try:
        await exchange.start()
        await _place_all(exchange, switch, calls)
        before = (cpu_seconds(switch.pid), tree_seconds(switch.pid))
        figures = await _talk(load, exchange, seconds)
        after = (cpu_seconds(switch.pid), tree_seconds(switch.pid))
        cut_off = exchange.cut_off()
        await exchange.hang_up(1 / CALLS_A_SECOND)
        cdrs = await asyncio.to_thread(switch.wait_for_cdrs, calls, 20.0)
        await exchange.stop()
        in_kernel = await asyncio.to_thread(switch.metric, "softswitch_media_packets_kernel_total")
    finally:
        await asyncio.to_thread(switch.stop)
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return Run(calls, seconds, figures["sent"], figures["received"], cut_off, spent[0], spent[1], cdrs, in_kernel)


def _callee_port(switch: SwitchProcess) -> int:
    return int(switch.dialplan_file.read_text(encoding="utf-8").rpartition("port = ")[2].split()[0])


async def _place_all(exchange: Exchange, switch: SwitchProcess, calls: int) -> None:
    """All calls up, and every announcement over."""
    hop = Hop("udp", LOOPBACK, switch.sip_port)
    print(f"recorded: {calls} calls …", file=sys.stderr)
    for _ in range(calls):
        await exchange.call(hop, CALLER, DIALLED)
        await asyncio.sleep(1 / CALLS_A_SECOND)
    await asyncio.sleep(_seconds_of(switch.prompts / "zh-CN" / "announcement.wav") + 1.0)


async def _talk(load: str, exchange: Exchange, seconds: float) -> dict[str, Any]:
    """RTP both ways in every call; what the load generator counted."""
    print(f"recorded: {seconds:g} s of talk …", file=sys.stderr)
    lines = "".join(f"{local} {target} 8\n" for local, target in exchange.streams())  # PCMA
    generator = await asyncio.create_subprocess_exec(
        load, str(seconds), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await generator.communicate(lines.encode())
    counted: dict[str, Any] = json.loads(output)
    return counted


# What the run left behind


def _figures(run: Run) -> list[Figure]:
    name = f"{run.calls} calls for {run.seconds:g} s"
    failed = sum(cdr["ulFailReason"] != 0 for cdr in run.cdrs) + run.calls - len(run.cdrs) + run.cut_off
    lost = run.sent - run.received
    offs = [_off_ms(cdr) for cdr in run.cdrs]
    whole = sum(off is not None and abs(off) <= TOLERANCE_MS for off in offs)
    worst = max((abs(off) for off in offs if off is not None), default=0.0)
    cpu, media = run.total_s / run.seconds * 100, (run.total_s - run.signalling_s) / run.seconds * 100
    return [
        Figure(BENCH, name, "failed calls", failed, "", failed == 0, "0 expected"),
        Figure(BENCH, name, "packets relayed", run.received, ""),
        Figure(BENCH, name, "of them in the kernel", run.in_kernel, ""),
        Figure(BENCH, name, "packets lost", lost, "", lost == 0, "0 expected"),
        Figure(BENCH, name, "complete recordings", whole, "", whole == run.calls, "as long as answered, ±40 ms"),
        Figure(BENCH, name, "worst length", worst, "ms off"),
        Figure(BENCH, name, "CPU", cpu, "%", None, f"media server {media:.1f}%, of 200%"),
    ]


def _off_ms(cdr: dict[str, Any]) -> float | None:
    """How much longer the recording is than the call was answered, None where there is none."""
    recording = Path(cdr["recording"])
    if not cdr["recording"] or not recording.is_file():
        return None
    answered = datetime.fromisoformat(cdr["ended_at"]) - datetime.fromisoformat(cdr["answered_at"])
    return (_seconds_of(recording) - answered.total_seconds()) * 1000


def _seconds_of(file: Path) -> float:
    return len(read_a_law(file)) / A_LAW_BYTES_A_SECOND


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kernel", action="store_true", help="with media.kernel_relay")
    values = parser.parse_args()
    show(measure(values.calls, values.seconds, kernel=values.kernel))


if __name__ == "__main__":
    main()
