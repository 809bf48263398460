"""The media server driver through crashes: what lives comes back on the same ports, what can't is told at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from media import _native, protocol
from softswitch.errors import MediaError
from softswitch.interfaces import EndpointStatistics, MediaEndpoint, RtpRemote, SrtpKeys
from softswitch.media_drivers.server import ServerDriver
from softswitch.media_drivers.supervisor import MediaProcess
from tests.media.phone import Phone, linear, loud_s, tone, wait_for_seconds, wav
from tests.media.srtp_reference import Sender
from tests.media.support import anew, obeyed, remote, room, run
from tests.media.test_engine import onset_s, read_wav
from tests.media.test_srtp import SUITES, sealed
from tests.media_drivers.scripted_server import scripted
from tests.support.loopback import HOST

pytestmark = pytest.mark.real_time
PHONES: list[Phone] = []  # of `leg`: a story that is told again, as the machine stood still, leaves none open


@contextlib.asynccontextmanager
async def supervised(folder: Path, ports: str, *more: str) -> AsyncIterator[tuple[MediaProcess, ServerDriver]]:
    """A supervised media process and a driver connected to it."""
    path = str(folder / "media.sock")
    process = MediaProcess(("--socket", path, "--bind", HOST, "--ports", ports, *more))
    await process.start()
    driver = ServerDriver(path)
    try:
        await driver.start()
        yield process, driver
    finally:
        while PHONES:
            phone = PHONES.pop()
            if phone.bound.fileno() >= 0:
                phone.close()
        await driver.close()
        await process.stop()


async def crash(process: MediaProcess, driver: ServerDriver) -> None:
    """kill -9 the server; until the driver has noticed."""
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    while driver.up:
        await wait_for_seconds(0.005)


async def until_up(driver: ServerDriver) -> float:
    """Until the driver is connected again; when it was last seen that it is not."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(25):
        while not driver.up:
            away_at = loop.time()
            await wait_for_seconds(0.01)
    return away_at


async def leg(driver: ServerDriver, folder: Path, **changes: object) -> tuple[Phone, MediaEndpoint]:
    """A phone and the endpoint it talks to."""
    endpoint = await driver.open_endpoint("call")
    phone = Phone.bind()
    PHONES.append(phone)
    phone.target = (endpoint.address, endpoint.port)
    endpoint.configure(remote(phone, **changes))
    await obeyed(driver, folder)
    return phone, endpoint


def test_after_a_crash_calls_go_on_through_the_same_ports_into_the_same_recording(tmp_path: Path) -> None:
    async def story() -> None:
        async with supervised(tmp_path, "31200-31219") as (process, driver):
            (anna, a), (bert, b) = await leg(driver, tmp_path), await leg(driver, tmp_path)
            loop = asyncio.get_running_loop()
            path = str(anew(tmp_path) / "call.wav")
            driver.connect(a, b)
            await obeyed(driver, tmp_path)
            begun = loop.time()
            recording = driver.record(path, a, b, stereo=True)
            recording.voices()
            await anna.talk(tone(400, 1.2))
            before = 60
            await bert.wait_for(lambda: len(bert.heard) == before)
            await crash(process, driver)
            _, audio = read_wav(path)  # playable after kill -9
            assert loud_s(audio[::2], 400) >= 0.2
            with pytest.raises(MediaError, match="away"):
                await driver.open_endpoint("another")
            away_at = await until_up(driver)
            await obeyed(driver, tmp_path)  # commands are ordered: ours are open again
            again = loop.time()
            late = again - away_at  # at most, the time that the new server took to hear how old the recording is
            await anna.talk(tone(1000, 0.3))
            await bert.wait_for(lambda: len(bert.heard) == before + 15)
            recording.close()
            ended = loop.time()
            report = await recording.finished
            assert ended - begun - late - 0.05 <= report.duration_s <= loop.time() - begun + 0.05
            assert report.truncated  # what was said meanwhile is not in it
            channels, audio = read_wav(path)
            assert channels == 2
            onset = onset_s(linear(audio[::2]), away_at - begun)
            assert again - begun - late - 0.04 <= onset <= bert.heard[before].at - begun + 0.04
            anna.close()
            bert.close()

    run(story)


@pytest.mark.skipif(not _native.SRTP_SUITES, reason="a build without libsrtp2")
@pytest.mark.parametrize("suite", ["AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80"])
def test_after_a_crash_srtp_goes_on_under_the_same_keys_and_no_number_twice(suite: str, tmp_path: Path) -> None:
    """RFC 3711 3.3.1: neither side can know how often the other's numbers have gone round; 9.1: none may come again."""

    async def story() -> None:
        async with supervised(tmp_path, "31300-31319") as (process, driver):
            keys = SrtpKeys(suite, bytes(range(100, 144))[: SUITES[suite]], bytes(range(44))[: SUITES[suite]])
            (anna, a), (bert, b) = await leg(driver, tmp_path, srtp=keys), await leg(driver, tmp_path)
            driver.connect(a, b)
            await obeyed(driver, tmp_path)
            far_end, heard = Sender(suite, keys.receive), tone(400, 0.02)
            anna.sequence = 65533  # it goes round
            for number in range(10):
                anna.send(far_end.seal(anna.frame(heard), rollovers=int(number > 2)))
                bert.send(bert.frame(tone(900, 0.02)))
            await bert.wait_for(lambda: len(bert.heard) == 10)
            await anna.wait_for(lambda: len(anna.heard) == 10)
            await crash(process, driver)
            await until_up(driver)
            await obeyed(driver, tmp_path)
            for _ in range(10):
                anna.send(far_end.seal(anna.frame(heard), rollovers=1))
                bert.send(bert.frame(tone(900, 0.02)))
            await bert.wait_for(lambda: len(bert.heard) == 20)
            await anna.wait_for(lambda: len(anna.heard) == 20)
            assert {packet.payload for packet in bert.heard} == {heard}
            assert [packet.payload for packet in anna.heard] == [sealed(one, keys.send, suite) for one in anna.heard]
            assert not {packet.ssrc for packet in anna.heard[:10]} & {packet.ssrc for packet in anna.heard[10:]}

    run(story)


def test_a_prompt_ends_incomplete_when_the_server_dies_but_a_loop_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        prompt = wav(tmp_path / "prompt.wav", tone(700, 2.0))
        async with supervised(tmp_path, "31220-31239") as (process, driver):
            (anna, a), (bert, b) = await leg(driver, tmp_path), await leg(driver, tmp_path)
            prompted, looped = driver.play([a], [prompt]), driver.play([b], [prompt], loop=True)
            await bert.wait_for(lambda: len(bert.heard) > 2)
            await crash(process, driver)
            assert [report.completed for report in await prompted.finished] == [False]
            meanwhile = driver.play([a], [wav(tmp_path / "short.wav", tone(700, 0.1))])
            heard = len(bert.heard)
            await until_up(driver)
            assert [report.completed for report in await meanwhile.finished] == [True]
            await bert.wait_for(lambda: len(bert.heard) > heard + 2)
            assert not looped.finished.done()
            looped.stop()
            await looped.finished
            anna.close()
            bert.close()

    run(story)


def test_closing_while_the_server_is_away_resolves_everything(tmp_path: Path) -> None:
    async def story() -> None:
        async with supervised(tmp_path, "31240-31259") as (process, driver):
            (anna, a), (bert, b) = await leg(driver, tmp_path), await leg(driver, tmp_path)
            silent: list[bool] = []
            b.on_silence = silent.append
            recording = driver.record(str(anew(tmp_path) / "call.wav"), a, b)
            await wait_for_seconds(0.02)
            await crash(process, driver)
            a.close()
            assert (await a.statistics).packets_sent == 0
            report = await recording.finished
            assert report.truncated
            unborn = driver.record(str(anew(tmp_path) / "unborn.wav"), a, b)
            unborn.close()
            assert (await unborn.finished).bytes == 0
            await until_up(driver)
            b.close()
            await b.statistics
            assert driver.endpoints == {}
            assert driver.recordings == {}
            anna.close()
            bert.close()

    run(story)


def test_a_restarted_controller_takes_the_ports_over_with_their_numbering(tmp_path: Path) -> None:
    async def story() -> None:
        prompt = wav(tmp_path / "prompt.wav", tone(700, 0.1))
        async with supervised(tmp_path, "31260-31279") as (_, driver):
            anna, a = await leg(driver, tmp_path)
            await driver.play([a], [prompt]).finished
            assert driver._writer
            driver._writer.close()  # the connection breaks, the server lives
            while driver.up:
                await wait_for_seconds(0.005)
            await until_up(driver)
            await driver.play([a], [prompt]).finished
            assert len({packet.ssrc for packet in anna.heard}) == 1
            sequences = [packet.sequence for packet in anna.heard]
            assert sequences == [(sequences[0] + index) & 0xFFFF for index in range(10)]
            anna.close()

    run(story)


def test_totals_arrive_each_second() -> None:
    async def story() -> None:
        async with room(first_port=31300) as place:
            anna, _ = await place.leg()
            await anna.talk(tone(400, 0.1))
            async with asyncio.timeout(25):
                while not place.driver.totals.packets_in:
                    await wait_for_seconds(0.05)
            assert place.driver.totals.packets_in == 5
            assert place.driver.totals.endpoints == 1

    run(story)


def test_no_server_is_an_error_at_start(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(MediaError, match="no media server answers"):
            await ServerDriver(str(tmp_path / "none.sock")).start(timeout_s=0.1)

    run(story)


def test_what_a_server_that_lost_its_mind_says_is_survived(tmp_path: Path) -> None:
    async def story() -> None:
        async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(protocol.encode(protocol.Welcome(1, "127.0.0.1", 60.0)))
            for event in (
                protocol.EndpointOpened(9, "x", 1),
                protocol.EndpointFailed(9, "x"),
                protocol.EndpointClosed(9),
                protocol.Digit(9, "1"),
                protocol.Silence(9, True),
                protocol.Played(9),
                protocol.Recorded(9),
                protocol.Truncated(9),
                protocol.Refused("Play", "x"),
            ):
                writer.write(protocol.encode(event))
            writer.write(b"\0\0\0\x01\xc1")
            await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(babble, tmp_path / "babble.sock")
        driver = ServerDriver(str(tmp_path / "babble.sock"))
        await driver.start()
        while driver.up:
            await wait_for_seconds(0.005)
        await driver.close()
        server.close()

    run(story)


def test_an_advertised_address_stands_for_the_bound_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with supervised(tmp_path, "22900-22919"):
            driver = ServerDriver(str(tmp_path / "media.sock"), advertised="203.0.113.7")
            await driver.start()
            endpoint = await driver.open_endpoint("call")
            assert endpoint.address == "203.0.113.7"
            endpoint.close()
            await driver.close()

    run(story)


REMOTE = RtpRemote("127.0.0.1", 4000, 8, 101)


def test_a_server_that_goes_away_while_it_opens_is_an_error_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            opening = asyncio.create_task(driver.open_endpoint("call"))
            await server.heard(protocol.OpenEndpoint)
            server.drop()
            with pytest.raises(MediaError, match="went away"):
                await opening
            assert driver.endpoints == {}

    run(story)


def test_a_port_that_comes_too_late_is_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path, open_timeout_s=0.02) as (server, driver):
            with pytest.raises(MediaError, match="does not answer"):
                await driver.open_endpoint("call")
            late = await server.heard(protocol.OpenEndpoint)
            server.say(protocol.EndpointOpened(late.endpoint, "127.0.0.1", 20000))
            assert await server.heard(protocol.CloseEndpoint) == protocol.CloseEndpoint(late.endpoint)
            assert driver.endpoints == {}

    run(story)


def test_a_port_that_nobody_waits_for_any_more_is_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            opening = asyncio.create_task(driver.open_endpoint("call"))
            wanted = await server.heard(protocol.OpenEndpoint)
            opening.cancel()
            assert await server.heard(protocol.CloseEndpoint) == protocol.CloseEndpoint(wanted.endpoint)

    run(story)


def test_a_server_that_is_back_is_told_everything_that_lives(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            told: asyncio.Queue[bool] = asyncio.Queue()
            a.on_silence = told.put_nowait
            a.configure(REMOTE)
            driver.connect(a, b, digits=False)
            driver.play([b], ["once.wav"])
            driver.play([a], ["loop.wav"], loop=True)
            driver.record("call.wav", a, b).voices()
            await server.heard(protocol.Voices)
            server.say(protocol.Silence(1, True))
            assert await told.get()
            server.drop()
            resumed = await server.heard(protocol.Hello)
            assert resumed == protocol.Hello()
            assert await server.heard(protocol.OpenEndpoint) == protocol.OpenEndpoint(1, 20000, "call 20000")
            assert server.commands[:-1] == [
                protocol.ConfigureEndpoint(1, "127.0.0.1", 4000, 8, 101),
                protocol.OpenEndpoint(2, 20002, "call 20002"),
                protocol.Connect(1, 2, digits=False),
                protocol.Play(4, (1,), ("loop.wav",), loop=True),
            ]
            record = await server.heard(protocol.Record)
            assert (record.path, record.left, record.right, record.voices) == ("call.wav", 1, 2, True)
            assert record.elapsed_s > 0
            assert not await told.get()  # a new server begins to wait anew

    run(story)


def test_an_endpoint_whose_port_a_new_server_cannot_have_is_silent_and_can_be_closed(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            told: asyncio.Queue[bool] = asyncio.Queue()
            a.on_silence = told.put_nowait
            with capture_logs() as logs:
                server.drop()
                await server.heard(protocol.Hello)
                server.say(protocol.EndpointFailed(1, "in use"), protocol.EndpointOpened(2, "127.0.0.1", 20002))
                assert await told.get()
            lost = {"event": "endpoint_lost", "log_level": "error", "reason": "in use", "call_id": "call 20000"}
            assert lost in logs
            a.close()  # nobody would answer
            assert await a.statistics == EndpointStatistics()
            b.close()
            assert (await server.heard(protocol.CloseEndpoint)).endpoint == 2
            assert list(driver.endpoints) == [2]

    run(story)


def test_without_a_server_everything_falls_silent_after_its_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path, silence_s=0.02) as (server, driver):
            a = await server.opened(driver, 20000)
            told: asyncio.Queue[bool] = asyncio.Queue()
            a.on_silence = told.put_nowait
            server.stop()
            assert await told.get()

    run(story)


def test_a_hole_in_a_recording_and_a_refused_command_are_logged(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            recording = driver.record("call.wav", a, b)
            with capture_logs() as logs:
                hole = protocol.Truncated(3, "No space left on device")
                server.say(hole, protocol.Refused("Play", "no"), protocol.Recorded(3, truncated=True))
                assert (await recording.finished).truncated
            assert logs == [
                {
                    "event": "recording_has_hole",
                    "log_level": "error",
                    "path": "call.wav",
                    "reason": "No space left on device",
                },
                {
                    "event": "media_command_refused",
                    "log_level": "error",
                    "command": "Play",
                    "reason": "no",
                },
            ]

    run(story)


def test_two_are_parted_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            driver.connect(a, b)
            driver.disconnect(b, a)
            driver.disconnect(a, b)
            a.close()
            await server.heard(protocol.Connect)
            assert await server.heard(protocol.CloseEndpoint) == protocol.CloseEndpoint(1)
            assert driver.connections == {}

    run(story)


def test_parting_with_the_server_ends_what_is_open(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            other = await server.opened(driver, 20004)
            of_ended = driver.record(str(anew(tmp_path) / "call.wav"), a, b)
            server.say(protocol.EndpointClosed(1), protocol.EndpointClosed(2))
            await a.statistics
            await b.statistics
            await driver.close()
            assert (await of_ended.finished).truncated
            assert await other.statistics == EndpointStatistics()
            assert driver.endpoints == {}

    run(story)


def test_a_server_that_never_welcomes_is_no_server(tmp_path: Path) -> None:
    async def story() -> None:
        async def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(turn_away, tmp_path / "deaf.sock")
        driver = ServerDriver(str(tmp_path / "deaf.sock"))
        with pytest.raises(MediaError, match="no media server answers"):
            await driver.start(timeout_s=0.1)
        await driver.close()
        server.close()

    run(story)


def test_a_server_without_a_free_port_is_an_error(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            opening = asyncio.create_task(driver.open_endpoint("call"))
            wanted = await server.heard(protocol.OpenEndpoint)
            server.say(protocol.EndpointFailed(wanted.endpoint, "no free RTP port"))
            with pytest.raises(MediaError, match="no free RTP port"):
                await opening

    run(story)
