"""The C programs of the benches, compiled anew for each run with the media core's own sources. Used by the benches."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from media import _native

NATIVE = Path(_native.__file__).parent / "native"
LIBRARIES = {"SRTP": "-lsrtp2 -lcrypto", "G722": "-lspandsp", "opus": "-lopus"}
CODECS = ("codec_opus", "codec_g722", "g711")
SRTP = ("srtp", "srtp_ciphers")


def compiled(folder: str, name: str, natives: Sequence[str] = (), *defined: str) -> str:
    """The path of the program `name` of this directory, built with `natives` of the core and what that has."""
    target = f"{folder}/{name}"
    sources = [str(Path(__file__).with_name(f"{name}.c")), *(str(NATIVE / f"{native}.c") for native in natives)]
    built_with = [*(("SRTP",) if _native.SRTP_SUITES else ()), *_native.CODECS]
    flags = [f"-D{macro}" for macro in (*defined, *(f"HAVE_{one.upper()}" for one in built_with))]
    libraries = [*" ".join(LIBRARIES[one] for one in built_with).split(), "-lm"] if natives else []
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", *flags, "-o", target, *sources, *libraries], check=True)
    return target


def told(program: str, *arguments: object, given: bytes = b"") -> list[dict[str, Any]]:
    """The lines of JSON that a program prints."""
    command = [program, *(str(argument) for argument in arguments)]
    output = subprocess.run(command, input=given, capture_output=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def floor_us() -> float:
    """CPU microseconds that the kernel takes to receive a packet and to send it on: the best of three."""
    with TemporaryDirectory() as folder:
        program = compiled(folder, "udp_floor")
        return min(float(subprocess.run([program], capture_output=True, check=True).stdout) for _ in range(3))


def line_ns() -> tuple[float, float, float]:
    """Nanoseconds to read a line of memory again: at once, after 2 ms, and after 10 ms (others had the caches)."""
    with TemporaryDirectory() as folder:
        printed = subprocess.run([compiled(folder, "cache_memory")], capture_output=True, check=True).stdout
        at_once, soon, late = map(float, printed.split())
        return at_once, soon, late
