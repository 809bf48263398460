"""The supervised media process: started, started again, ended with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from softswitch.media_drivers.supervisor import MediaProcess
from tests.media.phone import wait_for_seconds
from tests.media.support import run


def arguments(folder: Path) -> tuple[str, ...]:
    return ("--socket", str(folder / "media.sock"), "--ports", "31400-31409")


async def until_listening(folder: Path) -> None:
    async with asyncio.timeout(10):
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
        async with asyncio.timeout(10):
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
        async with asyncio.timeout(10):
            while is_running(child):
                await wait_for_seconds(0.01)

    run(story)
