"""Registering with a registrar (RFC 3261 10.2, RFC 5626 4.5): refresh, back-off, Min-Expires, farewell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
import structlog.testing

from softswitch.interconnect.peer import Peer as Trunk
from softswitch.interconnect.registration import FAREWELL_S, Registration
from softswitch.sip.addresses import Hop
from softswitch.sip.digest import Account, parse_credentials, proves
from softswitch.sip.message import SipRequest
from tests.support.peer import Peer
from tests.support.recorder import PHONE, Switch, play
from tests.support.wire import Wire

ACCOUNT = Account("us", "secret")
CHALLENGE = [("WWW-Authenticate", 'Digest realm="r", nonce="1", algorithm=SHA-256, qop="auth"')]


def registering(story: Callable[[Registration, Peer], Awaitable[None]], *, chance: float = 1.0) -> None:
    """Play a story with a registrar while we register there for 1000 s."""

    async def whole(switch: Switch, phone: Peer, wire: Wire) -> None:
        phone.patience = 5000.0
        trunk = Trunk("carrier", Hop("udp", *PHONE), "sip:us@10.0.0.9", switch.agent, ACCOUNT)
        registration = Registration(trunk, "us", 1000, lambda: chance)
        task = asyncio.create_task(registration.keep())
        await story(registration, phone)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    play(whole)


async def registered(phone: Peer, status: int = 200, *headers: tuple[str, str]) -> SipRequest:
    register = await phone.receive_request("REGISTER")
    phone.send(phone.response(register, status, headers=headers))
    await asyncio.sleep(0.001)
    return register


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_registration_tells_who_we_are_and_where_and_is_refreshed_in_time() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        with structlog.testing.capture_logs() as logs:
            first = await registered(phone)
            assert registration.registered
            assert (first.uri, first.to.uri, first.from_.uri) == (
                "sip:10.0.0.9:5060",
                "sip:us@10.0.0.9",
                "sip:us@10.0.0.9",
            )
            assert (first.headers.get("Contact"), first.headers.get("Expires")) == ("<sip:us@10.0.0.1:5060>", "1000")
            second = await registered(phone)
        assert now() == pytest.approx(800, abs=0.1)  # of the 1000 s asked for
        assert (second.call_id, second.cseq.number) == (first.call_id, 2)
        assert [entry["event"] for entry in logs] == ["registered"]

    registering(story)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ([("Expires", "100")], 80),
        ([("Contact", "<sip:other@h>;expires=10, <sip:us@10.0.0.1:5060>;expires=200"), ("Expires", "100")], 160),
        # Another phone of the same account (RFC 3261 10.2.4: by the rules of 19.1.4, host and port count).
        ([("Contact", "<sip:us@10.0.0.7:5060>;expires=3600, <sip:us@10.0.0.1:5060>;expires=200")], 160),
        ([("Contact", "<sip:us@10.0.0.1:5070>;expires=3600"), ("Contact", "<sip:us@10.0.0.1>;expires=200")], 160),
        # Ours as the registrar rewrote it may be any of these: the earliest end is safe.
        ([("Contact", "<sip:us@192.0.2.7:1024>;expires=300, <sip:us@192.0.2.7:1025>;expires=100")], 80),
        ([("Contact", "<sip:us@10.0.0.1:5060>"), ("Expires", "100")], 80),
        # Ours says nothing of itself, another phone's does.
        ([("Contact", "<sip:us@10.0.0.7:5060>;expires=3600, <sip:us@10.0.0.1:5060>"), ("Expires", "100")], 80),
        ([("Contact", "<sip:us@10.0.0.7:5060>;expires=60, <sip:us@10.0.0.1:5060>")], 800),
        ([("Contact", "nonsense, <sip:us@10.0.0.1:5060>;expires=often"), ("Expires", "100")], 80),
        ([("Expires", "often")], 800),
        ([("Expires", "1")], 5),
    ],
)
def test_what_the_registrar_grants_counts(headers: list[tuple[str, str]], after: float) -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone, 200, *headers)
        await registered(phone)
        assert now() == pytest.approx(after, abs=0.1)

    registering(story)


def test_a_challenge_is_answered() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone, 401, *CHALLENGE)
        proved = await registered(phone)
        shown = parse_credentials(proved.headers.get("Authorization") or "")
        assert shown.response == proves(shown, ACCOUNT, "REGISTER")
        assert registration.registered and proved.cseq.number == 2

    registering(story)


def test_an_interval_too_brief_is_stretched_to_what_the_registrar_wants() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone, 423, ("Min-Expires", "3600"))
        again = await registered(phone)
        assert again.headers.get("Expires") == "3600" and now() < 1
        await registered(phone)
        assert now() == pytest.approx(2880, abs=0.1)

    registering(story)


def test_a_423_that_asks_for_nothing_is_a_failure() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone, 423)
        assert not registration.registered
        await registered(phone)
        assert now() == pytest.approx(30, abs=0.1)

    registering(story)


def test_failures_are_followed_by_ever_longer_waits_up_to_half_an_hour() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        waits, last = [], 0.0
        with structlog.testing.capture_logs() as logs:
            for _ in range(9):
                await registered(phone, 403)
                waits.append(round(now() - last))
                last = now()
        assert waits == [0, 30, 60, 120, 240, 480, 960, 1800, 1800]
        assert {(entry["event"], entry["status"], entry["trunk"]) for entry in logs} == {
            ("not_registered", 403, "carrier")
        }
        await registered(phone)
        assert registration.registered
        await registered(phone, 500)
        last = now()
        await registered(phone)
        assert now() - last == pytest.approx(30, abs=0.1)  # success ended the series

    registering(story)


def test_chance_halves_a_wait_at_most_and_the_registrar_may_ask_for_more() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone, 503)
        await registered(phone, 503, ("Retry-After", "120 (maintenance);duration=60"))
        assert now() == pytest.approx(15, abs=0.1)
        await registered(phone)
        assert now() == pytest.approx(135, abs=0.1)

    registering(story, chance=0.0)


def test_who_leaves_takes_the_binding_back_once() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone)
        leaving = asyncio.create_task(registration.leave())
        farewell = await registered(phone)
        assert farewell.headers.get("Expires") == "0"
        assert farewell.headers.get("Contact") == "<sip:us@10.0.0.1:5060>"
        await leaving
        assert not registration.registered
        await registration.leave()
        await phone.silence(1)

    registering(story)


@pytest.mark.parametrize(("after_s", "farewells"), [(10, 1), (250, 0)])
def test_a_binding_whose_refresh_failed_is_taken_back_while_it_stands(after_s: float, farewells: int) -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone)
        await registered(phone, 503, ("Retry-After", "1800"))  # 200 s before it ends
        assert not registration.registered
        await asyncio.sleep(after_s)
        leaving = asyncio.create_task(registration.leave())
        for _ in range(farewells):
            assert (await registered(phone)).headers.get("Expires") == "0"
        await leaving
        await phone.silence(1)

    registering(story)


def test_a_farewell_without_an_answer_is_not_waited_for() -> None:
    async def story(registration: Registration, phone: Peer) -> None:
        await registered(phone)
        started = now()
        with structlog.testing.capture_logs() as logs:
            await registration.leave()
        assert now() - started == pytest.approx(FAREWELL_S)
        assert [entry["event"] for entry in logs] == ["not_unregistered"]
        phone.pending()

    registering(story)
