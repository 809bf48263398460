"""Streams that the kernel passes on between machines: network namespaces of this test's own, joined by veth pairs.

Anna and Bert live in one each, the media server in a third between them; all three are gone when it is over. Skipped
where that is not permitted (root), or the kernel or the build is too old.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from tests.media.test_kernel_relay import refusal

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(bool(refusal()) or os.geteuid() != 0, reason=refusal() or "needs root"),
]
CLONE_NEWNET = 0x40000000
HERE, ANNAS, BERTS = (f"sw{os.getpid()}{name}" for name in "sab")


def ip(*words: str) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def places() -> Iterator[None]:
    """The three of them, with the addresses that story() has."""
    with contextlib.ExitStack() as made:
        for name in (HERE, ANNAS, BERTS):
            ip("netns", "add", name)
            made.callback(ip, "netns", "del", name)
        for number, name in enumerate((ANNAS, BERTS), 1):
            ip("-n", HERE, "link", "add", f"v{number}", "type", "veth", "peer", "name", "v0", "netns", name)
            for space, device, host in ((HERE, f"v{number}", 1), (name, "v0", 2)):
                ip("-n", space, "address", "add", f"10.9.{number}.{host}/24", "dev", device)
                ip("-n", space, "link", "set", device, "up")
            ip("-n", name, "route", "add", "default", "via", f"10.9.{number}.1")
        ip("-n", HERE, "link", "set", "lo", "up")
        yield


def enter(name: str) -> None:
    """This thread's sockets are made in that namespace from now on (setns(2))."""
    with open(f"/run/netns/{name}", "rb") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("checksums", ["on", "off"])
def test_what_comes_by_one_interface_leaves_by_another(checksums: str) -> None:
    """`checksums`: whether the cards make them. If not they are in the packets, and must be right."""
    for space, device in ((ANNAS, "v0"), (BERTS, "v0"), (HERE, "v1"), (HERE, "v2")):
        command = ["ip", "netns", "exec", space, sys.executable, "-c", OFFLOAD, device, checksums]
        subprocess.run(command, check=True)
    command = [sys.executable, "-m", "tests.media.kernel_relay_story", HERE, ANNAS, BERTS]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    told = msgspec.json.decode(found.stdout)
    assert told["audio"]
    assert told["in_order"]
    assert told["kernel"] > 2 * 100  # of 2 * 150; the route to Bert changes on the way
    assert (told["received"], told["lost"]) == (150, 0)
    assert told["bad_checksums"] == (150 if checksums == "on" else 0)  # left to the card
    assert told["marks"] == [46 << 2]
    assert told["hops"] == [64]
    assert told["fragments"] == ["4000"]  # not to be
    assert told["named"] < 50  # those by the socket: nothing of the phone's system goes on to the other


# ETHTOOL_STXCSUM and ETHTOOL_SRXCSUM of ioctl(SIOCETHTOOL), for ethtool may be missing.
OFFLOAD = """
import ctypes, fcntl, socket, struct, sys
device, wanted = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
    for command in (0x17, 0x15):
        value = ctypes.create_string_buffer(struct.pack("II", command, wanted == "on"))
        fcntl.ioctl(handle, 0x8946, struct.pack("16sP", device.encode(), ctypes.addressof(value)))
"""
