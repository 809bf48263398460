"""Reads the SIP messages out of a phone's log, for machines where listening on loopback is not permitted.

Called by demo/stage.py in the place of demo/wire.py. The log knows no RTP, and its times are of the clock on the wall.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from demo.wire import Packet

_MESSAGE = re.compile(
    r"^(\d\d):(\d\d):(\d\d\.\d+) [^\n]*\b(RX|TX) \d+ bytes [^\n]* (?:from|to) UDP ([\d.]+):(\d+):\n(.*?)\n--end msg--",
    re.MULTILINE | re.DOTALL,
)


def messages(log: str, phone_port: int) -> list[Packet]:
    """The messages that the phone at `phone_port` sent (TX) and received (RX), `at` in seconds of the day."""
    found = []
    for hours, minutes, seconds, way, address, port, text in _MESSAGE.findall(log.replace("\r\n", "\n")):
        at = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        phone, peer = (address, phone_port), (address, int(port))
        source, destination = (phone, peer) if way == "TX" else (peer, phone)
        found.append(Packet(at, source, destination, text.replace("\n", "\r\n").encode()))
    return found


def read_logs(logs: Iterable[tuple[Path, int]]) -> list[Packet]:
    """The messages of several phones' logs (file, SIP port), in the order of their times."""
    found = [
        packet
        for log, port in logs
        if log.exists()
        for packet in messages(log.read_text(encoding="utf-8", errors="replace"), port)
    ]
    return sorted(found, key=lambda packet: packet.at)
