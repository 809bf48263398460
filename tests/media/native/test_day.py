"""Compiles day.c, 24 hours of a call in accelerated time, and runs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.media.native.test_core import FLAGS, HERE, LIBRARIES, LINKED, SMALL


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_after_a_day_nothing_has_drifted_or_leaked(tmp_path: Path) -> None:
    program = str(tmp_path / "day")
    subprocess.run(["cc", *FLAGS, *SMALL, "-O2", "-o", program, str(HERE / "day.c"), *LINKED, *LIBRARIES], check=True)
    finished = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "ok\n", "")
