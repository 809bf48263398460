"""`python -m tests.media.native.fuzz [SECONDS]`: libFuzzer (clang) on what the native core reads of strangers.

Packets of RTP, RTCP and telephone-event and the commands between them, as fuzz_packets.c reads them from one input.
Where there is no clang, `make test` still plays the seeds and some thousand mutations of them. A finding ends with
status 1 and leaves the input in build/fuzz/packets.
"""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from tests.media.native.test_core import FLAGS, HERE, LIBRARIES, LINKED, SANITIZERS, SMALL
from tests.media.phone import key, rtp

SECONDS = 20
WORK = Path("build/fuzz/packets")
RTCP, ELSEWHERE, WHOLE, SEALED, CODED, COMMAND, OTHER_SIDE = 2, 4, 8, 0x20, 0x40, 0x80, 0x40
PLAY, RECORD, CLOSE_RECORDING, REOPEN = 3, 5, 6, 7


def record(what: int, data: bytes = b"", *, passed_ms: int = 20) -> bytes:
    """One thing that happens."""
    return bytes([what, passed_ms, len(data)]) + data


def agreement(flags: int, *, side: int = 0, srtp: int = 0, codec: int | None = None) -> bytes:
    """Another one of side 0 or 1: see command(), protect() and encode() in fuzz_packets.c."""
    kinds = bytes([srtp] if srtp else []) if codec is None else bytes([srtp, codec])
    return record(COMMAND | (OTHER_SIDE if side else 0), bytes([flags]) + kinds)


def command(what: int, how: int, *, side: int = 0) -> bytes:
    """Any other: see command() in fuzz_packets.c."""
    return record(COMMAND | what | (OTHER_SIDE if side else 0), bytes([how]))


def sender_report(ssrc: int, of: int) -> bytes:
    """RFC 3550 6.4.1, with one block, SDES and BYE."""
    head = struct.pack("!BBHIQIII", 0x81, 200, 12, ssrc, 1 << 40, 160, 1, 160)
    block = struct.pack("!IIIIII", of, 0x10000002, 9, 80, 0x1234, 65536)
    return (
        head
        + block
        + struct.pack("!BBHIBB2s", 0x81, 202, 2, ssrc, 1, 2, b"ab")
        + struct.pack("!BBHI", 0x81, 203, 1, ssrc)
    )


def seeds() -> list[bytes]:
    """Stories to begin with: talk, key presses, reports, other packet lengths, NAT, SRTP, codecs, what is malformed."""
    voice = bytes(range(160))
    talk = [record(side, voice[: 80 + 40 * (index % 3)]) for index in range(12) for side in (0, 1)]
    presses = [record(0, key(5, 160 * number, end=number > 3)) for number in range(1, 7)]
    reports = [record(RTCP | WHOLE | side, sender_report(7, 100 + side)) for side in (0, 1)]
    lengths = [agreement(1 | 2 | 4 | ptime << 3, side=side) for ptime in range(6) for side in (0, 1)]
    malformed = [
        record(WHOLE, data)
        for data in (
            b"",
            b"\x80",
            b"\x8f\x08" + bytes(20),
            b"\x90\x08" + bytes(10) + b"\xbe\xde\xff\xff",
            b"\xa0\x08" + bytes(20),
        )
    ]
    elsewhere = [agreement(64 | 2), *(record(ELSEWHERE, voice) for _ in range(5)), record(0, voice, passed_ms=255)]
    mux = [agreement(128 | 2), record(WHOLE, sender_report(7, 100)), record(WHOLE, rtp(1, 160, voice))]
    played = [command(PLAY, 1 | 8 * 2 | 2 * (number % 2)) + one for number, one in enumerate(talk)]
    recorded = [command(RECORD, 4 | 64), *talk, *played, command(CLOSE_RECORDING, 0), command(REOPEN, 0), *talk]
    keyed = [agreement(1 | 2 | 4, side=side, srtp=8 + 2 * suite) for suite in range(3) for side in (0, 1)]
    said = [record(SEALED | side, voice) for side in (0, 1)]
    told = [record(SEALED | RTCP | WHOLE | side, sender_report(7, 100 + side)) for side in (0, 1)]
    srtp = [one for first, second in itertools.pairwise(keyed) for one in (first, second, *said, *told)]
    # By their first byte packets of Opus of 20 ms (RFC 6716 3.1); to G.722 they are any. Every other one is lost.
    packets = [record(CODED | side, bytes([8, *voice[: 9 + 150 * (at % 2)]])) for at in range(9) for side in (0, 1)]
    kinds = ((1, 1), (0, 0), (1, 0), (2, 1))  # of either side: G.722, Opus, G.711
    coded = []
    for number, pair in enumerate(kinds):
        coded += [agreement(11 | 4 * (number != 1), side=side, srtp=6, codec=4 * pair[side] | 3) for side in (0, 1)]
        coded += [*packets, *presses[:3], *talk[:4], command(RECORD, 4 | 64), command(PLAY, 2 | 16 | 64), *packets]
    whole = [*talk, *presses, *reports, *malformed, *elsewhere, *mux]
    mixed = [one for pair in zip(lengths, talk, strict=False) for one in pair]
    return [
        b"".join(story)
        for story in (talk, presses + talk, reports, mixed, malformed, elsewhere, mux, recorded, srtp, coded, whole)
    ]


def main() -> int:
    """Fuzz for so many seconds; libFuzzer's status."""
    clang = shutil.which("clang") or shutil.which("clang-14")
    if clang is None:
        print("packets: no clang here, see make test")
        return 0
    corpus = WORK / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds()):
        (corpus / f"seed{index}").write_bytes(seed)
    target, flags = WORK / "fuzz_packets", [*FLAGS, *SMALL, *SANITIZERS, "-fsanitize=fuzzer", "-DLIBFUZZER"]
    source = str(HERE / "fuzz_packets.c")
    if subprocess.run([clang, *flags, "-o", target, source, *LINKED, *LIBRARIES], check=False).returncode:
        print("packets: clang can't build it; its libFuzzer is a package apart (Debian: libclang-rt-14-dev)")
        return 1
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", f"-artifact_prefix={WORK}/"]
    return subprocess.run([target, *options, corpus], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
