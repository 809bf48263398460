"""A media server that is back after a crash without what endpoints had: theirs are lost, and their calls are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from media import protocol
from softswitch.interfaces import Coding, EndpointStatistics, SrtpKeys
from softswitch.media_drivers.server import ServerDriver
from tests.media.phone import wait_for_seconds
from tests.media.support import run
from tests.media_drivers.scripted_server import ScriptedServer, scripted
from tests.media_drivers.test_server import REMOTE

pytestmark = pytest.mark.real_time


def test_a_server_that_is_back_without_srtp_is_told_of_nothing_that_was_to_be_protected(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            a.configure(msgspec.structs.replace(REMOTE, srtp=SrtpKeys("AEAD_AES_256_GCM", bytes(44), bytes(44))))
            b.configure(REMOTE)
            for name in (1, 2):
                assert (await server.heard(protocol.ConfigureEndpoint)).endpoint == name
            server.drop()
            await server.heard(protocol.Hello)
            assert (await server.heard(protocol.ConfigureEndpoint)).endpoint == 2

    run(story)


def test_a_server_that_is_back_without_what_an_endpoint_speaks_has_lost_it_and_the_call_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            server.welcome = msgspec.structs.replace(server.welcome, codecs=("G722",))
            speaks, other = [await server.opened(driver, port, "call 20000") for port in (20000, 20002)]
            stranger = await server.opened(driver, 20004)
            told: list[str] = []
            for name, endpoint in (("speaks", speaks), ("other", other), ("stranger", stranger)):
                endpoint.on_silence = lambda silent, name=name: told.append(f"{name} {silent}")
            speaks.configure(msgspec.structs.replace(REMOTE, coding=Coding("opus", 96)))
            other.configure(msgspec.structs.replace(REMOTE, coding=Coding("G722", 9)))
            driver.connect(speaks, other)
            with capture_logs() as logs:
                server.drop()
                await server.heard(protocol.Hello)
                assert (await server.heard(protocol.OpenEndpoint)).endpoint == 2
                assert (await server.heard(protocol.ConfigureEndpoint)).endpoint == 2
                assert await server.heard(protocol.OpenEndpoint) == protocol.OpenEndpoint(3, 20004, "call 20004")
                assert driver.connections == {}
                assert told == ["speaks True", "other True"]  # no talk is left: supervision ends the call
            reason = "the server that is back has no opus"
            lost = {"event": "endpoint_lost", "log_level": "error", "reason": reason, "call_id": "call 20000"}
            assert lost in logs
            speaks.close()  # nobody would answer
            assert await speaks.statistics == EndpointStatistics()
            other.close()
            assert (await server.heard(protocol.CloseEndpoint)).endpoint == 2

    run(story)


def test_who_comes_to_a_call_that_has_lost_a_side_is_silent_from_the_first(tmp_path: Path) -> None:
    """The next telephone that is rung: else its talk to nobody would keep the call up."""

    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            caller = await server.opened(driver, 20000, "call")
            before = asyncio.get_running_loop().time()
            await lose(server, driver, 20000)
            assert caller.silent
            assert before <= caller.silent_since <= asyncio.get_running_loop().time()  # heard until the crash
            callee = await server.opened(driver, 20002, "call")
            stranger = await server.opened(driver, 20004, "another")
            assert (callee.silent, stranger.silent) == (True, False)
            server.say(protocol.Silence(2, False), protocol.Silence(3, True))
            while not stranger.silent:
                await wait_for_seconds(0.001)
            assert callee.silent
            await lose(server, driver)  # and this server can have it
            assert not caller.silent
            next_one = await server.opened(driver, 20006, "call")
            assert not next_one.silent

    run(story)


def test_a_side_that_not_even_the_second_server_has_was_heard_until_the_first_crash(tmp_path: Path) -> None:
    """The one between them crashed before it had opened anything; the CDR tells of no talk that was none."""

    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            side = await server.opened(driver, 20000, "call")
            server.drop()
            await server.heard(protocol.Hello)
            await server.heard(protocol.OpenEndpoint)
            back_at = asyncio.get_running_loop().time()
            await wait_for_seconds(0.01)
            await lose(server, driver, 20000)
            assert side.silent
            assert side.silent_since <= back_at
            await lose(server, driver)  # and this server can have it
            heard_from = asyncio.get_running_loop().time()
            await lose(server, driver, 20000)
            assert side.silent_since >= heard_from

    run(story)


def test_a_side_that_the_server_gave_up_parts_the_other_from_the_call_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            await server.opened(driver, 20000, "call")
            other, stranger = await server.opened(driver, 20002, "call"), await server.opened(driver, 20004, "another")
            server.say(protocol.EndpointClosed(1))
            while not other.silent:
                await wait_for_seconds(0.001)
            assert not stranger.silent

    run(story)


async def lose(server: ScriptedServer, driver: ServerDriver, *taken: int) -> None:
    """The server crashes; its successor has all ports but those that are `taken`."""
    server.drop()
    await server.heard(protocol.Hello)
    for endpoint in list(driver.endpoints.values()):
        await server.heard(protocol.OpenEndpoint)
        if endpoint.port in taken:
            server.say(protocol.EndpointFailed(endpoint.name, "in use"))
        else:
            server.say(protocol.EndpointOpened(endpoint.name, "127.0.0.1", endpoint.port))
    server.say(protocol.Totals(packets_in=driver.totals.packets_in + 1))
    told = driver.totals.packets_in
    while driver.totals.packets_in == told:
        await wait_for_seconds(0.001)
