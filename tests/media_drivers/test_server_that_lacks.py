"""A media server that is back after a crash without what endpoints had: theirs are lost, and their calls are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from structlog.testing import capture_logs

from media import protocol
from softswitch.interfaces import Coding, EndpointStatistics, SrtpKeys
from tests.media.support import run
from tests.media_drivers.scripted_server import scripted
from tests.media_drivers.test_server import REMOTE


def test_a_server_that_is_back_without_srtp_is_told_of_nothing_that_was_to_be_protected(tmp_path: Path) -> None:
    async def story() -> None:
        async with scripted(tmp_path) as (server, driver):
            a, b = await server.opened(driver, 20000), await server.opened(driver, 20002)
            a.configure(replace(REMOTE, srtp=SrtpKeys("AEAD_AES_256_GCM", bytes(44), bytes(44))))
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
            speaks, other, stranger = [await server.opened(driver, port) for port in (20000, 20002, 20004)]
            other.call_id = speaks.call_id  # type: ignore[attr-defined]
            told: list[str] = []
            for name, endpoint in (("speaks", speaks), ("other", other), ("stranger", stranger)):
                endpoint.on_silence = lambda silent, name=name: told.append(f"{name} {silent}")
            speaks.configure(replace(REMOTE, coding=Coding("opus", 96)))
            other.configure(replace(REMOTE, coding=Coding("G722", 9)))
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
            lost = {"event": "endpoint lost", "log_level": "error", "reason": reason, "call_id": "call 20000"}
            assert lost in logs
            speaks.close()  # nobody would answer
            assert await speaks.statistics == EndpointStatistics()
            other.close()
            assert (await server.heard(protocol.CloseEndpoint)).endpoint == 2

    run(story)
