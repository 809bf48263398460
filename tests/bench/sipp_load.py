"""One stretch of calls between two SIPp processes, and what went wrong in it. Used by bench_calls.py
and bench_overload.py.

A call is failed if SIPp says so or did not bring it to its end; a retransmission is one that either SIPp sent because
what it waited for was not there within 500 ms (T1 of RFC 3261 17).
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import free_port
from tests.bench.cpu import pin

SCENARIOS = Path(__file__).parent / "sipp"
SETTLE_S = 1.3  # SIPp writes its counters once a second
GRACE_S = 6.0  # calls that are not over by then are failed
AT_ONCE = 20000
CALLS_FAILED = 1  # SIPp's exit code where it did its work; 0 where no call failed either


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came of `calls` calls offered at `rate` a second."""

    rate: float
    calls: int
    completed: int
    retransmissions: int
    refused: int = 0  # with 503, where the scenario expects that
    setup_ms: float = 0.0  # INVITE to 200, in the mean

    @property
    def failed(self) -> int:
        """Calls that did not come to their good end."""
        return self.calls - self.completed - self.refused

    @property
    def clean(self) -> bool:
        """No call failed and nothing had to be sent twice."""
        return self.failed == 0 and self.retransmissions == 0


def place_calls(
    folder: Path,
    *,
    dialled: str,
    switch_port: int,
    caller_port: int,
    callee_port: int,
    rate: float,
    seconds: float,
    scenario: str = "uac",
    processors: set[int] | None = None,
) -> Stretch:
    """Offer `rate` calls a second for `seconds`; returns when the last is over. Raises RuntimeError where SIPp is
    missing or does not work.

    `processors`: where both SIPp run, None: anywhere.
    """
    calls = round(rate * seconds)
    target = f"127.0.0.1:{switch_port}"
    with _sipp(folder, "uas", callee_port, target, processors=processors):
        time.sleep(0.3)
        load = ("-s", dialled, "-r", f"{rate:g}", "-m", str(calls), "-l", str(AT_ONCE))
        with _sipp(folder, scenario, caller_port, target, *load, processors=processors) as caller:
            try:
                code = caller.wait(seconds + GRACE_S)
            except subprocess.TimeoutExpired:
                code = 0
                time.sleep(SETTLE_S)
        time.sleep(SETTLE_S)
    if code > CALLS_FAILED:
        raise RuntimeError(f"SIPp could not place calls: exit code {code}")
    refused = _counter(folder, scenario, "GenericCounter1(C)")
    completed = _counter(folder, scenario, "SuccessfulCall(C)") - refused
    repeated = sum(_counter(folder, name, "Retransmissions(C)") for name in (scenario, "uas"))
    return Stretch(rate, calls, completed, repeated, refused, _milliseconds(folder, scenario, "ResponseTime1(C)"))


@contextmanager
def _sipp(
    folder: Path, name: str, port: int, target: str, *options: str, processors: set[int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A SIPp on `port` that counts into `<folder>/<name>.csv`; ended with the block."""
    program = shutil.which("sipp")
    if program is None:
        raise RuntimeError("SIPp is missing: apt-get install sip-tester")
    counters = folder / f"{name}.csv"
    counters.unlink(missing_ok=True)
    common = (
        "-sf",
        str(SCENARIOS / f"{name}.xml"),
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-mp",
        str(free_port()),  # unused, but without one that is free it does not start
        "-nostdin",
        "-buff_size",
        "4194304",
    )
    process = subprocess.Popen(
        [program, target, *common, "-trace_stat", "-stf", str(counters), "-fd", "1", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if processors is not None:
        pin(process.pid, processors)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _counter(folder: Path, name: str, column: str) -> int:
    return int(_last(folder, name, column) or 0)


def _milliseconds(folder: Path, name: str, column: str) -> float:
    """A mean time, which SIPp writes as hours:minutes:seconds:microseconds."""
    parts = [float(part) for part in (_last(folder, name, column) or "0:0:0:0").split(":")]
    return sum(part * factor for part, factor in zip(parts, (3.6e6, 6e4, 1e3, 1e-3), strict=True))


def _last(folder: Path, name: str, column: str) -> str:
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        rows = [row[column] for row in csv.DictReader(file, delimiter=";") if row.get(column)]
    return rows[-1] if rows else ""
