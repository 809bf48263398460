"""The four machines of RFC 3261 17 and RFC 6026: each timer, each edge, and any order of inputs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from softswitch.sip.addresses import Hop, Path
from softswitch.sip.message import SipRequest, SipResponse, parse_message
from softswitch.sip.timing import NEVER, Timed, Timing
from softswitch.sip.transaction import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Failure,
    Input,
    Machine,
    State,
    Told,
    Transaction,
    ignore,
    kind_of,
)

MACHINES = (INVITE_CLIENT, CLIENT, INVITE_SERVER, SERVER)
PATHS = {"udp": Path(Hop("udp", "10.0.0.2", 5060)), "tcp": Path(Hop("tcp", "10.0.0.2", 5060))}


def request_bytes(method: str) -> bytes:
    return (
        f"{method} sip:100@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        f"Route: <sip:10.0.0.3;lr>\r\nFrom: <sip:a@10.0.0.1>;tag=a\r\nTo: <sip:100@10.0.0.2>\r\nCall-ID: c\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:10.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def response(status: int, method: str = "INVITE") -> SipResponse:
    message = parse_message(
        f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@10.0.0.1>;tag=a\r\n"
        f"To: <sip:100@10.0.0.2>;tag=b\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n".encode()
    )
    assert isinstance(message, SipResponse)
    return message


def request(method: str) -> SipRequest:
    message = parse_message(request_bytes(method))
    assert isinstance(message, SipRequest)
    return message


@dataclass
class Core:
    """Surroundings that write down what a transaction does."""

    timing: Timing = field(default_factory=Timing)
    sent: list[tuple[float, str]] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    told: list[int | str] = field(default_factory=list)
    forgotten: int = 0
    now: float = 0.0

    def send(
        self,
        data: bytes,
        path: Path,
        method: str,
        status: int,
        sender: Transaction | None = None,
        *,
        again: bool = False,
    ) -> None:
        self.sent.append((self.now, f"{status or method}{' again' if again else ''}"))
        self.data.append(data)

    def arm(self, timed: Timed) -> None:
        timed.armed = timed.deadline

    def forget(self, transaction: Transaction) -> None:
        self.forgotten += 1

    def tell(self, what: Told) -> None:
        if isinstance(what, Failure):
            self.told.append(what.name)
        else:
            self.told.append(what.status if isinstance(what, SipResponse) else what.method)


def build(machine: Machine, transport: str = "udp") -> tuple[Transaction, Core]:
    core = Core()
    method = "INVITE" if machine in (INVITE_CLIENT, INVITE_SERVER) else "BYE"
    transaction = Transaction(machine, core, "key", PATHS[transport], method=method, tell=core.tell)
    if machine in (INVITE_CLIENT, CLIENT):
        transaction.start(request_bytes(method), 0.0)
    return transaction, core


def state_of(transaction: Transaction) -> State:
    return transaction.state


def wait(transaction: Transaction, core: Core, until: float) -> None:
    while transaction.deadline <= until:
        core.now = max(core.now, transaction.deadline)
        transaction.armed = NEVER
        transaction.wake(core.now)
    core.now = until


# 17.1.1: the INVITE client


def test_an_unanswered_invite_is_repeated_with_doubling_pauses_until_timer_b() -> None:
    transaction, core = build(INVITE_CLIENT)
    wait(transaction, core, 100)
    assert [at for at, _ in core.sent] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert core.told == ["TIMEOUT"]
    assert state_of(transaction) is State.TERMINATED
    assert core.forgotten == 1


def test_an_invite_over_tcp_is_sent_once_and_still_times_out() -> None:
    transaction, core = build(INVITE_CLIENT, "tcp")
    wait(transaction, core, 31.9)
    assert core.told == []
    wait(transaction, core, 32)
    assert core.sent == [(0, "INVITE")]
    assert core.told == ["TIMEOUT"]


def test_a_provisional_response_stops_timers_a_and_b() -> None:
    transaction, core = build(INVITE_CLIENT)
    for status in (100, 180):
        transaction.receive_response(response(status), 0.1)
    wait(transaction, core, 1000)
    assert core.sent == [(0, "INVITE")]
    assert core.told == [100, 180]
    assert state_of(transaction) is State.PROCEEDING


def test_a_refusal_is_acked_each_time_and_told_once() -> None:
    transaction, core = build(INVITE_CLIENT)
    for now in (0.1, 0.6, 1.6):
        transaction.receive_response(response(486), now)
    assert [what for _, what in core.sent] == ["INVITE", "ACK", "ACK again", "ACK again"]
    assert core.told == [486]
    wait(transaction, core, 32)
    assert state_of(transaction) is State.COMPLETED
    wait(transaction, core, 32.25)
    assert state_of(transaction) is State.TERMINATED


def test_the_ack_for_a_refusal_copies_the_invite_but_takes_the_to_of_the_response() -> None:
    """17.1.1.3."""
    transaction, core = build(INVITE_CLIENT)
    transaction.receive_response(response(486), 0.1)
    ack = parse_message(core.data[-1])
    assert isinstance(ack, SipRequest)
    assert (ack.method, ack.uri, ack.to.tag, str(ack.cseq)) == ("ACK", "sip:100@10.0.0.2", "b", "1 ACK")
    assert ack.via.branch == "z9hG4bK1"
    assert ack.headers.all("Route") == ["<sip:10.0.0.3;lr>"]
    assert "Contact" not in ack.headers


def test_the_guard_may_withhold_the_ack() -> None:
    transaction, core = build(INVITE_CLIENT)
    transaction.guarded = lambda data: None
    transaction.receive_response(response(486), 0.1)
    assert core.sent == [(0, "INVITE")]
    assert core.told == [486]


def test_the_guard_may_change_the_ack() -> None:
    transaction, core = build(INVITE_CLIENT)
    transaction.guarded = lambda data: data.replace(b"Max-Forwards: 70", b"Max-Forwards: 9")
    transaction.receive_response(response(486), 0.1)
    assert b"Max-Forwards: 9\r\n" in core.data[-1]


def test_accepted_passes_on_every_2xx_for_64_t1() -> None:
    """RFC 6026 8.4: 2xx of other branches of a fork, and repeated ones, are the user's."""
    transaction, core = build(INVITE_CLIENT)
    transaction.receive_response(response(180), 0.1)
    for now in (0.2, 0.7, 31):
        transaction.receive_response(response(200), now)
    transaction.receive_response(response(486), 31)
    assert core.told == [180, 200, 200, 200]
    wait(transaction, core, 32.25)
    assert state_of(transaction) is State.TERMINATED


def test_a_transport_error_is_told_as_503() -> None:
    transaction, core = build(INVITE_CLIENT)
    transaction.step(Input.TRANSPORT_ERROR, None, 0.0)
    assert core.told == ["TRANSPORT"]


# 17.1.2: the non-INVITE client


def test_an_unanswered_bye_is_repeated_up_to_t2_apart_until_timer_f() -> None:
    transaction, core = build(CLIENT)
    wait(transaction, core, 100)
    assert [at for at, _ in core.sent] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert core.told == ["TIMEOUT"]


def test_after_a_provisional_a_bye_is_repeated_every_t2_until_timer_f() -> None:
    transaction, core = build(CLIENT)
    transaction.receive_response(response(100, "BYE"), 0.1)
    wait(transaction, core, 100)
    assert [at for at, _ in core.sent] == [0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert core.told == [100, "TIMEOUT"]


def test_repeated_final_responses_are_absorbed_for_timer_k() -> None:
    transaction, core = build(CLIENT)
    for now in (1, 2, 3):
        transaction.receive_response(response(200, "BYE"), now)
    assert core.told == [200]
    wait(transaction, core, 5.9)
    assert state_of(transaction) is State.COMPLETED
    wait(transaction, core, 6)
    assert state_of(transaction) is State.TERMINATED


# 17.2.1: the INVITE server


def test_a_repeated_invite_gets_the_latest_provisional_again() -> None:
    transaction, core = build(INVITE_SERVER)
    transaction.receive_request(request("INVITE"), 0.0)
    transaction.respond(100, b"100", 0.1)
    transaction.respond(180, b"180", 0.2)
    transaction.receive_request(request("INVITE"), 0.5)
    assert [what for _, what in core.sent] == ["100", "180", "180 again"]


def test_a_refusal_is_repeated_until_timer_h_where_no_ack_comes() -> None:
    transaction, core = build(INVITE_SERVER)
    transaction.respond(486, b"486", 0.0)
    wait(transaction, core, 100)
    assert [at for at, _ in core.sent] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert core.told == ["TIMEOUT"]


def test_an_ack_ends_the_repetition_and_is_absorbed_for_timer_i() -> None:
    transaction, core = build(INVITE_SERVER)
    transaction.respond(486, b"486", 0.0)
    for _ in range(3):
        transaction.receive_request(request("ACK"), 0.1)
    wait(transaction, core, 5)
    assert state_of(transaction) is State.CONFIRMED
    wait(transaction, core, 5.25)
    assert state_of(transaction) is State.TERMINATED
    assert core.sent == [(0, "486")]
    assert core.told == []


def test_a_refusal_over_tcp_is_not_repeated() -> None:
    transaction, core = build(INVITE_SERVER, "tcp")
    transaction.respond(486, b"486", 0.0)
    wait(transaction, core, 31)
    assert core.sent == [(0, "486")]


@pytest.mark.parametrize(("status", "ends_at"), [(180, 0), (200, 32), (486, 32)])
def test_a_response_that_could_not_be_sent_does_not_make_a_repeated_invite_a_new_one(status: int, ends_at: int) -> None:
    """RFC 6026 7.1: the state must not be discarded; timers H and L end it."""
    transaction, core = build(INVITE_SERVER)
    transaction.respond(status, b"response", 0.0)
    transaction.step(Input.TRANSPORT_ERROR, None, 0.0)
    transaction.receive_request(request("INVITE"), 0.1)
    assert state_of(transaction) is not State.TERMINATED
    wait(transaction, core, 31.9)
    assert core.forgotten == 0
    wait(transaction, core, 32)
    assert core.forgotten == (1 if ends_at else 0)


def test_accepted_absorbs_repeated_invites_and_passes_acks_up() -> None:
    """RFC 6026 8.7."""
    transaction, core = build(INVITE_SERVER)
    transaction.respond(200, b"200", 0.0)
    transaction.receive_request(request("INVITE"), 0.5)
    transaction.receive_request(request("ACK"), 0.6)
    transaction.respond(200, b"200", 0.7)
    assert [what for _, what in core.sent] == ["200", "200 again"]
    assert core.told == ["ACK"]
    wait(transaction, core, 32)
    assert state_of(transaction) is State.TERMINATED


def test_a_second_final_response_is_ignored() -> None:
    transaction, core = build(INVITE_SERVER)
    transaction.respond(486, b"486", 0.0)
    transaction.respond(200, b"200", 0.0)
    transaction.respond(180, b"180", 0.0)
    assert [what for _, what in core.sent] == ["486"]
    assert transaction.data == b"486"


# 17.2.2: the non-INVITE server


def test_a_repeated_bye_is_absorbed_while_nothing_was_answered() -> None:
    transaction, core = build(SERVER)
    transaction.receive_request(request("BYE"), 0.1)
    assert core.sent == []


def test_a_repeated_bye_gets_the_latest_response_again_for_timer_j() -> None:
    transaction, core = build(SERVER)
    transaction.respond(100, b"100", 0.0)
    transaction.receive_request(request("BYE"), 0.1)
    transaction.respond(200, b"200", 0.2)
    transaction.receive_request(request("BYE"), 0.3)
    assert [what for _, what in core.sent] == ["100", "100 again", "200", "200 again"]
    wait(transaction, core, 32)
    assert state_of(transaction) is State.COMPLETED
    wait(transaction, core, 32.25)
    assert state_of(transaction) is State.TERMINATED


# All four


def test_terminate_is_silent_and_final() -> None:
    transaction, core = build(INVITE_CLIENT)
    transaction.terminate()
    transaction.terminate()
    transaction.receive_response(response(200), 0.1)
    assert core.forgotten == 1
    assert core.told == []
    assert transaction.deadline == NEVER


def test_who_lost_interest_is_told_in_vain() -> None:
    transaction, core = build(INVITE_CLIENT)
    transaction.tell = ignore
    wait(transaction, core, 100)
    assert core.told == []
    assert transaction.state is State.TERMINATED


def test_waking_too_early_does_nothing() -> None:
    transaction, core = build(INVITE_CLIENT)
    transaction.wake(0.1)
    assert core.sent == [(0, "INVITE")]


def test_an_edge_without_a_message_tells_nothing() -> None:
    transaction, core = build(CLIENT)
    transaction.step(Input.PROVISIONAL, None, 0.1)
    assert core.told == []


@pytest.mark.parametrize(("status", "kind"), [(100, "1xx"), (199, "1xx"), (200, "2xx"), (299, "2xx"), (300, "300-699")])
def test_statuses_fall_into_three_kinds(status: int, kind: str) -> None:
    assert kind_of(status) == kind


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_of_a_machine_is_reachable_and_leads_to_its_end(machine: Machine) -> None:
    edges = {(state, target) for (state, _), (target, _) in machine.table.items()}
    reached = {machine.initial}
    for _ in State:
        reached |= {target for source, target in edges if source in reached}
    assert reached == {state for edge in edges for state in edge}
    assert State.TERMINATED in reached
    assert not any(source is State.TERMINATED for source, _ in edges)


INPUTS = {machine: sorted({what for _, what in machine.table}) for machine in MACHINES}


def feed(transaction: Transaction, what: Input, now: float) -> None:
    """Any input, in the form in which it comes."""
    client = transaction.machine in (INVITE_CLIENT, CLIENT)
    statuses = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 486}
    if what in statuses and client:
        transaction.receive_response(response(statuses[what], transaction.method), now)
    elif what in statuses:
        transaction.respond(statuses[what], b"response", now)
    elif what in (Input.REQUEST, Input.ACK):
        transaction.receive_request(request("ACK" if what is Input.ACK else transaction.method), now)
    else:
        transaction.step(what, None, now)


@pytest.mark.parametrize(
    ("machine", "state", "what"),
    [case for machine in MACHINES for case in itertools.product([machine], State, Input)],
    ids=lambda value: value.name,
)
def test_each_input_in_each_state_follows_the_table_and_nothing_else(
    machine: Machine, state: State, what: Input
) -> None:
    transaction, core = build(machine)
    transaction.state, transaction.interval = state, 0.5
    before = len(core.sent)
    feed(transaction, what, 1.0)
    edge = machine.table.get((state, what))
    if edge is None:
        assert transaction.state is state
        assert (len(core.sent), core.told) == (before, [])
    else:
        assert transaction.state is edge[0]


class AnyOrder(RuleBasedStateMachine):
    """Any inputs at any times: what holds for all four machines."""

    machine = INVITE_CLIENT

    def __init__(self) -> None:
        super().__init__()
        self.transaction, self.core = build(self.machine)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        inputs = [what for what in INPUTS[self.machine] if not what.name.startswith("TIMER")]
        feed(self.transaction, data.draw(st.sampled_from(inputs)), self.core.now)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        wait(self.transaction, self.core, self.core.now + seconds)

    @invariant()
    def only_one_kind_of_final_response_is_told(self) -> None:
        finals = {told // 100 for told in self.core.told if isinstance(told, int) and told >= 200}
        assert len(finals) <= 1

    @invariant()
    def at_most_one_failure_is_told(self) -> None:
        assert sum(told in ("TIMEOUT", "TRANSPORT") for told in self.core.told) <= 1

    @invariant()
    def the_terminated_has_no_timer_and_is_forgotten_once(self) -> None:
        over = self.transaction.state is State.TERMINATED
        assert self.core.forgotten == over
        assert not over or self.transaction.deadline == NEVER

    @invariant()
    def only_what_waits_for_somebody_lives_without_a_timer(self) -> None:
        assert self.transaction.deadline != NEVER or self.transaction.state in (
            State.TRYING,
            State.PROCEEDING,
            State.TERMINATED,
        )


class AnyOrderClient(AnyOrder):
    machine = CLIENT


class AnyOrderInviteServer(AnyOrder):
    machine = INVITE_SERVER


class AnyOrderServer(AnyOrder):
    machine = SERVER


for one in (AnyOrder, AnyOrderClient, AnyOrderInviteServer, AnyOrderServer):
    one.TestCase.settings = settings(max_examples=40, stateful_step_count=25)

TestAnyOrder = AnyOrder.TestCase
TestAnyOrderClient = AnyOrderClient.TestCase
TestAnyOrderInviteServer = AnyOrderInviteServer.TestCase
TestAnyOrderServer = AnyOrderServer.TestCase


@settings(max_examples=50)
@given(t1=st.floats(0.01, 2), t2=st.floats(0.01, 8))
def test_pauses_between_repetitions_never_exceed_t2_for_a_bye(t1: float, t2: float) -> None:
    core = Core(Timing(t1, t2, 5.0))
    transaction = Transaction(CLIENT, core, "key", PATHS["udp"], method="BYE", tell=core.tell)
    transaction.start(request_bytes("BYE"), 0.0)
    wait(transaction, core, 1000)
    times = [at for at, _ in core.sent]
    assert all(b - a <= max(t1, t2) + 1e-9 for a, b in itertools.pairwise(times))
