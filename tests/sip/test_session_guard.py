"""The leak guard at the session: it sees every message, may change it, and what it refuses never leaves."""

from __future__ import annotations

import asyncio

from softswitch.sip.session import LeakRefused
from tests.support.peer import Peer
from tests.support.recorder import Recorder, Switch, play
from tests.support.wire import Wire


def test_an_invite_withheld_by_the_guard_is_refused_with_500_and_never_sent() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        def guard(data: bytes) -> bytes:
            raise LeakRefused("number")

        session = switch.call(guard=guard)
        recorder = Recorder(session)
        await recorder.until("refused 500")
        assert session.ended
        session.hang_up()
        assert wire.trace == []
        assert switch.agent.core.leaks_refused == 1

    play(story)


def test_the_guard_sees_and_changes_every_message_and_repetitions_resend_what_it_let_go() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        seen: list[bytes] = []

        def guard(data: bytes) -> bytes:
            seen.append(data.split(b" ")[0])
            return data.replace(b"User-Agent: softswitch\r\n", b"")

        session = switch.call(guard=guard)
        recorder = Recorder(session)
        wire.lose("INVITE")
        invite = await phone.receive_request("INVITE")
        assert "User-Agent" not in invite.headers
        invite = await phone.receive_request("INVITE")
        assert "User-Agent" not in invite.headers
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        session.hang_up()
        phone.send(phone.response(await phone.receive_request("CANCEL"), 200))
        phone.send(phone.response(invite, 487))
        await phone.receive("ACK")
        assert seen == [b"INVITE", b"CANCEL", b"ACK"]

    play(story)


def test_headers_the_guard_refuses_are_left_out_of_cancel_and_bye() -> None:
    def guard(data: bytes) -> bytes:
        if b"SECRET" in data:
            raise LeakRefused("number")
        return data

    async def cancelled(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(guard=guard)
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        session.hang_up(headers=[("Reason", "SECRET")])
        assert "Reason" not in (await phone.receive_request("CANCEL")).headers
        phone.send(phone.response(invite, 487))
        await phone.receive("ACK", ignoring=["CANCEL"])
        await asyncio.sleep(33)
        phone.pending()

    async def byed(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call(guard=guard)
        recorder = Recorder(session)
        phone.send(phone.response(await phone.receive_request("INVITE"), 200))
        await recorder.until("answered 200")
        session.acknowledge(b"SECRET")
        assert (await phone.receive_request("ACK")).body == b""
        session.hang_up(headers=[("Reason", "SECRET")])
        bye = await phone.receive_request("BYE")
        assert "Reason" not in bye.headers
        phone.send(phone.response(bye, 200))

    play(cancelled)
    play(byed)


def test_a_guard_that_refuses_everything_keeps_the_wire_silent_and_leaves_nothing_behind() -> None:
    async def cancelled(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 180))
        await recorder.until("180")
        session.guard = broken
        session.hang_up()
        await phone.silence(40)

    async def byed(switch: Switch, phone: Peer, wire: Wire) -> None:
        session = switch.call()
        recorder = Recorder(session)
        invite = await phone.receive_request("INVITE")
        phone.send(phone.response(invite, 200))
        await recorder.until("answered 200")
        session.guard = broken
        session.acknowledge()
        phone.send(phone.response(invite, 200))
        for _ in range(2):
            phone.send(phone.response(invite, 200, tag="fork"))
        await phone.silence(1)
        session.hang_up()
        await phone.silence(40)

    def broken(data: bytes) -> bytes:
        raise ZeroDivisionError

    play(cancelled)
    play(byed)
