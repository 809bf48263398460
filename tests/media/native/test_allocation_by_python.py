"""The extension where memory runs out: whichever allocation fails, Python is told, and nothing is kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.media.native.test_core import FLAGS, HERE, LIBRARIES, NATIVE, SMALL

OF_THE_FACE = 7  # besides those of the worker: three pools of two, and what is played
OF_THE_WORKER = 10  # at least
STORY = """
import ctypes, importlib.machinery, importlib.util, itertools, os, sys
path = sys.argv[1]
loader = importlib.machinery.ExtensionFileLoader("_native", path)
native = importlib.util.module_from_spec(importlib.util.spec_from_file_location("_native", path, loader=loader))
left = ctypes.c_int.in_dll(ctypes.CDLL(path), "failing_left")
files = len(os.listdir("/proc/self/fd"))
for failing in itertools.count(1):
    left.value = failing
    try:
        core = native.Core(16, 60.0, io="epoll")
    except OSError as error:
        assert (str(error), left.value) == ("can't start the media core", 0)
        assert len(os.listdir("/proc/self/fd")) == files
        continue
    assert left.value, "it has started without something"
    assert core.stop()
    break
print(failing - 1)
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_a_core_that_has_no_memory_to_start_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    target = str(tmp_path / "_native.so")
    sources = [*sorted(str(path) for path in NATIVE.glob("*.c")), str(HERE / "failing_calloc.c")]
    include = f"-I{sysconfig.get_path('include')}"
    flags = [*FLAGS, *SMALL, "-shared", "-fPIC", "-Dcalloc=failing_calloc", include]
    subprocess.run(["cc", *flags, "-o", target, *sources, *LIBRARIES], check=True)
    finished = subprocess.run([sys.executable, "-c", STORY, target], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert int(finished.stdout) >= OF_THE_FACE + OF_THE_WORKER
