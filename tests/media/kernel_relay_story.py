"""`python -m tests.media.kernel_relay_story HERE ANNAS BERTS`: a call between network namespaces, told as JSON.

Called by test_kernel_relay_ways.py, in a process of its own, for its main thread moves between the namespaces.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from media.engine import Settings
from media.ports import SocketOptions
from media.server import MediaServer, ServerSettings
from softswitch.media_drivers.server import ServerDriver
from tests.media.phone import Phone, tone, wait_for_seconds
from tests.media.support import remote
from tests.media.test_kernel_relay_ways import enter

ETH_P_IP = 0x0800
ANNA, BERT, SERVERS = "10.9.1.2", "10.9.2.2", "10.9.1.1"


def checksum(data: bytes) -> int:
    """RFC 1071; 0 where it is right."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def judge(frames: Sequence[bytes]) -> dict[str, object]:
    """Of IPv4 packets on the wire: wrong checksums (RFC 768, RFC 791), marks, hops, who has an identification."""
    bad, named, marks, hops, fragments = 0, 0, set(), set(), set()
    for packet in frames:
        if packet[9] != socket.IPPROTO_UDP or len(packet) < 200:
            continue
        udp = packet[20:]
        pseudo = packet[12:20] + struct.pack("!BBH", 0, socket.IPPROTO_UDP, len(udp))
        bad += checksum(packet[:20]) != 0 or checksum(pseudo + udp) != 0
        marks.add(packet[1])
        hops.add(packet[8])
        named += packet[4:6] != b"\0\0"
        fragments.add(packet[6:8].hex())
    sets = {"marks": sorted(marks), "hops": sorted(hops), "fragments": sorted(fragments)}
    return {"bad_checksums": bad, "named": named, **sets}


def captured(wire: socket.socket) -> list[bytes]:
    """All that has come."""
    frames = []
    while True:
        try:
            frames.append(wire.recv(2048))
        except BlockingIOError:
            return frames


async def story(here: str, annas: str, berts: str, folder: Path) -> dict[str, object]:
    """Anna and Bert talk for three seconds; after two there is another way to Bert's."""
    enter(annas)
    anna = Phone.bind(host=ANNA)
    enter(berts)
    bert = Phone.bind(host=BERT)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    wire.setblocking(False)
    enter(here)
    path = str(folder / "media.sock")
    settings = Settings(SERVERS, 31000, 31019, sockets=SocketOptions(46), kernel_relay=True)
    server = MediaServer(ServerSettings(path, 0.0, settings))
    await server.start()
    driver = ServerDriver(path)
    await driver.start()
    legs = [await driver.open_endpoint("call") for _ in range(2)]
    for phone, leg in zip((anna, bert), legs, strict=True):
        phone.target = (leg.address, leg.port)
        leg.configure(remote(phone))
    driver.connect(*legs)
    await wait_for_seconds(0.2)
    said = tone(400, 3.0)

    async def change() -> None:
        await wait_for_seconds(2.0)
        await asyncio.to_thread(
            subprocess.run, ["ip", "-n", here, "route", "add", f"{BERT}/32", "dev", "v2"], check=True
        )

    await asyncio.gather(anna.talk(said), bert.talk(said), change())
    await wait_for_seconds(1.2)
    steps = {
        (after.sequence - before.sequence) & 0xFFFF for before, after in zip(bert.heard, bert.heard[1:], strict=False)
    }
    kernel = driver.totals.packets_kernel
    legs[0].close()
    report = await legs[0].statistics
    told = {
        "audio": anna.audio() == said == bert.audio(),
        "in_order": steps == {1},
        "kernel": kernel,
        "received": report.packets_received,
        "lost": report.packets_lost,
        **judge(captured(wire)),
    }
    await driver.close()
    await server.stop()
    return told


def main() -> None:
    """Entry point."""
    with TemporaryDirectory() as folder:
        here, annas, berts = sys.argv[1:]
        print(msgspec.json.encode(asyncio.run(story(here, annas, berts, Path(folder)))).decode())


if __name__ == "__main__":
    main()
