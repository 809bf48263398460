"""Strangers at the door of the whole switch, by real sockets: silence, bans, and what an operator sees of it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from softswitch.app import Switch
from softswitch.sip.addresses import Hop
from softswitch.sip.user_agent import Account
from tests.sip.test_core import request
from tests.test_app import Phone, ask, run

FLOOD = 200


def test_a_flood_of_a_stranger_gets_silence_and_a_ban_while_calls_go_on(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        address = switch.sip_addresses[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.66", 0))
            stranger.setblocking(False)
            for number in range(FLOOD):
                stranger.sendto(request("REGISTER", Call_ID=f"{number}").encode(), address)
            phone.call(address)
            assert await phone.outcome == 200
            assert await _silent(stranger)
        (ban,) = (await ask(switch, "/bans")).json()
        assert (ban["source"], ban["why"]) == ("127.0.0.66", "persistent")
        text = (await ask(switch, "/metrics")).text
        assert "softswitch_sip_banned_sources 1.0" in text
        assert f'softswitch_sip_turned_away_total{{why="banned"}} {FLOOD - 20}.0' in text
        assert 'method="REGISTER"' not in text
        assert switch._welcome(phone_of("127.0.0.66")), "by UDP it may have been anybody"
        switch.user_agent.shut_out("127.0.0.66", "operator")
        assert [switch._welcome(phone_of(host)) for host in ("127.0.0.66", "127.0.0.1")] == [False, True]
        assert [switch._room_for(phone_of(host)) for host in ("127.0.0.1", "127.0.0.67")] == [1.0, 0.5]

    run(tmp_path, story)


def test_who_guesses_passwords_at_a_trunks_address_is_banned_until_the_operator_lifts_it(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        file = tmp_path / "dialplans" / "20-phone.toml"
        assert switch.user_agent.entrance.unproved is None
        digest = 'auth = "digest"\nauth_username = "phone"\nauth_password = "its own"\nmax_calls = 3\n'
        file.write_text(file.read_text().replace("sources", f"{digest}sources"))
        await switch.reload()
        address = switch.sip_addresses[0]
        assert switch.user_agent.entrance.unproved is not None
        for _ in range(2):
            phone.outcome = asyncio.get_running_loop().create_future()
            phone.call(address, account=Account("phone", "guessed"))
            assert await phone.outcome == 401
        (ban,) = (await ask(switch, "/bans")).json()
        assert (ban["source"], ban["why"]) == ("127.0.0.1", "password")
        assert (
            'softswitch_digest_checks_total{trunk="phone",verdict="banned"} 1.0' in (await ask(switch, "/metrics")).text
        )
        assert (await ask(switch, "/bans?source=127.0.0.1", "DELETE")).json() == []
        phone.outcome = asyncio.get_running_loop().create_future()
        phone.call(address, account=Account("phone", "its own"))
        assert await phone.outcome == 200
        (trunk,) = (await ask(switch, "/trunks")).json()
        assert (trunk["name"], trunk["calls"], trunk["max_calls"], trunk["up"]) == ("phone", 2, 3, None)

    run(tmp_path, story, sip={"digest_ban_after": 2})


def test_a_full_trunk_refuses_and_counts(tmp_path: Path) -> None:
    """RFC 3261 21.5.4: 503 with Retry-After; the call comes in by the trunk that it would leave by."""

    async def story(switch: Switch, phone: Phone) -> None:
        file = tmp_path / "dialplans" / "20-phone.toml"
        file.write_text(file.read_text().replace("sources", "max_calls = 1\nsources"))
        await switch.reload()
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 503
        assert 'softswitch_trunk_full_total{trunk="phone"} 1.0' in (await ask(switch, "/metrics")).text

    (cdr,) = run(tmp_path, story)
    assert cdr["ulFailReason"] == 7109


def test_more_calls_than_the_limit_get_503_and_no_cdr(tmp_path: Path) -> None:
    async def story(switch: Switch, phone: Phone) -> None:
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 200
        first, phone.outcome = phone.session, asyncio.get_running_loop().create_future()
        phone.call(switch.sip_addresses[0])
        assert await phone.outcome == 503
        assert 'why="calls"} 1.0' in (await ask(switch, "/metrics")).text
        assert first is not None
        first.hang_up()
        await switch.registry.wait_empty()
        await switch.cdrs.drain()

    (cdr,) = run(tmp_path, story, limits={"max_calls": 1})
    assert cdr["ulFailReason"] == 0


def phone_of(host: str) -> Hop:
    return Hop("tcp", host, 40000)


async def _silent(sock: socket.socket) -> bool:
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), 0.2)
    except TimeoutError:
        return True
    return False
