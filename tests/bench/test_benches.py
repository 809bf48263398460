"""The benchmarks still run: each is imported, and those that are cheap run their smallest plan. No figure is judged."""

from __future__ import annotations

import asyncio
import importlib
import shutil
from pathlib import Path

import pytest

from demo.wire import free_ports
from media import _native
from softswitch.stores.sqlite import open_sqlite
from tests.bench import __main__ as all_of_them
from tests.bench import bench_media, bench_overload, bench_packets, bench_store
from tests.bench.bench_media import Result
from tests.bench.bench_packets import Sealed
from tests.bench.programs import line_ns
from tests.bench.sipp_load import Stretch
from tests.bench.spoken import coded

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("__", "test_")))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_bench_can_be_imported(module: str) -> None:
    importlib.import_module(f"tests.bench.{module}")


def test_every_bench_is_in_the_one_run() -> None:
    assert {f"bench_{name}" for name in all_of_them.BENCHES} == {name for name in MODULES if name.startswith("bench_")}


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_what_the_caches_remember_is_told() -> None:
    assert all(ns > 0 for ns in line_ns())


def test_every_operation_of_the_store_is_measured(tmp_path: Path) -> None:
    path = str(tmp_path / "switch.db")
    bench_store.fill(path, 300)
    store = open_sqlite(path)
    for operation in bench_store.operations(store, 300).values():
        assert len(list(bench_store.measure(operation, 3))) == 3
    store.close()


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.real_time
def test_the_media_server_is_measured_in_all_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(300).start
    monkeypatch.setattr(bench_media, "PHONES_FROM", first)
    monkeypatch.setattr(bench_media, "SERVER_FROM", first + 100)
    monkeypatch.setattr(bench_media, "ON_ONE_PROCESSOR", 2)
    results = asyncio.run(bench_media.run([2], 0.2, "softswitch"))
    ways = (
        bench_media.EPOLL,
        bench_media.OURS,
        bench_media.ALL_PROCESSORS,
        bench_media.RECORDING,
        bench_media.CONVERTING,
        *[bench_media.IN_KERNEL, bench_media.RECORDING_IN_KERNEL] * bench_media.kernel_relays(),
    )
    assert [one.name for one in results] == [*ways, bench_media.ONE_PROCESSOR]
    assert all(0 < one.packets <= 40 for one in results)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.real_time
def test_codecs_and_srtp_are_measured_beside_plain_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(300).start
    monkeypatch.setattr(bench_media, "PHONES_FROM", first)
    monkeypatch.setattr(bench_media, "SERVER_FROM", first + 100)
    results = asyncio.run(bench_media.run([2], 0.2, codecs=True))
    names = [f"{bench_media.OURS} {name}" for name in coded()]
    assert [one.name for one in results] == [bench_media.OURS, *names, bench_media.AGAIN]
    assert all(0 < one.packets <= 40 for one in results)


def test_what_the_kernel_passes_on_is_judged_by_what_it_adds_to_the_machine() -> None:
    """Its own process has nothing to do with them: five times less of that proves nothing."""
    bare = Result(bench_media.NO_RELAY, 500, 10**6, 0, 0.0, 0.0, 0.0, 0.0, load_s=3.5)
    again = Result(bench_media.NO_RELAY_AGAIN, 500, 10**6, 0, 0.0, 0.0, 0.0, 0.0, load_s=4.5)
    ours = Result(bench_media.IN_KERNEL, 500, 10**6, 0, 0.5, 0.1, 2.9, 3.5, load_s=5.5)
    theirs = Result(bench_media.THEIRS, 500, 10**6, 0, 14.0, 0.1, 6.0, 9.0, load_s=5.0)
    told = {figure.name: (figure.value, figure.good) for figure in bench_media.judge([bare, ours, theirs, again])}
    assert told["added to the machine, by rtpengine's"] == (7.5, True)
    assert told["p99 latency"] == (2.9, True)


def test_what_codecs_cost_is_told_by_what_plain_calls_do() -> None:
    plain = Result(bench_media.OURS, 100, 10**6, 0, 4.0, 1.0, 2.9, 3.5)
    opus = Result(f"{bench_media.OURS} Opus", 100, 10**6, 0, 6.0, 1.0, 2.9, 3.5)
    ratios = [figure.value for figure in bench_media.judge([plain, opus])]
    assert ratios == ([1.5] if "Opus" in coded() else [])


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_every_codec_and_suite_of_the_core_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_packets, "floor_us", lambda: 5.0)
    figures = bench_packets.measure((2, 4), rounds=1, packets=8)
    codecs = {figure.subject for figure in figures if figure.name == "into the codec"}
    opus = {"Opus", "Opus, complexity 0", "Opus, complexity 10"} if "opus" in _native.CODECS else set()
    assert codecs == {"PCMA to PCMU", *(["G.722"] if "G722" in _native.CODECS else []), *opus}
    suites = [name for suite, name in bench_packets.SUITES.items() if suite in _native.SRTP_SUITES]
    sealed = [figure.subject for figure in figures if figure.name == "sealing"]
    assert sealed == [f"{suite}, {legs} legs" for suite in suites for legs in (2, 4)]
    assert all(figure.value > 0 for figure in figures)


def test_what_srtp_costs_is_told_by_libsrtps_own_ciphers_and_by_few_legs() -> None:
    few = Sealed("S", 100, told_of_srtp(0.5), told_of_srtp(3.0))
    many = Sealed("S", 2000, told_of_srtp(1.0), told_of_srtp(40.0))
    ratios = {(one.subject, one.name): one.value for one in bench_packets.sealing([few, many]) if one.unit == "times"}
    assert ratios == {
        ("S, 100 legs", "libsrtp's own ciphers, by ours"): 6.0,
        ("S, 2000 legs", "libsrtp's own ciphers, by ours"): 40.0,
        ("S, 2000 legs", "sealing, by that of 100 legs"): 2.0,
    }


def told_of_srtp(cost_us: float) -> dict[str, float]:
    words = "seal_us", "open_us", "context_kb", "forged_us", "forged_anew_us"
    return dict.fromkeys(words, cost_us)


def judged(*results: Result) -> dict[tuple[str, str], bool | None]:
    return {(figure.subject, figure.name): figure.good for figure in bench_media.judge(results)}


def test_what_was_asked_of_media_is_judged() -> None:
    plain = Result(bench_media.OURS, 500, 10**6, 0, 4.0, 1.0, 2.9, 3.5)
    recorded = Result(bench_media.RECORDING, 500, 10**6, 0, 5.3, 1.0, 2.9, 3.5)
    theirs = Result(bench_media.THEIRS, 500, 10**6, 0, 19.0, 0.1, 0.2, 0.3)
    alone = Result(bench_media.ONE_PROCESSOR, 1000, 10**6, 1, 9.0, 1.0, 2.0, 3.0)
    assert judged(plain, recorded, theirs, alone) == {
        ("softswitch, 500 calls", "packets a CPU second, by rtpengine's"): False,
        ("softswitch, 500 calls", "p99 latency"): True,
        ("softswitch, 500 calls", "packets lost"): True,
        ("softswitch recording, 500 calls", "CPU, by that of plain calls"): True,
        ("softswitch on one processor, 1000 calls", "packets lost"): False,
    }


def test_what_was_too_short_is_not_judged() -> None:
    short = [Result(name, 100, 100, 0, 0.01, 1.0, 2.0, 3.0) for name in (bench_media.OURS, bench_media.RECORDING)]
    assert set(judged(*short).values()) == {None}


def test_both_stretches_of_an_overload_count_by_what_they_completed() -> None:
    quick = bench_overload.Step(Stretch(100.0, 300, 200, 1, 99, 10.0), 3.0, 1.0)
    slow = bench_overload.Step(Stretch(100.0, 300, 100, 2, 200, 40.0), 3.0, 2.0)
    both = quick + slow
    assert (both.load.calls, both.load.completed, both.load.refused, both.load.failed) == (600, 300, 299, 1)
    assert (both.load.retransmissions, both.load.setup_ms, both.seconds, both.worth) == (3, 20.0, 6.0, 100.0)
