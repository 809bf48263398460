"""Compiles test_core.c with the address and undefined-behaviour sanitizers and runs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "media" / "native"
LINKED = ("endpoint.c", "g711.c", "line.c", "playback.c", "recording.c", "rtcp.c", "rtp.c", "writer.c")
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_native_core_keeps_its_promises_under_the_sanitizers(tmp_path: Path) -> None:
    program = str(tmp_path / "test_core")
    sources = [str(HERE / "test_core.c"), *(str(NATIVE / name) for name in LINKED)]
    subprocess.run(["cc", *FLAGS, *SANITIZERS, "-o", program, *sources], check=True)
    finished = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "ok\n", "")
