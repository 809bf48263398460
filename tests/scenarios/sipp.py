"""Runs one SIPp and reads the trace of its messages.

Called by runner.py. SIPp itself checks the order of messages and whatever its scenario file says; here stand only its
command line, its exit and what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.support.programs import program

TIMEOUT_S = 120

_ENTRY = re.compile(r"^-{20,} ([^\n]*)\n\w+ message (sent|received) [^\n]*\n\n", re.M)


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One message as SIPp sent or received it, at which second of all days."""

    text: str
    sent: bool = False
    at: float = 0.0

    @property
    def name(self) -> str:
        """Method of a request, status of a response."""
        first = self.text.split(None, 2)
        return first[1] if first[0].startswith("SIP/2.0") else first[0]

    def header(self, name: str) -> str:
        """All values of a header, "" where there is none."""
        head = self.text.partition("\n\n")[0]
        return ", ".join(re.findall(rf"^{re.escape(name)}[ \t]*:[ \t]*(.*)$", head, re.M | re.I))


def messages(trace: str) -> list[TracedMessage]:
    """What was sent and received, in its order, with every retransmission."""
    parts = _ENTRY.split(trace.replace("\r\n", "\n"))[1:]
    entries = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [TracedMessage(text.strip("\n") + "\n", way == "sent", _second(stamp)) for stamp, way, text in entries]


def _second(stamp: str) -> float:
    """SIPp writes `2026-11-21 11:53:43.634866` (or a tab, and more behind it). Calls may last over midnight."""
    clock = re.search(r"(\d{4}-\d\d-\d\d)\s+(\d\d):(\d\d):(\d\d\.\d+)", stamp)
    if clock is None:
        return 0.0
    day = date.fromisoformat(clock[1]).toordinal()
    return day * 86400.0 + int(clock[2]) * 3600 + int(clock[3]) * 60 + float(clock[4])


class Sipp:
    """One SIPp process for one call, at `address` (host and port); its files are `<folder>/<name>.*`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        file: Path,
        address: tuple[str, int],
        keys: Mapping[str, str | int],
        *,
        media_ip: str,
        transport: str = "udp",
        calls: int = 1,
        lasts_s: float = 0.0,
    ) -> None:
        self.name, self.address, self.transport = name, address, transport
        self._media_ip, self._calls, self._lasts_s = media_ip, calls, lasts_s
        self._base = folder / name
        self._file, self._keys = file, keys
        self._process: asyncio.subprocess.Process | None = None
        self.exit_code: int | None = None

    @property
    def trace(self) -> str:
        """The message trace as far as it is written."""
        return self._read(".messages")

    @property
    def errors(self) -> str:
        """What SIPp had to complain about."""
        return self._read(".errors") or (self._read(".output")[-500:] if self.exit_code else "")

    def _read(self, suffix: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._base.with_suffix(suffix).read_text(encoding="utf-8", errors="replace")
        return ""

    async def answer(self) -> None:
        """Start as a callee; returns when the port is open."""
        await self._start([])
        deadline = asyncio.get_running_loop().time() + 60
        while (
            not port_is_open(*self.address, self.transport)
            and self._process is not None
            and self._process.returncode is None
        ):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"SIPp {self.name} does not listen on {self.address}")
            await asyncio.sleep(0.02)

    async def call(self, switch: str, dialled: str) -> None:
        """Place the call to `switch` (host:port) and return when it is over."""
        await self._start([switch, "-s", dialled])
        await self.wait()

    async def wait(self) -> None:
        """Return when SIPp has ended by itself."""
        assert self._process is not None
        self.exit_code = await self._process.wait()

    def stop(self) -> None:
        """End a SIPp that still waits for its call."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _start(self, target: list[str]) -> None:
        ip, port = self.address
        options = [
            "-sf",
            str(self._file),
            "-i",
            ip,
            "-mi",
            self._media_ip,
            "-ci",
            self._media_ip,
            "-p",
            str(port),
            "-t",
            "u1" if self.transport == "udp" else "t1",
            "-bind_local",
            "-m",
            str(self._calls),
            "-r",
            "1",
            "-l",
            "1",
        ]
        options += [
            "-nostdin",
            "-timeout",
            f"{round(TIMEOUT_S + self._lasts_s)}s",
            "-timeout_error",
            "-deadcall_wait",
            "0",
        ]
        options += ["-trace_err", "-error_file", str(self._base.with_suffix(".errors"))]
        options += ["-trace_msg", "-message_file", str(self._base.with_suffix(".messages"))]
        for key, value in self._keys.items():
            options += ["-key", key, str(value)]
        caller = str(self._keys["caller"]).lstrip("+") if "caller" in self._keys else "callee"
        options += ["-cid_str", f"%u-%p-{caller}@%s"]
        with self._base.with_suffix(".output").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                program("sipp", "sip-tester"),
                *target,
                *options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


def port_is_open(address: str, port: int, transport: str = "udp") -> bool:
    """Whether somebody listens there, without touching the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    words = struct.iter_unpack("<I", socket.inet_pton(family, address.strip("[]")))
    wanted = "".join(f"{word:08X}" for (word,) in words) + f":{port:04X} "
    table = f"/proc/net/{transport}{'6' if ':' in address else ''}"
    return wanted in Path(table).read_text(encoding="ascii")
