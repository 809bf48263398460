"""Measures the SQLite call path: `python -m tests.bench.bench_store [bindings] [look-ups]`.

Fills a temporary file with AXB, AX and AXE bindings (a third each) and prints what each operation of the call path
takes: this is what a call pays.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import insert

from softswitch.interfaces import App, CallbackRecord, Cdr, LegReport, Mode
from softswitch.stores.provisioning import open_provisioning, sqlite_engine
from softswitch.stores.schema import binding_parties, bindings, numbers
from softswitch.stores.sqlite import SqliteStore, open_sqlite

BATCH = 50_000
PAIRS_AN_X = 100
NOW = 1_700_000_000.0
TOGETHER = 10  # records that are finished in the same tenth of a second
CLOSE_ONE, CLOSE_TOGETHER = "close_attempt", f"close_attempts, {TOGETHER} together"
CDR = Cdr(
    "call",
    mode=Mode.AXB,
    app_key="AXB",
    x="+8617000000001",
    caller="+8613800000001",
    callee="+8617000000001",
    destination="+8613800000002",
    call_in_at=NOW,
    a=LegReport(trunk="carrier-a", sip_call_id="a84b4c76e66710@pc33.example", codec="PCMA"),
    b=LegReport(trunk="carrier-b", sip_call_id="b84b4c76e66710@pc33.example", codec="PCMA"),
)


def main(count: int = 1_000_000, look_ups: int = 20_000) -> None:
    """Fill, then measure."""
    with tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder:
        path = str(Path(folder) / "switch.db")
        started = time.perf_counter()
        fill(path, count)
        size = Path(path).stat().st_size / 1e6
        print(f"{count} bindings, {size:.0f} MB, filled in {time.perf_counter() - started:.1f} s")
        store = open_sqlite(path)
        print(f"{'operation':28}{'p50 µs':>9}{'p99 µs':>9}{'p99.9 µs':>10}{'max µs':>9}")
        for name, operation in operations(store, count).items():
            report(name, sorted(measure(operation, look_ups)))
        store.close()


def third(index: int) -> dict[str, Any]:
    """The row of binding `index`: AXB, AX and AXE in turn, PAIRS_AN_X on each shared X."""
    mode = list(Mode)[index % 3]
    number = index // 3
    owner = number if mode is Mode.AX else number // PAIRS_AN_X
    return {
        "seq": index + 1,
        "id": f"{index:08x}-bfb6-4eec-b671-a7dab2ba78c5",
        "app_key": mode.value,
        "mode": mode.value,
        "x": f"+8617{index % 3}{owner:08}",
        "a": f"+86138{number:08}",
        "b": f"+86139{number:08}" if mode is Mode.AXB else None,
        "extension": f"{number % PAIRS_AN_X + 1:04}" if mode is Mode.AXE else None,
        "call_direction": 0,
        "created_at": NOW,
        "expires_at": NOW + 86400 if index % 2 else None,
        "max_duration_s": 3600,
        "record": True,
        "announcement": "announcement.wav",
        "turned_on": True,
        "callback_lifetime_s": 0,
        "user_data": "",
    }


def fill(path: str, count: int) -> None:
    """Write `count` bindings in large transactions."""
    provisioning = open_provisioning(path)
    for mode in Mode:
        provisioning.add_number(f"+8617{list(Mode).index(mode)}00000000", App(mode.value, mode))
    provisioning.close()
    engine = sqlite_engine(path)
    for first in range(0, count, BATCH):
        rows = [third(index) for index in range(first, min(first + BATCH, count))]
        parties = [
            {"x": row["x"], "party": row[side], "seq": row["seq"]} for row in rows if row["b"] for side in ("a", "b")
        ]
        pool = {row["x"]: {"x": row["x"], "app_key": row["mode"], "area_code": "", "city": ""} for row in rows}
        with engine.begin() as connection:
            connection.execute(insert(numbers).prefix_with("OR IGNORE"), list(pool.values()))
            connection.execute(insert(bindings), rows)
            connection.execute(insert(binding_parties), parties)
    engine.dispose()


Operation = Callable[[int], Coroutine[Any, Any, Any]]


def operations(store: SqliteStore, count: int) -> dict[str, Operation]:
    """Each operation of the call path on a random binding; the argument numbers the calls."""
    rng = random.Random(7)

    def row(mode: Mode) -> dict[str, Any]:
        return third(rng.randrange(count // 3) * 3 + list(Mode).index(mode))

    def axb(_: int) -> Coroutine[Any, Any, Any]:
        binding = row(Mode.AXB)
        return store.axb_binding(binding["x"], binding[rng.choice("ab")], NOW)

    def axe(_: int) -> Coroutine[Any, Any, Any]:
        binding = row(Mode.AXE)
        return store.axe_binding(binding["x"], binding["extension"], NOW)

    def axe_of(_: int) -> Coroutine[Any, Any, Any]:
        binding = row(Mode.AXE)
        return store.axe_binding_of(binding["x"], binding["a"], NOW)

    def closed(index: int, together: int) -> Coroutine[Any, Any, Any]:
        """Attempts that were opened before the clock runs."""
        numbered = range(index * together, (index + 1) * together)
        cdrs = [replace(CDR, call_id=f"{together}-{one:022}", call_in_at=NOW + one) for one in numbered]
        list(measure(lambda one: store.open_attempt(cdrs[one]), together))
        return store.close_attempts([replace(cdr, answered_at=NOW, ended_at=cdr.call_in_at) for cdr in cdrs])

    return {
        "private_number": lambda _: store.private_number(row(Mode.AX)["x"]),
        "axb_binding": axb,
        "ax_binding": lambda _: store.ax_binding(row(Mode.AX)["x"], NOW),
        "axe_binding": axe,
        "axe_binding_of": axe_of,
        "temporary_callee (none)": lambda _: store.temporary_callee(row(Mode.AX)["id"], NOW),
        "remember_caller": lambda i: store.remember_caller(CallbackRecord(row(Mode.AXE)["x"], f"{i}", "b", NOW)),
        "latest_caller": lambda i: store.latest_caller(row(Mode.AXE)["x"], f"{i}"),
        "open_attempt": lambda i: store.open_attempt(replace(CDR, call_id=f"01JD{i:022}", call_in_at=NOW + i)),
        CLOSE_ONE: lambda i: closed(i, 1),
        CLOSE_TOGETHER: lambda i: closed(i, TOGETHER),
    }


def measure(operation: Operation, times: int) -> Iterator[float]:
    """Microseconds of each run; the coroutine must not suspend."""
    for index in range(times):
        coroutine = operation(index)
        started = time.perf_counter()
        try:
            coroutine.send(None)
        except StopIteration:
            yield (time.perf_counter() - started) * 1e6
        else:
            raise AssertionError("the call path waited")


def report(name: str, sorted_us: list[float]) -> None:
    """One line of the table."""
    last = len(sorted_us) - 1
    p50, p99, p999 = (sorted_us[int(last * share)] for share in (0.5, 0.99, 0.999))
    print(f"{name:28}{p50:9.1f}{p99:9.1f}{p999:10.1f}{sorted_us[-1]:9.1f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
