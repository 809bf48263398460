"""Datagrams taken many at once from real loopback sockets."""

from __future__ import annotations

import functools
import gc
import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from softswitch.sip._mailbox import Mailbox
from softswitch.sip.addresses import Hop

by_udp = functools.partial(Hop, "udp")


@pytest.fixture
def inbox() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def test_it_takes_what_waits_in_order_and_never_waits(inbox: socket.socket, peer: socket.socket) -> None:
    mailbox = Mailbox(inbox.fileno(), by_udp)
    assert mailbox.take(4096) == []
    sent = [b"%d" % number for number in range(70)]
    for data in [*sent, b""]:
        peer.sendto(data, inbox.getsockname())
    source = Hop("udp", *peer.getsockname())
    assert mailbox.take(33) == [(data, source) for data in sent[:33]]
    assert mailbox.take(4096) == [(data, source) for data in [*sent[33:], b""]]
    assert mailbox.take(4096) == []


def test_the_largest_datagram_comes_whole_and_the_next_is_not_mixed_with_it(
    inbox: socket.socket, peer: socket.socket
) -> None:
    mailbox = Mailbox(inbox.fileno(), by_udp)
    large = bytes(range(256)) * 255
    for data in (large, b"small"):
        peer.sendto(data, inbox.getsockname())
        assert [data for data, _ in mailbox.take(4096)] == [data]


def test_each_source_is_told_apart_and_a_known_one_is_the_same_object(inbox: socket.socket) -> None:
    mailbox = Mailbox(inbox.fileno(), by_udp)
    peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(300)]  # more than are remembered
    try:
        for peer in peers:
            peer.bind(("127.0.0.1", 0))
        for _ in range(2):
            for peer in peers:
                peer.sendto(b"x", inbox.getsockname())
                peer.sendto(b"y", inbox.getsockname())
                (first, source), (second, again) = mailbox.take(4096)
                assert (first, second) == (b"x", b"y")
                assert source == Hop("udp", *peer.getsockname())
                assert again is source
    finally:
        for peer in peers:
            peer.close()


def test_ipv6_sources_are_told_as_elsewhere() -> None:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inbox,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer,
    ):
        inbox.bind(("::1", 0))
        peer.bind(("::1", 0))
        peer.sendto(b"six", inbox.getsockname()[:2])
        assert Mailbox(inbox.fileno(), by_udp).take(1) == [(b"six", Hop("udp", "::1", peer.getsockname()[1]))]


def test_errors_of_a_socket_are_no_datagrams() -> None:
    assert Mailbox(-1, by_udp).take(4096) == []


def test_what_a_source_can_not_be_made_into_is_told(inbox: socket.socket, peer: socket.socket) -> None:
    def refuse(host: str, port: int) -> Hop:
        raise ValueError(host)

    peer.sendto(b"x", inbox.getsockname())
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Mailbox(inbox.fileno(), refuse).take(1)


def test_a_link_local_source_has_no_scope_in_its_name() -> None:
    """A `%` is no part of a host in SIP (RFC 3261 25.1), and a Via would be told of it by `received`."""
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inbox,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer,
    ):
        found = [(index, host) for index, name in socket.if_nameindex() if (host := _link_local(name))]
        if not found:
            pytest.skip("no interface has a link-local address")
        index, host = found[0]
        peer.bind((host, 0, 0, index))
        inbox.bind(("::", 0))
        peer.sendto(b"x", (host, inbox.getsockname()[1], 0, index))
        assert Mailbox(inbox.fileno(), by_udp).take(1) == [(b"x", Hop("udp", host, peer.getsockname()[1]))]


def _link_local(interface: str) -> str:
    """The address of an interface by /proc/net/if_inet6, "" where it has none that is in use (neither tentative, 0x40,
    nor a duplicate, 0x08).
    """
    for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
        digits, *_, flags, name = line.split()
        if name == interface and digits.startswith("fe80") and not int(flags, 16) & 0x48:
            return str(ipaddress.IPv6Address(int(digits, 16)))
    return ""


def test_a_mailbox_is_read_by_one_at_a_time(inbox: socket.socket, peer: socket.socket) -> None:
    def reader(host: str, port: int) -> Hop:
        with pytest.raises(ValueError, match="being read"):
            mailbox.take(1)
        return Hop("udp", host, port)

    mailbox = Mailbox(inbox.fileno(), reader)
    peer.sendto(b"x", inbox.getsockname())
    assert [data for data, _ in mailbox.take(9)] == [b"x"]
    assert mailbox.take(9) == []


def test_arguments_of_other_types_are_refused(inbox: socket.socket) -> None:
    with pytest.raises(TypeError):
        Mailbox("x", by_udp)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Mailbox(inbox.fileno(), by_udp).take("x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without a socket"):
        Mailbox.__new__(Mailbox).take(1)
    mailbox = Mailbox(inbox.fileno(), by_udp)
    assert mailbox.take(-1) == []
    with pytest.raises(ValueError, match="one socket"):
        mailbox.__init__(inbox.fileno(), by_udp)  # type: ignore[misc]


def test_taking_keeps_nothing(inbox: socket.socket, peer: socket.socket) -> None:
    mailbox = Mailbox(inbox.fileno(), by_udp)

    def take(times: int) -> int:
        for _ in range(times):
            peer.sendto(b"x" * 700, inbox.getsockname())
            assert len(mailbox.take(4096)) == 1
        gc.collect()
        return sys.getallocatedblocks()

    take(100)
    before = take(100)
    assert take(2000) - before < 100
    made = [Mailbox(inbox.fileno(), by_udp) for _ in range(200)]  # 400 MB, were they touched
    made.append(made)  # type: ignore[arg-type]
    del made
    gc.collect()
    assert sys.getallocatedblocks() - before < 200
