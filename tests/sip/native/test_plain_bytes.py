"""plain.c under AddressSanitizer and UndefinedBehaviorSanitizer: torture messages, and thousands damaged."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

from tests.properties.test_plain_messages import ANSWER, CORPUS, INVITE, SPICES
from tests.sip.native.fuzz import FLAGS, SOURCES

DAMAGED = 20_000


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some places of `data` cut out, seasoned or cut short."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(data))
        data = data[:at] + chance.choice([b"", *SPICES]) + data[at + chance.choice([0, 1, 1, 2, 40]) :]
    return data[: chance.randint(0, len(data))] if chance.random() < 0.2 else data


def test_nothing_is_read_outside_of_a_message(tmp_path: Path) -> None:
    program = tmp_path / "plain"
    subprocess.run(["cc", *FLAGS, "-DALONE", "-fsanitize=address,undefined", *SOURCES, "-o", str(program)], check=True)
    chance = random.Random(20261122)
    whole = [b"", INVITE, ANSWER, *(data for data in CORPUS if len(data) < 65536)]
    short = [INVITE[:end] for end in range(len(INVITE))] + [ANSWER[start:] for start in range(len(ANSWER))]
    inputs = whole + short + [damaged(chance.choice([INVITE, ANSWER]), chance) for _ in range(DAMAGED)]
    played = b"".join(struct.pack("=I", len(data)) + data for data in inputs)
    done = subprocess.run([str(program)], input=played, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
