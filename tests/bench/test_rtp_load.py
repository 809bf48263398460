"""The load generator against a relay that the test plays: what it calls lost, and what late."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.wire import free_ports
from tests.bench.bench_media import PCMA, compile_load

HOST = "127.0.0.1"
pytestmark = [pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler"), pytest.mark.real_time]


class Wire:
    """Two phones of a running load generator, and the socket between them."""

    def __init__(self, load: str, seconds: float) -> None:
        phones = [port for port in free_ports(4) if port % 2 == 0][:2]
        self._partner = {phones[0]: phones[1], phones[1]: phones[0]}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.settimeout(0.3)
        target = self._socket.getsockname()[1]
        self.generator = subprocess.Popen([load, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.generator.stdin
        assert self.generator.stdout
        self._stdout = self.generator.stdout
        self.generator.stdin.write("".join(f"{phone} {target} {PCMA}\n" for phone in phones).encode())
        self.generator.stdin.close()

    def close(self) -> None:
        """End all."""
        self.generator.kill()
        self.generator.wait()
        self._stdout.close()
        self._socket.close()

    def packets(self) -> Iterator[tuple[bytes, int] | None]:
        """What a phone sent, with its port, until the generator ends; None when nothing came for 0.3 s."""
        while self.generator.poll() is None:
            try:
                packet, (_, port) = self._socket.recvfrom(2048)
                yield packet, port
            except TimeoutError:
                yield None

    def pass_on(self, packet: bytes, port: int) -> int:
        """To the other phone; the nanoseconds since it was sent, or a few more."""
        self._socket.sendto(packet, (HOST, self._partner[port]))
        return time.time_ns() - sum((byte >> 7) << bit for bit, byte in enumerate(packet[12:76]))

    def figures(self) -> Any:
        """What the generator told."""
        return json.loads(self._stdout.read())

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Within, and for half a second longer, the generator stands still."""
        os.kill(self.generator.pid, signal.SIGSTOP)
        while Path(f"/proc/{self.generator.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)
        yield
        time.sleep(0.5)
        os.kill(self.generator.pid, signal.SIGCONT)


def test_only_what_never_comes_is_lost(tmp_path: Path) -> None:
    with contextlib.closing(Wire(compile_load(str(tmp_path)), 0.2)) as wire:
        held: list[tuple[bytes, int]] = []
        kept = came = 0
        for packet in wire.packets():
            if packet:
                held.append(packet)
                continue
            for one in held:  # the last one was sent 0.3 s ago
                came += 1
                if came % 4 == 0:
                    kept += 1
                else:
                    wire.pass_on(*one)
            held.clear()
        told = wire.figures()
    assert (told["sent"], kept) == (20, 5)
    assert told["sent"] - told["received"] == kept
    assert told["p50_ms"] >= 300


def test_what_the_generator_fetches_late_has_not_come_late(tmp_path: Path) -> None:
    with contextlib.closing(Wire(compile_load(str(tmp_path)), 1.5)) as wire:
        took_ns: list[int] = []
        for packet in wire.packets():
            if packet:
                with contextlib.nullcontext() if took_ns else wire.stopped():
                    took_ns.append(wire.pass_on(*packet))
        told = wire.figures()
    assert told["received"] == told["sent"] == 150
    assert told["p999_ms"] <= max(took_ns) / 1e6 + 0.01
    assert told["behind_ms"] > 400  # and that it was late itself is told
