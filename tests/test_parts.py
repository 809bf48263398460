"""What settings make of the parts of a switch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from media.__main__ import read_arguments
from media.engine import Settings
from media.ports import SocketOptions
from media.server import ServerSettings
from softswitch.config import Config, MediaSettings
from softswitch.errors import ConfigError
from softswitch.media_drivers.null import NullDriver
from softswitch.media_drivers.server import ServerDriver
from softswitch.parts import check_codecs, check_media_addresses, media_parts
from softswitch.routing.dialplan import load_dialplans


def test_media_settings_reach_the_media_server_we_start() -> None:
    def started_with(**settings: Any) -> ServerSettings:
        process, _ = media_parts(Config(media=MediaSettings(driver="server", **settings)))
        assert process
        return read_arguments(process.arguments)[0]

    asked = started_with(
        socket="m.sock",
        bind="127.0.0.3",
        bind6="::1",
        ports="4000-4999",
        silence_s=7.0,
        grace_s=8.0,
        io="epoll",
        workers=2,
        dscp=34,
        socket_buffer_kb=3,
        packets_per_s=200,
        realtime=True,
        kernel_relay=True,
    )
    engine = Settings(
        "127.0.0.3", 4000, 4999, 7.0, "epoll", True, "::1", 2, 200, SocketOptions(34, 3072), kernel_relay=True
    )
    assert asked == ServerSettings("m.sock", 8.0, engine)
    assert started_with().engine.sockets == SocketOptions(dscp=46)
    assert not started_with().engine.realtime
    assert not started_with().engine.kernel_relay
    for nat in (False, True):
        driver = media_parts(Config(media=MediaSettings(driver="server", nat=nat)))[1]
        assert isinstance(driver, ServerDriver)
        assert driver.nat == nat
    assert media_parts(Config(media=MediaSettings(driver="server", server="their.sock")))[0] is None


def test_an_address_of_another_machine_is_no_place_for_ports() -> None:
    check_media_addresses(MediaSettings())
    check_media_addresses(MediaSettings(bind="0.0.0.0", advertised="192.0.2.1"))
    for key, wrong in (("bind", "203.0.113.1"), ("bind6", "2001:db8::1")):
        with pytest.raises(ConfigError, match=rf"media\.{key}: no port can be opened on {wrong}: "):
            check_media_addresses(MediaSettings.model_validate({key: wrong}))


def test_the_null_driver_gives_as_many_ports_as_are_set_and_remembers_nothing() -> None:
    async def story() -> None:
        _, driver = media_parts(Config(media=MediaSettings(driver="null", ports="4000-4003")))
        assert isinstance(driver, NullDriver)
        assert [(await driver.open_endpoint("c1")).port for _ in range(2)] == [4000, 4002]
        assert driver.commands == []

    asyncio.run(story())


def test_a_trunk_may_name_what_media_was_built_with_and_nothing_else(tmp_path: Path) -> None:
    trunk = '[[trunk]]\nname = "wide"\nhost = "192.0.2.1"\ncodecs = ["opus", "G722", "PCMA"]\n'
    china = Path(__file__).parent.parent / "dialplans" / "10-china.toml"
    (tmp_path / "10.toml").write_text(china.read_text(encoding="utf-8") + trunk, encoding="utf-8")
    dialplan = load_dialplans(str(tmp_path))
    check_codecs(dialplan, ("G722", "opus"))
    with pytest.raises(ConfigError, match=r"trunk 'wide', codecs: the media server was built without opus$"):
        check_codecs(dialplan, ("G722",))
    with pytest.raises(ConfigError, match="without opus and G722"):
        check_codecs(dialplan, ())
