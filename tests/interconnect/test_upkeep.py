"""What the trunks of a dialplan ask for is started, left alone, changed and ended with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from softswitch.interconnect.upkeep import Upkeep, account_of
from softswitch.routing.trunk import Trunk
from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account, parse_credentials, proves
from softswitch.sip.locating import AsGiven
from tests.interconnect.test_registration import CHALLENGE
from tests.routing.scene import plan
from tests.support.peer import Peer
from tests.support.recorder import Switch, play
from tests.support.wire import Wire

CHECKED = "health_s = 30.0"
DEAD = '[[trunk]]\nname = "dead"\nhost = "10.0.0.8"\n'
REGISTERED = 'register = true\nusername = "user"\npassword = "secret"'


def trunks(**options: str) -> Mapping[str, Trunk]:
    return plan(
        "".join(f'[[trunk]]\nname = "{name}"\nhost = "10.0.0.9"\n{text}\n' for name, text in options.items())
    ).trunks


async def answer(phone: Peer, method: str) -> str:
    request = await phone.receive_request(method)
    phone.send(phone.response(request, 200))
    await asyncio.sleep(0.001)
    return request.headers.get("Expires") or request.from_.uri


def test_checks_and_registrations_begin_and_end_with_their_trunks() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0)
        first = trunks(checked=CHECKED, registered=REGISTERED, plain="")
        upkeep.follow(first, "10.0.0.1")
        assert await answer(phone, "OPTIONS") == "sip:softswitch@10.0.0.1"
        assert await answer(phone, "REGISTER") == "3600"
        assert (upkeep.states.all(), upkeep.registered()) == ({"checked": True}, {"registered": True})
        upkeep.follow(trunks(checked=CHECKED, registered=REGISTERED, plain="", more=""), "10.0.0.1")
        await phone.silence(1)  # nothing changed for these two
        upkeep.follow(trunks(registered=REGISTERED + "\nregister_expires_s = 600"), "10.0.0.1")
        assert upkeep.states.all() == {}
        assert await answer(phone, "REGISTER") == "600"
        stopping = asyncio.create_task(upkeep.stop())
        assert await answer(phone, "REGISTER") == "0"
        await stopping
        assert upkeep.registered() == {}
        await phone.silence(3000)

    play(story)


class Shunning(AsGiven):
    """`Locating` that shuns some addresses."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    def shuns(self, wanted: Hop) -> bool:
        return wanted.host in self.hosts


def test_a_trunk_is_usable_unless_its_checks_or_calls_have_found_it_dead() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0, Shunning("10.0.0.8"))
        upkeep.follow({**trunks(one="", two=""), **plan(DEAD).trunks}, "10.0.0.1")
        upkeep.states.seen("two", False)
        upkeep.states.seen("two", False)
        assert [upkeep.usable(name) for name in ("one", "two", "dead", "gone")] == [True, False, False, True]
        await upkeep.stop()

    play(story)


@pytest.mark.parametrize("name", ["one", "another"])
def test_a_registration_that_a_reload_hands_on_is_taken_back_also_before_its_refresh_is_answered(name: str) -> None:
    """RFC 3261 10.2.2: else calls would come to us until it expires."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0)
        upkeep.follow(trunks(one=REGISTERED), "10.0.0.1")
        assert await answer(phone, "REGISTER") == "3600"
        upkeep.follow(trunks(**{name: REGISTERED + "\nregister_expires_s = 600"}), "10.0.0.1")
        assert (await phone.receive_request("REGISTER")).headers.get("Expires") == "600"
        assert upkeep.registered() == {name: True}
        upkeep.follow({}, "10.0.0.1")
        assert await answer(phone, "REGISTER") == "0"
        upkeep.follow(trunks(one=REGISTERED), "10.0.0.1")
        assert upkeep.registered() == {"one": False}
        assert await answer(phone, "REGISTER") == "3600"
        stopping = asyncio.create_task(upkeep.stop())
        assert await answer(phone, "REGISTER") == "0"
        await stopping

    play(story)


@pytest.mark.parametrize("name", ["one", "another"])
def test_a_registration_that_a_reload_changes_is_refreshed_and_not_taken_back(name: str) -> None:
    """A farewell beside it might arrive last, and the trunk would be without our address until the next refresh.

    RFC 3261 10.2.4: the registrar takes what has the same Call-ID by its CSeq.
    """

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0)
        upkeep.follow(trunks(one=REGISTERED), "10.0.0.1")
        first = await phone.receive_request("REGISTER")
        phone.send(phone.response(first, 200))
        await asyncio.sleep(0.001)
        wire.lose("REGISTER")
        upkeep.follow(trunks(**{name: REGISTERED + "\nregister_expires_s = 600"}), "10.0.0.1")
        second = await phone.receive_request("REGISTER")
        assert (second.headers.get("Expires"), second.call_id) == ("600", first.call_id)
        assert second.cseq.number > first.cseq.number
        phone.send(phone.response(second, 200))
        await phone.silence(100)
        assert upkeep.registered() == {name: True}
        upkeep.follow({}, "10.0.0.1")
        assert await answer(phone, "REGISTER") == "0"
        await upkeep.stop()

    play(story)


def test_a_new_password_that_is_wrong_costs_no_incoming_call_and_at_the_end_the_old_one_takes_the_binding_back() -> (
    None
):
    """The registrar goes on sending calls here until the binding expires: time to mend the slip."""

    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0)
        upkeep.follow(trunks(one=REGISTERED), "10.0.0.1")
        assert await answer(phone, "REGISTER") == "3600"
        upkeep.follow(trunks(one=REGISTERED.replace("secret", "wrong")), "10.0.0.1")
        phone.send(phone.response(await phone.receive_request("REGISTER"), 403))
        await phone.silence(10)
        assert upkeep.registered() == {"one": False}
        stopping = asyncio.create_task(upkeep.stop())
        farewell = await phone.receive_request("REGISTER")
        phone.send(phone.response(farewell, 401, headers=CHALLENGE))
        proved = await phone.receive_request("REGISTER")
        phone.send(phone.response(proved, 200))
        shown = parse_credentials(proved.headers.get("Authorization") or "")
        assert proved.headers.get("Expires") == "0"
        assert shown.response == proves(shown, Account("user", "secret"), "REGISTER")
        await stopping

    play(story)


def test_identities_are_written_as_uris_allow() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0)
        upkeep.follow(trunks(one=REGISTERED.replace('user"', 'us%er"') + '\nregister_user = "400"'), "10.0.0.1")
        register = await phone.receive_request("REGISTER")
        assert register.to.uri == "sip:us%25er@10.0.0.9"
        assert register.contact is not None and register.contact.uri == "sip:400@10.0.0.1:5060"
        await upkeep.stop()
        await asyncio.sleep(40)
        phone.pending()

    play(story)


def test_a_trunk_whose_proxy_serves_another_domain_reads_that_domain_in_what_it_gets() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        upkeep = Upkeep(switch.agent, lambda: 1.0)
        upkeep.follow(trunks(one=f'{REGISTERED}\n{CHECKED}\nuri_host = "ims.example"'), "10.0.0.1")
        options, register = await phone.receive_request("OPTIONS"), await phone.receive_request("REGISTER")
        assert (options.uri, options.to.uri) == ("sip:ims.example", "sip:ims.example")
        assert (register.uri, register.to.uri) == ("sip:ims.example", "sip:user@ims.example")  # RFC 3261 10.2
        phone.send(phone.response(options, 200))
        phone.send(phone.response(register, 403))
        await asyncio.sleep(0.001)
        await upkeep.stop()

    play(story)


def test_accounts_are_those_of_trunks_with_a_username() -> None:
    found = trunks(one='username = "us"\npassword = "secret"', two="")
    assert account_of(found["one"]) == Account("us", "secret")
    assert account_of(found["two"]) is None
    assert account_of(None) is None
