"""The whole switch and a trunk that is a domain: found by a real DNS server, its dead address passed over."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from softswitch.app import Switch
from tests.support.name_server import name_server
from tests.test_app import seed
from tests.test_transports import Phone, config

ZONE = """
carrier.example. 300 IN NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.carrier.example.
_sip._udp.carrier.example. 300 IN SRV 1 0 {dead} first.carrier.example.
_sip._udp.carrier.example. 300 IN SRV 2 0 {port} second.carrier.example.
first.carrier.example. 300 IN A 127.0.0.1
second.carrier.example. 300 IN A 127.0.0.1
"""
TRUNK = """
[[trunk]]
name = "carrier"
host = "carrier.example"
transport = "auto"
sources = ["127.0.0.1/32"]
connect_s = 0.5
[[route]]
name = "all"
targets = ["carrier"]
"""


def test_a_call_to_a_trunk_that_is_a_domain_goes_on_to_its_second_address(tmp_path: Path) -> None:
    async def story() -> None:
        loop, phone = asyncio.get_running_loop(), Phone("udp", "127.0.0.1", None)
        port = await phone.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            async with name_server(ZONE.format(dead=silent.getsockname()[1], port=port)) as ((host, at), server):
                settings = config(tmp_path, "udp:127.0.0.1:0")
                sip = settings.sip.model_copy(update={"dns_servers": [f"{host}:{at}"]})
                (tmp_path / "dialplans" / "20-carrier.toml").write_text(TRUNK)
                calm = settings.limits.model_copy(update={"max_lag_s": 0.0})  # this machine may be busy
                switch = Switch(settings.model_copy(update={"sip": sip, "limits": calm}))
                await switch.start()
                try:
                    called = await phone.talk(switch)
                    assert called.invite.uri.endswith("@carrier.example")
                    before = loop.time()
                    await phone.talk(switch)
                    assert loop.time() - before < 0.5  # the dead one is last now
                finally:
                    await phone.user_agent.stop()
                    await switch.stop()
                assert (switch.locator.counts["penalised"], len(switch.locator.penalties)) == (1, 1)
                assert (len(server.asked), len(set(server.asked))) == (4, 4)  # nothing was asked twice

    seed(tmp_path)
    asyncio.run(story())
