"""Worker threads: a call's endpoints are on one of them, whatever the others do; what is counted is the sum."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from pathlib import Path

import pytest

from media import _native
from media.workers import OWN, SHIFT, OnSeveralWorkers, Workers
from tests.media.phone import tone, wait_for_seconds, wav
from tests.media.support import room, run

pytestmark = pytest.mark.real_time


class Counted:
    """Stands for `_native.Core`."""

    def __init__(self, *_: object) -> None:
        self.told: list[tuple[object, ...]] = []
        self.happened: list[tuple[object, ...]] = []

    def open(self, *numbers: int) -> int:
        """A handle."""
        self.told.append(("open", *numbers))
        return len(self.told) | 1 << 16

    def play(self, endpoints: tuple[int, ...], *_: object) -> int:
        """A handle."""
        self.told.append(("play", *endpoints))
        return 7

    def events(self) -> list[tuple[object, ...]]:
        """What happened."""
        return self.happened

    def take_precedence(self) -> bool:
        """Refused."""
        return False

    def lag(self) -> float:
        """By how much it is behind."""
        return self.behind_s

    def stop(self, seconds: float) -> bool:
        """Its disk is there once those of all are awaited."""
        self.told.append(("stop", seconds))
        self.together.wait(20)
        return self.whole

    whole = True
    behind_s = 0.0
    together = threading.Barrier(3)


def made(monkeypatch: pytest.MonkeyPatch, count: int) -> tuple[Workers, list[Counted]]:
    """Workers, and what stands for them."""
    cores: list[Counted] = []

    def core(*arguments: object) -> Counted:
        cores.append(Counted(*arguments))
        return cores[-1]

    monkeypatch.setattr(_native, "Core", core)
    return Workers(count, 10, 60.0, "auto", 500), cores


def test_what_has_one_name_is_on_one_worker_and_many_names_are_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, cores = made(monkeypatch, 4)
    for call in range(200):
        a, b = (workers.open(f"call-{call}", 1, 2, 3, 4, 5, 6) for _ in range(2))
        assert a >> SHIFT == b >> SHIFT
        assert a & OWN != b & OWN
    assert all(60 <= len(core.told) <= 140 for core in cores)


def test_what_is_on_several_workers_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, cores = made(monkeypatch, 2)
    a, b = 1 << 16, 1 << SHIFT | 1 << 16
    with pytest.raises(OnSeveralWorkers, match="different calls"):
        workers.connect(a, b, True)
    assert workers.play((0, b), b"x", False, False) == 1 << SHIFT | 7  # one that is gone is nowhere
    assert cores[1].told == [("play", 0, 1 << 16)]


def test_events_name_the_worker_and_totals_are_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, cores = made(monkeypatch, 2)
    cores[1].happened = [(_native.DIGIT, 5, "1"), (_native.TOTALS, 0, 10, 20)]
    assert list(workers.events()) == [(_native.DIGIT, 1 << SHIFT | 5, "1"), (_native.TOTALS, 0, 10, 20)]
    cores[0].happened, cores[1].happened = [(_native.TOTALS, 0, 1, 2)], []
    assert list(workers.events()) == [(_native.TOTALS, 0, 11, 22)]


def test_the_worker_that_is_farthest_behind_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, cores = made(monkeypatch, 3)
    cores[1].behind_s = 2.5
    assert workers.lag_s == 2.5


@pytest.mark.parametrize("last", [True, False])
def test_the_end_of_none_is_cut_short_by_the_disk_of_another(monkeypatch: pytest.MonkeyPatch, last: bool) -> None:
    workers, cores = made(monkeypatch, 3)
    cores[1].whole = last
    assert workers.stop(4.0) is last
    assert [core.told for core in cores] == [[("stop", 4.0)]] * 3


def test_a_refused_precedence_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    workers, _ = made(monkeypatch, 3)
    with caplog.at_level(logging.WARNING):
        workers.take_precedence()
    assert len(caplog.records) == 1


class Relay:
    """Stands for `_native.KernelRelay`."""

    room = 0, 0
    detached = False

    def __init__(self, streams: int, workers: int) -> None:
        Relay.room = streams, workers

    def detach(self) -> None:
        """The end."""
        Relay.detached = True


def test_workers_share_the_kernels_relay_and_each_has_streams_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[object, ...]] = []

    def core(*arguments: object) -> Counted:
        taken.append(arguments[-2:])
        return Counted()

    monkeypatch.setattr(_native, "Core", core)
    monkeypatch.setattr(_native, "KernelRelay", Relay)
    monkeypatch.setattr(Relay, "detached", False)  # also where it is told again
    workers = Workers(3, 10, 60.0, "auto", 500, kernel_relay=True)
    assert Relay.room == (30, 3)
    assert [first for _, first in taken] == [0, 10, 20]
    assert len({relay for relay, _ in taken}) == 1
    assert not Relay.detached
    workers.stop(4.0)
    assert Relay.detached


def test_a_kernel_that_takes_no_streams_is_told_once_and_calls_go_by_sockets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: int) -> None:
        raise OSError("not permitted: it needs CAP_BPF")

    monkeypatch.setattr(_native, "KernelRelay", refused)
    monkeypatch.setattr(_native, "Core", Counted)
    with caplog.at_level(logging.WARNING):
        Workers(2, 10, 60.0, "auto", 500, kernel_relay=True)
    assert [record.message for record in caplog.records] == [
        "the kernel relays no streams, all go by sockets: not permitted: it needs CAP_BPF"
    ]


def test_the_kernels_relay_is_built_in_where_clang_and_libbpf_are() -> None:
    if not shutil.which("clang") or not Path("/usr/include/bpf/libbpf.h").exists():
        pytest.skip("no clang or no libbpf")
    refusal = ""
    try:
        _native.KernelRelay(1)
    except OSError as error:
        refusal = str(error)
    assert "this build" not in refusal
    with pytest.raises(ValueError, match="expected 1 to 1048576"):
        _native.KernelRelay(0)


def test_a_core_takes_only_what_the_relay_has_room_for() -> None:
    with pytest.raises(TypeError, match="expected a KernelRelay or None"):
        _native.Core(4, 60.0, "auto", 500, "relay")  # type: ignore[arg-type]


def test_calls_on_several_workers_talk_play_and_record_each_by_itself() -> None:
    async def story() -> None:
        async with room(workers=3) as place:
            prompt = wav(place.folder / "a.wav", tone(700, 0.1))
            calls = []
            for number in range(6):
                legs = [await place.leg(call=f"call-{number}") for _ in range(2)]
                await place.connect(legs[0][1], legs[1][1])
                calls.append(legs)
            recordings = [
                place.driver.record(str(place.folder / f"{number}.wav"), legs[0][1], legs[1][1])
                for number, legs in enumerate(calls)
            ]
            for recording in recordings:
                recording.voices()
            await asyncio.gather(*(legs[0][0].talk(tone(400, 0.2)) for legs in calls))
            for (_, a), (bert, b) in calls:
                await bert.wait_for(lambda bert=bert: len(bert.heard) == 10)  # type: ignore[misc]
                assert bert.audio() == tone(400, 0.2)
                reports = await place.driver.play([a, b], [prompt]).finished
                assert [report.frames for report in reports] == [5, 5]
            for recording in recordings:
                recording.close()
            recorded = [await recording.finished for recording in recordings]
            assert not any(report.truncated for report in recorded)
            async with asyncio.timeout(25):
                while place.driver.totals.endpoints != 12:
                    await wait_for_seconds(0.05)
            assert place.driver.workers == 3

    run(story)
