"""Two of our cores on a wire that Hypothesis plays: whatever it loses, doubles, delays and reorders, nothing is left.

RFC 3261 12 to 17, RFC 6026. Where `test_lossy_wire` plays one call by a plan on a wire with a seed, here each datagram
is a choice, any number of calls are under way in both directions, and a failure shrinks to the datagrams that matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from softswitch.errors import RemoteProtocolError
from softswitch.sip.addresses import Hop
from softswitch.sip.client_session import ClientSession
from softswitch.sip.core import NewCall, SipCore
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import InDialogRequest, Session
from tests.support.peer import OFFER

ADDRESSES = (("10.0.0.1", 5060), ("10.0.0.2", 5060))
LONGEST = 700.0  # seconds: after so long every transaction, repetition and given-up CANCEL must have died
MOST_CALLS = 4
PATIENCE = 40  # datagrams that may wait on the wire at once


@dataclass(eq=False)
class Answer:
    """The answer to come of a request, where no event loop is."""

    response: SipResponse | None = None
    cancelled: bool = False
    callbacks: list[Callable[[Any], object]] = field(default_factory=list)

    def __await__(self) -> Generator[Any, None, SipResponse]:
        raise NotImplementedError

    def done(self) -> bool:
        return self.cancelled or self.response is not None

    def set_result(self, result: SipResponse, /) -> None:
        assert not self.done(), "answered twice"
        self.response = result
        for callback in self.callbacks:
            callback(self)

    def cancel(self) -> bool:
        self.cancelled = True
        return True

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        self.callbacks.append(callback)

    def result(self) -> SipResponse:
        assert self.response is not None
        return self.response


class Party:
    """The call layer of one session: does what it owes at once, keeps requests until Hypothesis answers them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.requests: list[InDialogRequest] = []
        self.finals = 0
        self.ends = 0
        self.wrong: list[str] = []  # a session outlives what its listener raises, so faults are noted
        session.listener = self

    def on_provisional(self, response: SipResponse) -> None:
        if self.finals:
            self.wrong.append("a provisional response was told behind the final one")

    def on_answered(self, response: SipResponse) -> None:
        self.finals += 1
        if isinstance(self.session, ClientSession):
            self.session.acknowledge()

    def on_refused(self, response: SipResponse) -> None:
        self.finals += 1

    def on_cancelled(self, request: SipRequest) -> None:
        self.ends += 1

    def on_acknowledged(self, request: SipRequest) -> None:
        pass

    def on_unacknowledged(self) -> None:
        self.session.hang_up()

    def on_bye(self, request: SipRequest) -> None:
        self.ends += 1
        if not self.session.ended:
            self.wrong.append("a BYE was told to a session that is not over")

    def on_request(self, request: InDialogRequest) -> None:
        self.requests.append(request)

    def on_dead(self, why: str) -> None:
        self.session.hang_up()

    def on_refresh_due(self) -> None:
        """No session timer here."""

    def on_expired(self) -> None:
        """No session timer here."""


class Side:
    """One core, its sessions and what they wait for."""

    def __init__(self, address: tuple[str, int], clock: Callable[[], float]) -> None:
        serial = itertools.count(1)
        self.answers: list[Answer] = []
        self.parties: list[Party] = []
        self.address = address
        self.core = SipCore(
            [address], lambda: f"{address[0][-1]}t{next(serial)}", clock=clock, new_response=self._new_answer
        )

    def pump(self) -> None:
        """Tell the call layer what there is to tell."""
        while (event := self.core.next_event()) is not None:
            if isinstance(event, NewCall):
                self.parties.append(Party(event.session))
            else:
                event.session.deliver(event.name, event.argument)

    def _new_answer(self) -> Answer:
        self.answers.append(Answer())
        return self.answers[-1]


class RandomWire(RuleBasedStateMachine):
    """The wire and what both call layers do."""

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.flights: list[tuple[Side, bytes, tuple[str, int]]] = []
        self.sides = [Side(address, lambda: self.now) for address in ADDRESSES]

    # The call layers

    @precondition(lambda self: sum(len(side.parties) for side in self.sides) < 2 * MOST_CALLS)
    @rule(who=st.integers(0, 1))
    def invite(self, who: int) -> None:
        side, other = self.sides[who], self.sides[1 - who]
        session = side.core.invite(
            Hop("udp", *other.address), request_uri="sip:b@x", from_="<sip:a@x>", to="<sip:b@x>", body=OFFER
        )
        side.parties.append(Party(session))
        self.settle()

    @rule(data=st.data(), what=st.sampled_from(["trying", "ring", "accept", "accept", "refuse"]))
    def respond(self, data: st.DataObject, what: str) -> None:
        arrived = [party.session for party in self.parties() if isinstance(party.session, ServerSession)]
        if not arrived:
            return
        session = data.draw(st.sampled_from(arrived))
        acts: dict[str, Callable[[], None]] = {
            "trying": session.trying,
            "ring": lambda: session.progress(180),
            "accept": lambda: session.accept(body=OFFER),
            "refuse": lambda: session.reject(486),
        }
        acts[what]()
        self.settle()

    @rule(data=st.data(), method=st.sampled_from(["INFO", "INVITE", "UPDATE"]))
    def request(self, data: st.DataObject, method: str) -> None:
        parties = self.parties()
        if parties:
            session = data.draw(st.sampled_from(parties)).session
            try:
                session.request(method, body=b"" if method == "INFO" else OFFER)
            except RemoteProtocolError:
                assert session.dialog is None or method == "INVITE"
            self.settle()

    @rule(data=st.data(), status=st.sampled_from([200, 200, 488]))
    def answer_request(self, data: st.DataObject, status: int) -> None:
        waiting = [(party, request) for party in self.parties() for request in party.requests]
        if waiting:
            party, request = data.draw(st.sampled_from(waiting))
            party.requests.remove(request)
            request.respond(status, body=OFFER if status == 200 and request.message.method == "INVITE" else b"")
            self.settle()

    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        parties = self.parties()
        if parties:
            data.draw(st.sampled_from(parties)).session.hang_up()
            self.settle()

    # The wire

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), how=st.sampled_from(["first", "first", "first", "any", "twice", "lose"]))
    def deliver(self, data: st.DataObject, how: str) -> None:
        index = 0 if how == "first" else data.draw(st.integers(0, len(self.flights) - 1))
        flight = self.flights[index] if how == "twice" else self.flights.pop(index)
        if how != "lose":
            self.arrive(flight)

    @precondition(lambda self: self.flights)
    @rule()
    def deliver_everything(self) -> None:
        self.drain()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 4.0, 33.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(self.now + seconds)

    # What must hold

    @invariant()
    def both_cores_understand_each_other(self) -> None:
        for side in getattr(self, "sides", []):
            assert side.core.malformed == 0
            assert side.core.leaks_refused == 0
            for party in side.parties:
                assert party.wrong == []
                assert party.finals <= 1
                assert party.ends <= 1

    def teardown(self) -> None:
        """All hang up, what was on the wire comes late, and then the wire is good: nothing may be left."""
        if not hasattr(self, "sides"):
            return
        for party in self.parties():
            for request in party.requests:
                request.respond(200)
            party.session.hang_up()
        self.settle()
        end = self.now + LONGEST
        while self.flights or self.now < end:
            self.drain()
            for party in self.parties():  # calls that only now arrived
                party.session.hang_up()
            self.settle()
            if not self.flights:
                self.pass_time(min(end, self.next_deadline(end)))
        for side in self.sides:
            assert not side.core.sessions
            assert not side.core.transactions
            assert not side.core._merged and not side.core._calls
            assert side.core.next_deadline() is None
            assert all(party.session.ended for party in side.parties)
            assert all(answer.done() for answer in side.answers)

    # How it goes

    def parties(self) -> list[Party]:
        return [party for side in self.sides for party in side.parties]

    def settle(self) -> None:
        """Events are told and what was sent is on the wire."""
        while True:
            for side, other in (self.sides, self.sides[::-1]):
                side.pump()
                self.flights += [(other, one.data, side.address) for one in side.core.datagrams_to_send()]
            if not any(side.core.events for side in self.sides):
                break
        del self.flights[PATIENCE:]

    def arrive(self, flight: tuple[Side, bytes, tuple[str, int]]) -> None:
        side, data, source = flight
        side.core.receive_datagram(data, source, self.now)
        self.settle()

    def drain(self) -> None:
        while self.flights:
            self.arrive(self.flights.pop(0))

    def next_deadline(self, latest: float) -> float:
        return min([latest, *(at for side in self.sides if (at := side.core.next_deadline()) is not None)])

    def pass_time(self, until: float) -> None:
        """Timers ring in order; what they send stays on the wire."""
        while (at := self.next_deadline(until)) < until:
            self.ring(at)
        self.ring(until)

    def ring(self, at: float) -> None:
        self.now = max(self.now, at)
        for side in self.sides:
            side.core.handle_timers(self.now)
        self.settle()


RandomWire.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRandomWire = RandomWire.TestCase
