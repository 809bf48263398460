"""Debian's Kamailio as a record-routing proxy, and the witness of every message that reached it (RFC 3261 16).

Called by conftest.py. What it does with a call, `kamailio.cfg` says; here stand its command line, the question whether
it is there yet, and the reading of its log.
"""

from __future__ import annotations

import re
import socket
import string
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from softswitch.sip.addresses import bracketed
from tests.interop.child import Child
from tests.interop.message import Seen
from tests.support.programs import program

CONFIGURATION = Path(__file__).with_name("kamailio.cfg")
SHARED_MEMORY_MB, PRIVATE_MEMORY_MB = "32", "4"

_SAW = re.compile(r"ALERT: <script>: saw (\w+) (\S+):(\d+) (\d+) ([0-9a-f]+)$", re.M)


@dataclass(frozen=True, slots=True)
class Passed(Seen):
    """One message that arrived at the proxy: by which transport, from where, at which door (port)."""

    transport: str
    source: str
    door: int


class _Template(string.Template):
    """Kamailio's own variables begin with $."""

    delimiter = "@"


class Kamailio:
    """`with Kamailio(...) as proxy:` proxies at `address` until the block ends."""

    def __init__(
        self,
        name: str,
        address: str,
        folder: Path,
        places: Mapping[str, str],
        *,
        configuration: Path = CONFIGURATION,
        port: int = 5060,
    ) -> None:
        """`places` are what the configuration leaves open: other addresses, and the PEM files of TLS."""
        self.name, self.address, self.port = name, address, port
        folder.mkdir()
        filled = folder / "kamailio.cfg"
        template = _Template(configuration.read_text(encoding="utf-8"))
        filled.write_text(template.substitute(places, address=address, port=port), encoding="utf-8")
        command = [program("kamailio", "kamailio"), "-DD", "-E", "-f", str(filled), "-Y", str(folder)]
        command += ["-m", SHARED_MEMORY_MB, "-M", PRIVATE_MEMORY_MB]
        self._child = Child(name, command, folder / "kamailio.log")

    def __enter__(self) -> Self:
        self._child.__enter__()
        try:
            family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
            with closing(socket.socket(family, socket.SOCK_DGRAM)) as asker:
                asker.bind((self.address, 0))
                asker.settimeout(0.1)
                self._child.wait_for("answer to OPTIONS", lambda: self._answers(asker))
        except BaseException:
            self._child.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.__exit__(kind, error, trace)

    def restart(self) -> None:
        """End it and start it again: it forgets its transactions and connections, the witness forgets nothing."""
        self.__exit__(None, None, None)
        self.__enter__()

    def _answers(self, asker: socket.socket) -> bool:
        host, port = bracketed(asker.getsockname()[0]), asker.getsockname()[1]
        request = (
            f"OPTIONS sip:{bracketed(self.address)} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKready\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:ready@{host}>;tag=1\r\nTo: <sip:{bracketed(self.address)}>\r\n"
            "Call-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            asker.sendto(request.encode(), (self.address, self.port))
            return asker.recv(4096).startswith(b"SIP/2.0 200")
        except OSError:  # nobody there yet
            return False

    def said(self) -> str:
        """Its log so far."""
        return self._child.said()

    def passed(self) -> list[Passed]:
        """Every message that arrived so far."""
        return [
            Passed(bytes.fromhex(digits).decode("utf-8", "replace"), transport, source, int(door))
            for transport, source, _, door, digits in _SAW.findall(self.said())
        ]

    def wait_to_see(self, name: str, source: str, transport: str) -> Passed:
        """A message `name` that came from `source` by `transport`, whenever it did."""

        def look() -> Passed | None:
            wanted = (name, source, transport)
            return next((one for one in self.passed() if (one.name, one.source, one.transport) == wanted), None)

        return self._child.wait_for(f"{name} of {source} by {transport}", look)

    def complaints(self) -> list[str]:
        """What it logged of errors; its cries at its own end are none."""
        return [line for line in self.said().splitlines() if re.search(r"\) (ERROR|BUG):", line)]
