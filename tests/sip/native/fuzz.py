"""`python -m tests.sip.native.fuzz [SECONDS]`: libFuzzer (clang) on the reader of plain SIP messages.

Where there is no clang, `make test` still plays the torture corpus and some thousand mutations of it
(test_plain_bytes.py). A finding ends with status 1 and leaves the input in build/fuzz/plain.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.properties.test_plain_messages import ANSWER, CORPUS, INVITE

HERE = Path(__file__).parent
SOURCES = [str(HERE / "fuzz_plain.c"), str(HERE.parents[2] / "softswitch/sip/native/plain.c")]
FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
SECONDS = 20
WORK = Path("build/fuzz/plain")


def main() -> int:
    """Fuzz for so many seconds."""
    clang = shutil.which("clang") or shutil.which("clang-14")
    if clang is None:
        print("no clang: the reader of plain messages is not fuzzed")
        return 0
    corpus = WORK / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate([INVITE, ANSWER, *CORPUS]):
        (corpus / f"seed-{number}").write_bytes(seed)
    program = WORK / "fuzz_plain"
    command = [clang, *FLAGS, "-fsanitize=fuzzer,address,undefined", *SOURCES, "-o", str(program)]
    if subprocess.run(command, check=False).returncode:
        print("plain messages: clang can't build it; its libFuzzer is a package apart (Debian: libclang-rt-14-dev)")
        return 1
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    limits = [f"-max_total_time={seconds}", f"-artifact_prefix={WORK}/", "-max_len=4096", "-print_final_stats=1"]
    return int(subprocess.run([str(program), *limits, str(corpus)], check=False).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
