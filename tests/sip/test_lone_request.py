"""RFC 3261 8.1, 10.2, 11.1 and 22: OPTIONS and REGISTER of ours, seen by a scripted peer."""

from __future__ import annotations

import asyncio

import pytest

from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account, parse_credentials, proves
from softswitch.sip.lone_request import Series
from softswitch.sip.message import SipResponse
from softswitch.sip.user_agent import UserAgent
from tests.support.peer import Peer
from tests.support.recorder import PHONE, Switch, play
from tests.support.wire import Wire

ACCOUNT = Account("us", "secret")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="r", nonce="1", algorithm=SHA-256, qop="auth"')


def ask(
    switch: Switch,
    method: str = "OPTIONS",
    *,
    series: Series | None = None,
    account: Account | None = None,
    contact_user: str | None = None,
) -> asyncio.Task[SipResponse]:
    story = switch.agent.request(
        Hop("udp", *PHONE),
        method,
        request_uri="sip:10.0.0.9",
        from_="<sip:us@r>",
        to="<sip:them@r>",
        headers=[("Expires", "60")],
        series=series,
        account=account,
        contact_user=contact_user,
    )
    return asyncio.create_task(story)


def test_a_request_outside_dialogs_gets_its_final_response() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        asked = ask(switch)
        options = await phone.receive_request("OPTIONS")
        assert (options.uri, options.max_forwards, options.cseq.number) == ("sip:10.0.0.9", 70, 1)
        assert options.from_.tag and not options.to.tag and options.call_id
        assert options.headers.get("Expires") == "60" and "Contact" not in options.headers
        phone.send(phone.response(options, 100))
        phone.send(phone.response(options, 486))
        assert (await asked).status == 486

    play(story)


def test_silence_is_a_408_of_our_own() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        assert (await ask(switch)).status == 408
        phone.pending()

    play(story)


def test_requests_of_a_series_share_their_call_id_and_count_on() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        series, seen = Series(), []
        for _ in range(2):
            asked = ask(switch, "REGISTER", series=series, contact_user="a b")
            register = await phone.receive_request("REGISTER")
            assert register.headers.get("Contact") == "<sip:a%20b@10.0.0.1:5060>"
            phone.send(phone.response(register, 200))
            await asked
            seen.append((register.call_id, register.cseq.number))
        assert seen == [(series.call_id, 1), (series.call_id, 2)]

    play(story)


def test_a_challenge_is_answered_by_a_new_transaction_with_the_next_number() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        asked = ask(switch, "REGISTER", account=ACCOUNT)
        first = await phone.receive_request("REGISTER")
        phone.send(phone.response(first, 401, headers=[CHALLENGE]))
        second = await phone.receive_request("REGISTER")
        assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
        assert (second.cseq.number, second.via.branch == first.via.branch) == (2, False)
        shown = parse_credentials(second.headers.get("Authorization") or "")
        assert (shown.username, shown.realm, shown.uri, shown.count) == ("us", "r", "sip:10.0.0.9", 1)
        assert shown.response == proves(shown, ACCOUNT, "REGISTER")
        phone.send(phone.response(second, 200))
        assert (await asked).status == 200

    play(story)


@pytest.mark.parametrize("account", [ACCOUNT, None])
def test_a_wrong_password_or_none_is_told_as_the_refusal_that_it_is(account: Account | None) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        asked = ask(switch, account=account)
        for _ in range(2 if account else 1):
            options = await phone.receive_request("OPTIONS")
            phone.send(phone.response(options, 401, headers=[CHALLENGE]))
        assert (await asked).status == 401
        await phone.silence(40)

    play(story)


def test_who_gave_up_waiting_sends_nothing_more() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        asked = ask(switch, account=ACCOUNT)
        options = await phone.receive_request("OPTIONS")
        asked.cancel()
        await asyncio.sleep(0)
        phone.send(phone.response(options, 401, headers=[CHALLENGE]))
        await phone.silence(40)

    play(story)


def test_nothing_is_sent_before_the_start() -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(UserAgent().request(Hop("udp", *PHONE), "OPTIONS", request_uri="sip:a", from_="<a:b>", to="<a:b>"))
