"""RTP/RTCP port pairs: even and odd, oldest first, taken ones skipped (RFC 3550 section 11)."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from media.ports import PortPool, PortsExhausted, SocketOptions
from tests.support.loopback import HOST


def take(pool: PortPool, wanted: int | None = None) -> int:
    """Bind and close again at once; the port stays taken in the pool."""
    port, rtp, rtcp = pool.bind(wanted)
    assert (rtp.getsockname()[1], rtcp.getsockname()[1]) == (port, port + 1)
    rtp.close()
    rtcp.close()
    return port


def test_pairs_are_even_and_odd_and_a_used_one_comes_last() -> None:
    pool = PortPool(HOST, 32101, 32107)
    assert pool.pairs == 3
    first = take(pool)
    assert first == 32102
    pool.give_back(first)
    assert [take(pool) for _ in range(3)] == [32104, 32106, 32102]
    with pytest.raises(PortsExhausted, match=f"no free RTP port pair in 32101-32107 on {HOST}: 3 of 3 are ours$"):
        take(pool)


@pytest.mark.parametrize("taken", [32110, 32111])
def test_a_pair_that_somebody_else_has_is_skipped(taken: int) -> None:
    pool = PortPool(HOST, 32110, 32113)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, taken))
        assert take(pool) == 32112
    assert take(pool) == 32110


def test_who_has_no_pair_is_told_how_many_are_ours_and_what_the_system_said() -> None:
    pool = PortPool(HOST, 32114, 32117)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 32117))
        assert take(pool) == 32114
        why = "1 of 2 are ours, the last that was not: port 32117: Address already in use$"
        with pytest.raises(PortsExhausted, match=why):
            take(pool)
        with pytest.raises(PortsExhausted, match=r"outside 32114-32117: port 32117: Address already in use$"):
            take(pool, 32116)


@pytest.mark.parametrize("sockets", [0, 1])
def test_without_a_descriptor_no_pair_is_lost(sockets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, real, made = PortPool(HOST, 32118, 32119), socket.socket, list[socket.socket]()

    def scarce(*kind: int) -> socket.socket:
        if len(made) == sockets:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(real(*kind))
        return made[-1]

    with monkeypatch.context() as without:
        without.setattr(socket, "socket", scarce)
        with pytest.raises(PortsExhausted, match=r"0 of 1 are ours, .*: Too many open files$"):
            take(pool)
    assert [one.fileno() for one in made] == [-1] * sockets
    assert take(pool) == 32118


def test_a_wanted_pair_is_bound_or_refused() -> None:
    pool = PortPool(HOST, 32120, 32125)
    assert take(pool, 32122) == 32122
    for wanted in (32122, 32130):
        with pytest.raises(PortsExhausted, match=r"in use or outside 32120-32125$"):
            take(pool, wanted)


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_sockets_have_the_buffers_and_the_mark_that_are_asked_for(host: str) -> None:
    """socket(7): the kernel doubles the size, for its own needs; ip(7) and ipv6(7): DSCP is in the upper six bits."""
    pool = PortPool(host, 32130, 32131, SocketOptions(dscp=46, buffer=20_000))
    _, *pair = pool.bind()
    for bound in pair:
        with bound:
            assert bound.getsockname()[0] == host
            assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 40_000
            assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40_000
            if bound.family == socket.AF_INET6:
                assert bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 46 << 2
                assert bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
            else:
                assert bound.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 46 << 2


def test_without_a_size_the_systems_buffers_stay() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        usual = other.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    _, *pair = PortPool(HOST, 32132, 32133).bind()
    for bound in pair:
        with bound:
            assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == usual


@pytest.mark.parametrize("permitted", [False, True])
def test_buffers_that_the_system_cuts_are_told_of_once_or_forced(
    permitted: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forced = {32: socket.SO_SNDBUF, 33: socket.SO_RCVBUF}

    class Limited(socket.socket):
        """Whose buffers are of 10,000 bytes at most; forced, if that is permitted, of any size."""

        def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
            if option in forced and level == socket.SOL_SOCKET and not permitted:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            sized = level == socket.SOL_SOCKET and option in (*forced, *forced.values())
            most = value if option in forced else min(value, 10_000)
            super().setsockopt(level, forced.get(option, option) if sized else option, most if sized else value)

    monkeypatch.setattr(socket, "socket", Limited)
    pool = PortPool(HOST, 32150, 32153, SocketOptions(buffer=20_000))
    for _ in range(2):
        _, *pair = pool.bind()
        for bound in pair:
            with bound:
                assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == (40_000 if permitted else 20_000)
                assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == (40_000 if permitted else 20_000)
    told = [
        "receive buffers are of 10000 bytes, not 20000: net.core.rmem_max is less",
        "send buffers are of 10000 bytes, not 20000: net.core.wmem_max is less",
    ]
    assert caplog.messages == ([] if permitted else told)


def test_to_want_a_port_looks_at_no_other() -> None:
    """After a crash thousands do at once."""

    class Port(int):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Port.compared += 1
            return int(self) == other

        __hash__ = int.__hash__

    pool = PortPool(HOST, 32140, 32199)
    assert take(pool, Port(32190)) == 32190
    assert Port.compared < 6
