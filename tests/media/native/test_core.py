"""Compiles the unit tests of the native core with the address and undefined-behaviour sanitizers and runs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "media" / "native"
APART = (
    "module.c",
    "module_events.c",
    "worker.c",
    "io.c",
    "io_epoll.c",
    "io_uring.c",
)  # Python's face, included by steps.h, faked there
LINKED = sorted(str(path) for path in NATIVE.glob("*.c") if path.name not in APART)
FLAGS = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",
    "-pthread",
)  # steps.h has more than each needs
SMALL = ("-DMAX_PLAYBACKS=4096", "-DMAX_RECORDINGS=64")  # as many as the tests use: big pools are slow to check
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ALONE = {"test_writer": (), "test_dtmf": (str(NATIVE / "g711.c"),)}  # they include the one file that they test
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_native_core_keeps_its_promises_under_the_sanitizers(program: str, tmp_path: Path) -> None:
    target = str(tmp_path / program)
    linked = ALONE.get(program, LINKED)
    subprocess.run(
        ["cc", *FLAGS, *SMALL, *SANITIZERS, "-o", target, str(HERE / f"{program}.c"), *linked, "-lm"], check=True
    )
    finished = subprocess.run([target], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "ok\n", "")
