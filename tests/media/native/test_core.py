"""Compiles the unit tests of the native core with the address and undefined-behaviour sanitizers and runs them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

from media import _native

HERE = Path(__file__).parent
NATIVE = HERE.parents[2] / "media" / "native"
APART = (
    "module.c",
    "module_events.c",
    "module_srtp.c",
    "module_remote.c",
    "module_kernel_relay.c",
    "worker.c",
    "io.c",
    "io_epoll.c",
    "io_uring.c",
)  # Python's face, included by steps.h, faked there
LINKED = sorted(str(path) for path in NATIVE.glob("*.c") if path.name not in APART)
BUILT_WITH = (*(("SRTP",) if _native.SRTP_SUITES else ()), *_native.CODECS)  # the core that is here
FLAGS = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",
    "-pthread",  # steps.h has more than each needs
    *(f"-DHAVE_{name.upper()}" for name in BUILT_WITH),
)
OPTIONAL = {"SRTP": "-lsrtp2 -lcrypto", "G722": "-lspandsp", "opus": "-lopus"}
LIBRARIES = ("-lm", *" ".join(OPTIONAL[name] for name in BUILT_WITH).split())
SMALL = ("-DMAX_PLAYBACKS=4096", "-DMAX_RECORDINGS=64")  # as many as the tests use: big pools are slow to check
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREADS = ("-fsanitize=thread",)
OTHERWISE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("test_ring", "test_threads", "test_kernel_threads"), THREADS),
    **dict.fromkeys(("test_packet_path", "test_kernel_look"), ()),  # they count what sanitizers replace, or add
}
WHOLE = (*LINKED, *(str(NATIVE / name) for name in ("worker.c", "io.c", "io_epoll.c", "io_uring.c")))
IN_KERNEL = (*(path for path in LINKED if "_load." not in path), str(HERE / "kernel_program.c"))
ALONE = {  # they include what they test, or fake nothing
    "test_writer": (),
    "test_ring": (),
    "test_io": tuple(str(NATIVE / name) for name in ("io.c", "io_epoll.c", "io_uring.c")),
    "test_dtmf": (str(NATIVE / "g711.c"),),
    "test_timeline": (str(NATIVE / "timeline.c"),),
    "test_threads": WHOLE,
    "test_allocation": WHOLE,
    "test_packet_path": WHOLE,
    **{f"test_kernel_{name}": IN_KERNEL for name in ("relay", "story", "look", "threads")},
}
DEFINED = {
    "test_allocation": ("-Dcalloc=failing_calloc", "-DEVP_CIPHER_CTX_new=failing_cipher"),
    "test_io": ("-Dsyscall=failing_syscall",),
    "test_writer": ("-Dcalloc=failing_calloc",),
    "test_kernel_look": ("-O2",),  # as setup.py has it: an instruction is interrupted by nothing
}
INCLUDED = f"-I{HERE / 'in_kernel'}"  # by kernel_program.c
SPREAD, MOST_SPREAD = Path("/proc/sys/vm/mmap_rnd_bits"), 28
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_native_core_keeps_its_promises_under_the_sanitizers(program: str, tmp_path: Path) -> None:
    target = build(program, tmp_path, OTHERWISE.get(program, SANITIZERS))
    assert ran(target) == (0, "ok\n", "")


def ran(*command: str | Path) -> tuple[int, str, str]:
    """How a program built with sanitizers ended, and what it said.

    They keep fixed addresses for themselves, and where the kernel spreads those of programs too widely, GCC's now and
    then find theirs taken before main() begins: so nothing is placed by chance, where that may be asked for.
    """
    fixed = ["setarch", "-R"]
    if subprocess.run([*fixed, "true"], capture_output=True, check=False).returncode:  # a container may forbid it
        fixed = []
        with contextlib.suppress(OSError):
            if int(SPREAD.read_text()) > MOST_SPREAD:
                pytest.skip("sanitizers can't work here: vm.mmap_rnd_bits is too large, and setarch -R not permitted")
    finished = subprocess.run([*fixed, *command], capture_output=True, text=True, check=False)
    return finished.returncode, finished.stdout, finished.stderr


def build(program: str, folder: Path, sanitizers: tuple[str, ...]) -> str:
    """The program's path."""
    target, source, linked = str(folder / program), str(HERE / f"{program}.c"), ALONE.get(program, LINKED)
    flags = [*FLAGS, *SMALL, *sanitizers, *DEFINED.get(program, ()), INCLUDED]
    subprocess.run(["cc", *flags, "-o", target, source, *linked, *LIBRARIES], check=True)
    return target


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_no_story_of_packets_and_mutation_of_one_breaks_the_core(tmp_path: Path) -> None:
    from tests.media.native.fuzz import seeds

    files = [tmp_path / f"seed{index}" for index in range(len(seeds()))]
    for file, seed in zip(files, seeds(), strict=True):
        file.write_bytes(seed)
    target = build("fuzz_packets", tmp_path, SANITIZERS)
    assert ran(target, *files) == (0, "ok\n", "")
