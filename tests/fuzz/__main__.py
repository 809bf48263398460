"""`python -m tests.fuzz [SECONDS] [TARGET ...]`: coverage-guided fuzzing of what reads bytes of strangers.

Each target gets SECONDS (20 where none are given), begins with the torture messages of RFC 4475 and RFC 5118, and runs
in a process of its own, for libFuzzer ends the process that it ran in. A finding ends the run with status 1 and leaves
the input in build/fuzz/TARGET.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECONDS = 20
LONGEST = 4096  # bytes of one input
WORK = Path("build/fuzz")
ALL = ("message", "values", "digest", "sdp", "framing", "wav", "core")  # TARGETS is imported where it is instrumented


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["softswitch.sip", "softswitch.sdp", "media.prompts"]):
        from tests.fuzz.targets import TARGETS

    target, seeds = TARGETS[name]
    corpus = WORK / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        (corpus / f"seed{index}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10", f"-artifact_prefix={WORK / name}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets asked for, one after the other; 1 where one of them found something."""
    words = sys.argv[1:]
    if words[:1] == ["--one"]:
        fuzz(words[1], int(words[2]))
    seconds = int(words.pop(0)) if words and words[0].isdigit() else SECONDS
    failed = []
    for name in words or ALL:
        print(f"== {name}, {seconds} s", flush=True)
        if subprocess.run([sys.executable, "-m", "tests.fuzz", "--one", name, str(seconds)], check=False).returncode:
            failed.append(name)
    print("found nothing" if not failed else f"findings: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
