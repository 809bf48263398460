"""RFC 3263 4.3 inside a dialog: a next hop that is a name has further addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account
from softswitch.sip.failover import MOST_ADDRESSES
from softswitch.sip.message import SipRequest
from softswitch.sip.session import LeakRefused
from tests.support.peer import OFFER, Peer
from tests.support.recorder import PHONE, Recorder, Switch, hang_up, talk
from tests.support.recorder import play as play_at
from tests.support.wire import Wire

TIMEOUT_S = 32.0  # 64*T1
SECOND = "10.0.0.10"


class Named(Peer):
    """A peer whose Contact is a name that both of its addresses belong to."""

    @property
    def contact(self) -> str:
        return "<sip:peer@sbc.example>"


class Names:
    """What is known of sbc.example, and what was told of its addresses."""

    def __init__(self, switch: Switch, *hosts: str) -> None:
        self.hosts, self.told = list(hosts), list[str]()
        core = switch.agent.core
        core.addresses_of = lambda hop: [Hop("udp", host, 5060) for host in self.hosts]
        core.address_failed = lambda hop, why: self.told.append(f"{hop.host} {why}")


Story = Callable[[Switch, Named, Peer, Names], Awaitable[None]]


def play(story: Story, *hosts: str) -> None:
    """The phone and a second peer are the addresses of sbc.example, before `hosts`."""

    async def whole(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.close()
        names = Names(switch, PHONE[0], SECOND, *hosts)
        await story(switch, Named(wire, PHONE), Peer(wire, (SECOND, 5060)), names)

    play_at(whole)


def same_but_branch(one: SipRequest, other: SipRequest) -> bool:
    """RFC 3263 4.3: "identical to the previous, but has a different value of the Via branch ID"."""
    assert one.via.branch != other.via.branch
    rest = [[pair for pair in request.headers.items() if pair[0] != "Via"] for request in (one, other)]
    return rest[0] == rest[1] and (one.uri, one.body) == (other.uri, other.body)


def test_a_bye_that_nobody_answers_goes_to_the_names_next_address() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        began = asyncio.get_running_loop().time()
        session.hang_up()
        first = await phone.receive_request("BYE")
        bye = await second.receive_request("BYE")
        assert asyncio.get_running_loop().time() - began == pytest.approx(TIMEOUT_S)
        assert same_but_branch(first, bye)
        second.send(second.response(bye, 200))
        assert names.told == [f"{PHONE[0]} BYE: 408"]

    play(story)


def test_503_and_a_transport_that_fails_lead_there_at_once() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INFO", body=b"Signal=5\r\n", content_type="application/dtmf-relay")
        first = await phone.receive_request("INFO")
        phone.send(phone.response(first, 503, headers=[("Retry-After", "9")]))
        info = await second.receive_request("INFO")
        assert same_but_branch(first, info)
        second.send(second.response(info, 200))
        assert (await answer).status == 200
        switch.wire.refused.add((SECOND, 5060))
        answer = session.request("INFO")
        again = await phone.receive_request("INFO")
        phone.send(phone.response(again, 200))
        assert (await answer).status == 200
        assert names.told == [f"{PHONE[0]} INFO: 503", f"{SECOND} INFO: 503"]
        assert recorder.events == ["ACK"]
        await hang_up(phone)

    play(story)


def test_the_address_that_failed_is_avoided_wherever_the_dialog_has_gone_meanwhile() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        answers = [session.request("INFO"), session.request("INFO")]
        for info in [await phone.receive_request("INFO"), await phone.receive_request("INFO")]:
            phone.send(phone.response(info, 503))
        for info in [await second.receive_request("INFO"), await second.receive_request("INFO")]:
            second.send(second.response(info, 200))
        assert [(await answer).status for answer in answers] == [200, 200]
        assert names.told == [f"{PHONE[0]} INFO: 503"] * 2
        session.hang_up()
        second.send(second.response(await second.receive_request("BYE"), 200))

    play(story)


def test_the_dialog_stays_with_the_address_that_answers() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INVITE", body=OFFER)
        first = await phone.receive_request("INVITE")
        phone.send(phone.response(first, 503))
        await phone.receive_request("ACK")  # of the 503, by its own transaction
        invite = await second.receive_request("INVITE")
        assert same_but_branch(first, invite)
        second.send(second.response(invite, 200, body=OFFER))
        assert (await answer).status == 200
        assert (await second.receive_request("ACK")).cseq.number == invite.cseq.number
        session.hang_up()
        second.send(second.response(await second.receive_request("BYE"), 200))
        await phone.silence(1)

    play(story)


def test_when_all_are_dead_the_call_layer_hears_the_last_of_it() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, recorder = await talk(switch, phone)
        answer = session.request("INFO")
        assert (await answer).status == 408
        assert "dead" in recorder.events
        assert names.told[0] == f"{PHONE[0]} INFO: 408"  # nobody is left to be avoided for the second
        session.hang_up()

    play(story)


def test_any_other_answer_is_an_answer() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INFO")
        phone.send(phone.response(await phone.receive_request("INFO"), 500))
        assert (await answer).status == 500
        await second.silence(TIMEOUT_S)
        await hang_up(phone)

    play(story)


def test_what_nobody_waits_for_any_more_goes_nowhere_else() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INFO")
        await phone.receive_request("INFO")
        await hang_up_ignoring(phone)
        assert (await answer).status == 481
        await second.silence(2 * TIMEOUT_S)

    play(story)


async def hang_up_ignoring(phone: Peer) -> None:
    phone.send(phone.request("BYE"))
    await phone.receive(200, ignoring=("INFO",))


def test_no_more_than_a_few_addresses_are_tried() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        session.hang_up()
        await asyncio.sleep(10 * TIMEOUT_S)
        assert len({one.destination for one in switch.wire.trace if one.label == "BYE"}) == MOST_ADDRESSES == 4

    play(story, *[f"10.0.1.{number}" for number in range(1, 9)])


def test_a_target_that_moved_to_an_address_meanwhile_has_no_other() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INFO")
        info = await phone.receive_request("INFO")
        assert session.dialog is not None
        moved = phone.request("UPDATE")
        moved.headers.set("Contact", f"<sip:peer@{PHONE[0]}>")
        session.dialog.refresh(moved)
        phone.send(phone.response(info, 503))
        assert (await answer).status == 503
        await second.silence(1)
        await hang_up(phone)

    play(story)


def test_what_the_guard_withholds_the_second_time_is_not_sent() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        session, _ = await talk(switch, phone)
        answer = session.request("INFO")
        info = await phone.receive_request("INFO")

        def refuse(data: bytes) -> bytes:
            raise LeakRefused("number")

        session.guard = refuse
        phone.send(phone.response(info, 503))
        assert (await answer).status == 503
        session.guard = None
        await second.silence(1)
        await hang_up(phone)

    play(story)


def test_a_request_that_was_challenged_goes_on_with_its_new_number_and_is_challenged_anew() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        challenge = [("Proxy-Authenticate", 'Digest realm="r", nonce="1", algorithm=MD5, qop="auth"')]
        session = switch.call(account=Account("us", "secret"))
        recorder = Recorder(session)
        phone.send(phone.response(await phone.receive_request("INVITE"), 200, body=OFFER))
        await recorder.until("answered 200")
        session.acknowledge()
        await phone.receive_request("ACK")
        answer = session.request("INFO")
        phone.send(phone.response(await phone.receive_request("INFO"), 407, headers=challenge))
        proved = await phone.receive_request("INFO")
        assert proved.headers.get("Proxy-Authorization")
        phone.send(phone.response(proved, 503))
        info = await second.receive_request("INFO")
        assert info.cseq == proved.cseq
        assert "Proxy-Authorization" not in info.headers  # that was for another
        second.send(second.response(info, 407, headers=challenge))
        info = await second.receive_request("INFO")
        assert info.cseq.number == proved.cseq.number + 1
        assert info.headers.get("Proxy-Authorization")
        second.send(second.response(info, 200))
        assert (await answer).status == 200
        session.hang_up()
        second.send(second.response(await second.receive_request("BYE"), 200))

    play(story)


def test_without_other_addresses_a_name_is_as_an_address() -> None:
    async def story(switch: Switch, phone: Named, second: Peer, names: Names) -> None:
        names.hosts = []
        session, _ = await talk(switch, phone)
        answer = session.request("INFO")
        phone.send(phone.response(await phone.receive_request("INFO"), 503))
        assert (await answer).status == 503
        assert names.told == []
        await hang_up(phone)

    play(story)
