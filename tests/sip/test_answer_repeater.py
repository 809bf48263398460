"""RFC 3261 13.3.1.4: the 2xx goes out again at T1, doubling to T2, until 64*T1 or the ACK."""

from __future__ import annotations

import pytest

from softswitch.sip.addresses import Hop, Path
from softswitch.sip.answer_repeater import AnswerRepeater
from softswitch.sip.core import SipCore
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.timing import NEVER
from softswitch.sip.transaction import INVITE_SERVER, Told, Transaction


def no_future() -> PendingResponse:
    raise AssertionError


def ignore(what: Told) -> None:
    """Nothing is told here."""


def build(transport: str) -> tuple[SipCore, AnswerRepeater, list[AnswerRepeater]]:
    core = SipCore([("10.0.0.1", 5060)], str, clock=lambda: 0.0, new_response=no_future)
    path = Path(Hop(transport, "10.0.0.9", 5060))
    transaction = Transaction(INVITE_SERVER, core, "key", path, method="INVITE", tell=ignore)
    transaction.respond(200, b"200", 0.0)
    missed: list[AnswerRepeater] = []
    return core, AnswerRepeater(core, transaction, 1, missed.append), missed


def repetitions(core: SipCore, until: float) -> list[float]:
    times = []
    core.datagrams_to_send()
    while (at := core.next_deadline()) is not None and at <= until:
        core.handle_timers(at)
        times += [at] * len(core.datagrams_to_send())
    return times


def test_over_udp_it_is_repeated_until_the_time_is_up() -> None:
    core, repeater, missed = build("udp")
    assert repetitions(core, 100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert missed == [repeater]


def test_the_ack_stops_it() -> None:
    core, repeater, missed = build("udp")
    assert repetitions(core, 1) == [0.5]
    repeater.stop()
    assert repeater.deadline == NEVER
    assert repetitions(core, 100) == []
    assert missed == []


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_reliable_transport_makes_no_difference(transport: str) -> None:
    """13.3.1.4: "even if the transport at the UAS is reliable", for a hop behind the next may not be."""
    core, repeater, missed = build(transport)
    assert repetitions(core, 100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert missed == [repeater]
