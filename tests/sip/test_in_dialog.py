"""RFC 3261 14.2, RFC 3311 5.2: what is common to the answers to requests inside a dialog."""

from __future__ import annotations

import pytest

from tests.support.peer import OFFER, Peer
from tests.support.recorder import Switch, hang_up, play, talk
from tests.support.wire import Wire


@pytest.mark.parametrize(("status", "contact"), [(200, True), (488, False)])
def test_only_what_accepts_a_target_refresh_tells_where_we_are(status: int, contact: bool) -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("UPDATE", body=OFFER))
        request = await recorder.until("UPDATE")
        request.respond(status)
        assert ("Contact" in (await phone.receive_response(status)).headers) == contact
        await hang_up(phone)

    play(story)


def test_only_the_first_answer_counts() -> None:
    async def story(switch: Switch, phone: Peer, wire: Wire) -> None:
        _, recorder = await talk(switch, phone)
        phone.send(phone.request("INFO"))
        request = await recorder.until("INFO")
        request.respond(415)
        request.respond(200)
        await phone.receive(415)
        await phone.silence(1)
        await hang_up(phone)

    play(story)
