"""`python -m tests.media.native.valgrind [PROGRAM ...]`: the C tests of the native core under valgrind (memcheck).

It tells of reads of what was never written, which the sanitizers of `make test` do not, and of leaks. Takes minutes:
`make valgrind` runs it and `make test` does not. Ends with status 1 where a program has an error or a leak. Threads
wait by epoll: valgrind lets no other thread run while one waits in io_uring_enter.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.media.native.test_core import PROGRAMS, build

WORK = Path("build/valgrind")
LEAKS = "definite,indirect"  # what a thread has that was left at its disk is possible
SUPPRESSIONS = Path(__file__).with_suffix(".supp")
OPTIONS = (
    "-q",
    f"--suppressions={SUPPRESSIONS}",
    f"--errors-for-leak-kinds={LEAKS}",
    "--error-exitcode=9",
    "--leak-check=full",
    f"--show-leak-kinds={LEAKS}",
)
NOT_FOR_IT = ("test_packet_path",)  # stands in the place of malloc, as valgrind does
ARGUMENTS = {"test_allocation": ("epoll",), "test_threads": ("epoll",)}
AT_MOST_S = 1800.0


def clean(program: str) -> bool:
    """Whether `program` ends well under valgrind; what it found is printed."""
    command = ["valgrind", *OPTIONS, build(program, WORK, ()), *ARGUMENTS.get(program, ())]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=AT_MOST_S)
    good = (finished.returncode, finished.stdout, finished.stderr) == (0, "ok\n", "")
    print(f"{program}: {'clean' if good else finished.returncode}", finished.stderr, flush=True)
    return good


def main() -> int:
    """All programs, or those that are named."""
    if shutil.which("valgrind") is None:
        print("no valgrind here")
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    programs = sys.argv[1:] or [program for program in PROGRAMS if program not in NOT_FOR_IT]
    failed = [program for program in programs if not clean(program)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
