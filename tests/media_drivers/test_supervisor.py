"""The supervised media process: started, started again, ended with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from softswitch.media_drivers import supervisor
from softswitch.media_drivers.supervisor import MediaProcess
from tests.media.phone import wait_for_seconds
from tests.media.support import run

pytestmark = pytest.mark.real_time
PATIENCE_S = 25.0  # a machine may be busy; who passes does not wait


def arguments(folder: Path) -> tuple[str, ...]:
    return ("--socket", str(folder / "media.sock"), "--ports", "31400-31409")


async def until_listening(folder: Path) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not (folder / "media.sock").exists():
            await wait_for_seconds(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_process_that_ends_is_started_again_and_stop_ends_it(tmp_path: Path) -> None:
    async def story() -> None:
        process = MediaProcess(arguments(tmp_path))
        await process.start()
        await until_listening(tmp_path)
        first = process.pid
        assert first
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while process.restarts == 0:
                await wait_for_seconds(0.01)
        second = process.pid
        assert second
        assert second != first
        await process.stop()
        await process.stop()
        assert process.pid is None
        assert not is_running(second)

    run(story)


def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    async def story() -> None:
        code = (
            "import asyncio, sys\n"
            "from softswitch.media_drivers.supervisor import MediaProcess\n"
            "async def main():\n"
            "    process = MediaProcess(sys.argv[1:])\n"
            "    await process.start()\n"
            "    print(process.pid, flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())\n"
        )
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, *arguments(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout
        child = int(await parent.stdout.readline())
        await until_listening(tmp_path)
        parent.kill()
        await parent.wait()
        async with asyncio.timeout(PATIENCE_S):
            await parent.stdout.read()  # the child writes to the same pipe
            while is_running(child):
                await wait_for_seconds(0.01)

    run(story)


Spawn = Callable[..., Awaitable[asyncio.subprocess.Process]]
spawn: Spawn = asyncio.create_subprocess_exec


async def sleeper(*_: object, **__: object) -> asyncio.subprocess.Process:
    """A child that does nothing, for longer than any test."""
    return await spawn("sleep", "60")


async def until_started_again(process: MediaProcess, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while process.restarts < times:
            await wait_for_seconds(0.005)


def test_a_start_that_is_refused_is_tried_again_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        allowed = iter([True, False, False, False, True])

        async def scarce(*_: object, **__: object) -> asyncio.subprocess.Process:
            if not next(allowed):
                raise OSError("no more processes")
            return await sleeper()

        monkeypatch.setattr(asyncio, "create_subprocess_exec", scarce)
        monkeypatch.setattr(supervisor, "FIRST_BACK_OFF_S", 0.01)
        process = MediaProcess(())
        await process.start()
        assert process.pid
        with capture_logs() as logs:
            os.kill(process.pid, signal.SIGKILL)
            await until_started_again(process, 1)
        assert [entry.get("retry_in_s") for entry in logs] == [None, 0.02, 0.04, 0.08]
        assert [entry.get("error") for entry in logs] == [None] + ["no more processes"] * 3
        assert process.pid
        await process.stop()

    run(story)


@pytest.mark.parametrize("first", [True, False])
def test_a_child_that_is_born_while_we_stop_is_ended(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        born: list[asyncio.subprocess.Process] = []
        labour, delivery = asyncio.Event(), asyncio.Event()

        async def slow(*_: object, **__: object) -> asyncio.subprocess.Process:
            if first or born:
                labour.set()
                await delivery.wait()
            born.append(await sleeper())
            return born[-1]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", slow)
        monkeypatch.setattr(supervisor, "FIRST_BACK_OFF_S", 0.01)
        process = MediaProcess(())
        starting = asyncio.create_task(process.start())
        if not first:
            await starting
            born[0].kill()
        await labour.wait()
        stopping = asyncio.create_task(process.stop())
        await wait_for_seconds(0.01)
        delivery.set()
        await asyncio.gather(starting, stopping)
        assert process.pid is None
        assert not any(is_running(child.pid) for child in born)
        assert process.restarts == 0

    run(story)


def test_a_child_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async def stubborn(*_: object, **__: object) -> asyncio.subprocess.Process:
            child = await spawn("sh", "-c", "trap '' TERM; echo; exec sleep 60", stdout=asyncio.subprocess.PIPE)
            assert child.stdout
            await child.stdout.readline()  # it is deaf by now
            return child

        monkeypatch.setattr(asyncio, "create_subprocess_exec", stubborn)
        monkeypatch.setattr(supervisor, "STOP_S", 0.05)
        process = MediaProcess(())
        await process.start()
        child = process.pid
        assert child
        await process.stop()
        assert not is_running(child)

    run(story)


def test_a_child_that_ran_for_long_is_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", sleeper)
        monkeypatch.setattr(supervisor, "FIRST_BACK_OFF_S", 0.01)
        monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
        process = MediaProcess(())
        await process.start()
        with capture_logs() as logs:
            for times in (1, 2, 3):
                assert process.pid
                os.kill(process.pid, signal.SIGKILL)
                await until_started_again(process, times)
        assert [entry["restart_in_s"] for entry in logs] == [0.01] * 3
        await process.stop()

    run(story)


def test_what_was_never_started_can_be_stopped() -> None:
    process = MediaProcess(())
    asyncio.run(process.stop())
    assert process.pid is None
