"""TLS over real loopback sockets: certificates on either side, names, new certificates (RFC 3261 26.3, RFC 5922)."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import warnings
from pathlib import Path as File

import pytest

from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.tls import ClientCertificates, Tls, TlsFiles
from softswitch.sip.transport import open_transport
from tests.support.certificates import Authority, Certificate
from tests.support.streams import HOST, LOOPS, MESSAGE, Bench, Loop, gone, play


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@LOOPS
def test_tls_in_both_directions_with_a_certificate_on_both_sides(loop: Loop, authority: Authority) -> None:
    own = authority.issue("mutual", f"IP:{HOST}")

    async def story(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        for _ in range(2):
            bench.send(MESSAGE, Path(Hop("tls", *bench.addresses[0])))
        await bench.until(lambda: len(bench.got) == 2)
        path = bench.got[0][1]
        bench.send(MESSAGE, path)
        await bench.until(lambda: len(bench.got) == 3)
        assert path.hop.transport == "tls"
        assert bench.counts == {"opened": 1, "accepted": 1}

    play(story, loop, TlsFiles(own.certificate, own.key, authority.file, "required"))


@LOOPS
def test_a_name_is_sent_and_must_be_in_the_certificate(loop: Loop, authority: Authority) -> None:
    """RFC 5922 7.1; SNI, RFC 6066 3."""
    own = authority.issue("named", "DNS:sbc.example")
    names: list[object] = []

    async def story(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        assert bench.tls is not None
        assert bench.tls.server is not None
        bench.tls.server.sni_callback = lambda _, name, __: names.append(name)
        bench.send(MESSAGE, Path(Hop("tls", *bench.addresses[0], "sbc.example")))
        await bench.until(lambda: bench.got)
        bench.send(b"other", Path(Hop("tls", *bench.addresses[0], "other.example")))
        bench.send(b"address", Path(Hop("tls", *bench.addresses[0])))
        bench.send(b"no name", Path(Hop("tls", *bench.addresses[0], ".")))
        await bench.until(lambda: len(bench.lost) == 3)
        assert len(bench.got) == 1
        assert names[0] == "sbc.example"

    play(story, loop, TlsFiles(own.certificate, own.key, authority.file))


@LOOPS
def test_who_shows_no_certificate_of_ours_or_speaks_old_tls_is_turned_away(loop: Loop, authority: Authority) -> None:
    own = authority.issue("strict", f"IP:{HOST}")

    async def story(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        stranger = ssl.create_default_context(cafile=authority.file)
        stranger.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 learns of it later
        old = ssl.create_default_context(cafile=authority.file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        for context in (stranger, old):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await bench.peer(ssl=context)
        _, writer = await bench.peer()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await bench.until(lambda: bench.counts["failed"] == 3)
        assert bench.got == []
        assert bench.transport.streams._per_source.total() == 0

    play(story, loop, TlsFiles(own.certificate, own.key, authority.file, "required"))


@LOOPS
def test_who_does_not_finish_the_handshake_is_cut_off_and_counts_until_then(loop: Loop, authority: Authority) -> None:
    own = authority.issue("lazy", f"IP:{HOST}")

    async def counts(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        await bench.peer()
        second, _ = await bench.peer()
        assert await gone(second)
        assert bench.counts == {"refused": 1}

    async def cut_off(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        for times in (1, 2):
            reader, _ = await bench.peer()
            assert await gone(reader)
            await bench.until(lambda times=times: bench.counts == {"failed": times})  # type: ignore[misc]

    play(counts, loop, TlsFiles(own.certificate, own.key), connections=1)
    play(cut_off, loop, TlsFiles(own.certificate, own.key), connections=1, message_s=0.2)


@LOOPS
def test_a_new_certificate_serves_new_connections_and_old_ones_stay(
    loop: Loop, authority: Authority, tmp_path: File
) -> None:
    first, second = authority.issue("first", f"IP:{HOST}"), authority.issue("second", f"IP:{HOST}")
    files = TlsFiles(str(tmp_path / "c.pem"), str(tmp_path / "k.pem"))

    def put(certificate: Certificate) -> None:
        shutil.copy(certificate.certificate, files.certificate)
        shutil.copy(certificate.key, files.key)

    async def story(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        assert bench.tls is not None
        context = ssl.create_default_context(cafile=authority.file)
        names = []
        writers = []
        for certificate in (first, second):
            put(certificate)
            bench.tls.follow(Tls(files))
            _, writer = await bench.peer(ssl=context)
            names.append(writer.get_extra_info("peercert")["subject"][0][0][1])
            writers.append(writer)
        assert names == ["first", "second"]
        for writer in writers:
            writer.write(MESSAGE)
        await bench.until(lambda: len(bench.got) == 2)

    put(first)
    play(story, loop, files)


@LOOPS
@pytest.mark.parametrize(
    ("asked", "shown"), [("b.example", "b"), ("B.Example", "b"), ("c.example", "own"), ("own.example", "own")]
)
def test_who_asks_for_a_domain_sees_its_certificate(
    loop: Loop, authority: Authority, tmp_path: File, asked: str, shown: str
) -> None:
    """RFC 6066 3."""
    own, other = authority.issue("own", "DNS:own.example"), authority.issue("b", "DNS:b.example")
    both = tmp_path / "b.pem"
    both.write_text(File(other.certificate).read_text() + File(other.key).read_text())

    async def story(bench: Bench) -> None:
        await bench.open(Listener(HOST, 0, "tls"))
        context = ssl.create_default_context(cafile=authority.file)
        context.check_hostname = False
        _, writer = await bench.peer(ssl=context, server_hostname=asked)
        assert writer.get_extra_info("peercert")["subject"][0][0][1] == shown
        writer.write(MESSAGE)
        await bench.until(lambda: len(bench.got) == 1)

    play(story, loop, TlsFiles(own.certificate, own.key, names={"b.example": str(both)}))


def test_tls_wants_a_certificate() -> None:
    async def story(bench: Bench) -> None:
        await bench.open()
        for tls in (None, Tls(TlsFiles())):
            with pytest.raises(OSError, match="TLS needs a certificate"):
                await open_transport([Listener(HOST, 0, "tls")], bench.receive, tls=tls)

    play(story, asyncio.new_event_loop)


@LOOPS
@pytest.mark.parametrize("clients", ["required", "optional"])
def test_whom_a_clients_certificate_names_decides_whether_it_may_stay(
    loop: Loop, clients: ClientCertificates, authority: Authority
) -> None:
    """RFC 5922 7.3."""
    own, other = authority.issue("own", f"IP:{HOST}"), authority.issue("other", "DNS:other.example")
    asked: list[tuple[str, frozenset[str] | None]] = []

    async def story(bench: Bench) -> None:
        assert bench.tls is not None

        def admits(hop: Hop, names: frozenset[str] | None) -> bool:
            asked.append((hop.transport, names))
            return names == frozenset({HOST})

        bench.tls.admits = admits
        await bench.open(Listener(HOST, 0, "tls"))
        bench.send(MESSAGE, Path(Hop("tls", *bench.addresses[0])))
        await bench.until(lambda: bench.got)
        misnamed = ssl.create_default_context(cafile=authority.file)
        misnamed.load_cert_chain(other.certificate, other.key)
        reader, _ = await bench.peer(ssl=misnamed)
        assert await gone(reader)
        assert asked == [("tls", frozenset({HOST})), ("tls", frozenset({"other.example"}))]
        if clients == "optional":
            reader, _ = await bench.peer(ssl=ssl.create_default_context(cafile=authority.file))
            assert await gone(reader)
            assert asked[2] == ("tls", None)
        assert bench.counts["misnamed"] == len(asked) - 1
        await bench.until(lambda: bench.transport.streams._per_source.total() == 1)

    play(story, loop, TlsFiles(own.certificate, own.key, authority.file, clients))
