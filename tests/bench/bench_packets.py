"""What one packet of 20 ms takes in a codec and in SRTP alone, beside the kernel's part and libsrtp's own ciphers.

`python -m tests.bench.bench_packets [--legs 100 500 1000 2000] [--rounds 8]`. Two C programs, codec_cost.c and
srtp_cost.c, call the files of media/native in one thread, without sockets. Each figure is the least CPU time of some
rounds, for what else the machine does can only add. What a whole call costs is bench_media's affair (`--codecs`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media import _native
from media.prompts import load_prompt
from tests.bench.programs import CODECS, SRTP, compiled, floor_us, told
from tests.bench.report import Figure, show

BENCH = "packets"
SPEECH = Path(_native.__file__).parent.parent / "prompts" / "zh-CN"
LEGS = 100, 500, 1000, 2000
ROUNDS = 8
PACKETS = 6000  # in one round, of all legs together
SUITES = {"AEAD_AES_256_GCM": "AES-256-GCM", "AES_CM_128_HMAC_SHA1_80": "AES-CM-128, HMAC-SHA1"}


@dataclass(frozen=True, slots=True)
class Sealed:
    """One suite with so many legs, as srtp_cost.c tells of it: by our ciphers, and by those that libsrtp has itself."""

    suite: str
    legs: int
    ours: dict[str, float]
    theirs: dict[str, float]


def measure(legs: Sequence[int] = LEGS, rounds: int = ROUNDS, packets: int = PACKETS) -> list[Figure]:
    """Codecs and suites that this build of the media core has."""
    with tempfile.TemporaryDirectory(prefix="softswitch-bench-") as folder:
        print("packets: codecs …", file=sys.stderr)
        figures = list(coding(_codecs(folder, rounds), floor_us()))
        figures += sealing(list(_sealed(folder, legs, rounds, packets)))
    return figures


def _codecs(folder: str, rounds: int) -> list[dict[str, Any]]:
    speech = b"".join(load_prompt(file).samples for file in sorted(SPEECH.glob("*.wav")))
    return told(compiled(folder, "codec_cost", CODECS), rounds, given=speech)


def _sealed(folder: str, legs: Sequence[int], rounds: int, packets: int) -> Iterator[Sealed]:
    """Both programs have the same name, so each has a folder."""
    suites = {suite: name for suite, name in SUITES.items() if suite in _native.SRTP_SUITES}
    if not suites:
        return
    ours = compiled(tempfile.mkdtemp(dir=folder), "srtp_cost", SRTP)
    theirs = compiled(tempfile.mkdtemp(dir=folder), "srtp_cost", SRTP[:1], "THEIR_CIPHERS")
    for suite, name in suites.items():
        for count in sorted(legs):
            print(f"packets: {name}, {count} legs …", file=sys.stderr)
            arguments = suite, rounds, packets, count
            yield Sealed(name, count, told(ours, *arguments)[0], told(theirs, *arguments)[0])


def coding(codecs: Sequence[dict[str, Any]], floor: float) -> Iterator[Figure]:
    """The figures of codecs beside the `floor`, microseconds that the kernel takes to receive and to send a packet."""
    for one in codecs:
        both = one["encode_us"] + one["decode_us"]
        note = f"out of it {one['decode_us']:.2f} µs"
        yield Figure(BENCH, one["name"], "into the codec", one["encode_us"], "µs", None, note)
        note = f"the kernel's part of a relayed packet, {floor:.1f} µs"
        yield Figure(BENCH, one["name"], "into it and out, by the kernel's part", both / floor, "times", None, note)
        if one["state_kb"]:
            yield Figure(BENCH, one["name"], "memory of decoder and encoder", one["state_kb"], "KB")


def sealing(measured: Sequence[Sealed]) -> Iterator[Figure]:
    """The figures of SRTP beside libsrtp's own ciphers, and of many legs beside few."""
    few = {one.suite: one for one in reversed(measured)}
    for one in measured:
        ours, theirs, subject = one.ours, one.theirs, f"{one.suite}, {one.legs} legs"
        note = (
            f"opening {ours['open_us']:.2f}; by libsrtp's own ciphers {theirs['seal_us']:.2f}, {theirs['open_us']:.2f}"
        )
        yield Figure(BENCH, subject, "sealing", ours["seal_us"], "µs", None, note)
        ratio = theirs["seal_us"] / ours["seal_us"]
        yield Figure(BENCH, subject, "libsrtp's own ciphers, by ours", ratio, "times")
        first = few[one.suite]
        if one is not first:
            ratio = ours["seal_us"] / first.ours["seal_us"]
            yield Figure(BENCH, subject, f"sealing, by that of {first.legs} legs", ratio, "times")
    for suite, one in few.items():
        note = f"by libsrtp's own ciphers {one.theirs['context_kb']:.1f}"
        yield Figure(BENCH, suite, "memory of a context", one.ours["context_kb"], "KB", None, note)
        note = f"each with another SSRC {one.ours['forged_anew_us']:.2f}; as long as nothing authentic has come"
        yield Figure(BENCH, suite, "forged packet", one.ours["forged_us"], "µs", None, note)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--legs", type=int, nargs="+", default=LEGS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    values = parser.parse_args()
    show(measure(values.legs, values.rounds))


if __name__ == "__main__":
    main()
