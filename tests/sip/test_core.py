"""The sans-IO endpoint: matching (17.1.3, 17.2.3), answers of its own (8.2), where responses go (18.2.2, RFC 3581)."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.sip.addresses import Hop, Path
from softswitch.sip.core import Datagram, NewCall, SessionEvent, SipCore
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.message import SipRequest, SipResponse, parse_message
from softswitch.sip.session import Session

PEER = Hop("udp", "10.0.0.9", 5060)


def no_future() -> PendingResponse:
    raise AssertionError("no request of ours was expected")


class Bench:
    """A core, its clock in the hand, and what it sent."""

    def __init__(self, **settings: object) -> None:
        self.now = 0.0
        serial = itertools.count(1)
        self.core = SipCore(
            [("10.0.0.1", 5060), ("2001:db8::1", 5062)],
            lambda: f"t{next(serial)}",
            clock=lambda: self.now,
            new_response=no_future,
            **settings,  # type: ignore[arg-type]
        )
        self.sent: list[Datagram] = []

    def receive(self, text: str | bytes, source: Hop | tuple[str, int] = PEER, listener: int = 0) -> list[SipResponse]:
        """What is answered to a datagram."""
        data = text if isinstance(text, bytes) else text.encode()
        self.core.receive_datagram(data, source, self.now, listener)
        return self.responses()

    def responses(self) -> list[SipResponse]:
        out = self.core.datagrams_to_send()
        self.sent += out
        return [message for one in out if isinstance(message := parse_message(one.data), SipResponse)]

    def call(self, text: str | None = None) -> NewCall:
        self.receive(text or request())
        event = self.core.next_event()
        assert isinstance(event, NewCall)
        return event

    def pass_time(self, until: float) -> None:
        while (at := self.core.next_deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            self.core.handle_timers(self.now)
        self.now = until


def request(method: str = "INVITE", **changes: str) -> str:
    """A request of the peer. `changes` replace header values; underscores stand for hyphens; "" drops the header."""
    headers = {
        "Via": "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1;rport",
        "Max-Forwards": "70",
        "From": "<sip:a@10.0.0.9>;tag=a",
        "To": "<sip:100@10.0.0.1>",
        "Call-ID": "call",
        "CSeq": f"1 {method}",
        "Contact": "<sip:a@10.0.0.9>",
    }
    uri = changes.pop("uri", "sip:100@10.0.0.1")
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([f"{method} {uri} SIP/2.0", *lines, "", ""])


def statuses(responses: list[SipResponse]) -> list[int]:
    return [response.status for response in responses]


def test_whatever_methods_and_statuses_come_what_is_counted_stays_bounded() -> None:
    bench = Bench()
    for number in range(50):
        bench.receive(request(f"X{number}", Via=f"SIP/2.0/UDP h;branch=z9hG4bK{number}"))
        bench.receive(f"SIP/2.0 {600 + number} x\r\n" + request("BYE").partition("\r\n")[2])
    assert set(bench.core.counts) <= {
        ("in", "other", 0),
        ("out", "other", 501),
        *(("in", "BYE", status) for status in (600, 603, 604, 606, 607)),
    }


# Answers of its own


def test_options_is_answered_with_what_we_can_do() -> None:
    """11.2."""
    bench = Bench(supported=["timer"], product="switch/1")
    (answer,) = bench.receive(request("OPTIONS"))
    assert answer.status == 200
    assert "INVITE" in answer.headers.all("Allow")
    assert answer.headers.all("Supported") == ["timer"]
    assert answer.headers.all("Accept") == ["application/sdp"]
    assert answer.headers.get("Server") == "switch/1"
    assert answer.to.tag
    assert bench.core.next_event() is None


def test_options_gets_the_status_of_the_call_layer() -> None:
    bench = Bench()
    bench.core.on_options = lambda request, source: 503
    assert statuses(bench.receive(request("OPTIONS"))) == [503]


def test_answers_without_a_transaction_bear_the_same_tag_for_the_same_request() -> None:
    """8.2.7."""
    bench = Bench()
    first, again, other = (
        bench.receive(request("OPTIONS", Via=f"SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{branch}"))[0] for branch in "112"
    )
    assert first.to.tag == again.to.tag != other.to.tag
    assert not bench.core.transactions


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (request("REGISTER"), 405),
        (request("BYE"), 405),
        (request("FROBNICATE"), 501),
        (request("BYE", To="<sip:100@10.0.0.1>;tag=unknown"), 481),
        (request("CANCEL"), 481),
        (request("INVITE", Max_Forwards="0"), 483),
        (request("INVITE", uri="mailto:a@b"), 416),
        (request("INVITE", Contact="<sip:"), 400),
        (request("INVITE", CSeq="1 BYE"), 400),
        (request("INVITE", Call_ID="two words"), 400),
        (request("INVITE", From="nonsense"), 400),
        (request("INVITE").replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), 505),
        (request("INVITE", Content_Length="10"), 400),
    ],
)
def test_what_can_not_be_taken_is_refused_and_forgotten(text: str, status: int) -> None:
    bench = Bench()
    (answer,) = bench.receive(text)
    assert answer.status == status
    assert not bench.core.transactions
    assert not bench.core.sessions
    assert not bench.core.events


def test_405_names_the_methods_allowed() -> None:
    (answer,) = Bench().receive(request("REGISTER"))
    assert "INVITE" in answer.headers.all("Allow")


def test_400_names_what_is_wrong_on_one_line() -> None:
    (answer,) = Bench().receive(request("INVITE", CSeq="one INVITE"))
    assert answer.status == 400
    assert answer.reason.startswith("CSeq")


def test_an_unsupported_extension_is_named() -> None:
    """8.2.2.3."""
    bench = Bench(supported=["timer"])
    (answer,) = bench.receive(request("INVITE", Require="timer, 100rel"))
    assert (answer.status, answer.headers.all("Unsupported")) == (420, ["100rel"])
    assert bench.receive(request("INVITE", Require="timer")) == []
    assert bench.core.events


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00\xff" * 50,
        b"INVITE\r\n\r\n",
        request("INVITE", Via="").encode(),
        request("INVITE", Via="nonsense").encode(),
        request("INVITE", CSeq="").encode(),
        request("ACK").encode(),
        request("ACK", To="<sip:100@10.0.0.1>;tag=unknown").encode(),
        request("ACK", CSeq="x").encode(),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
    ],
)
def test_what_can_not_be_answered_is_dropped(data: bytes) -> None:
    bench = Bench()
    assert bench.receive(data) == []
    assert not bench.core.events


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    bench = Bench()
    bench.receive(data)
    bench.receive(request().encode()[: len(data)] + data)


@given(st.data())
def test_no_damaged_message_raises(data: st.DataObject) -> None:
    bench = Bench()
    text = bytearray(request().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    bench.receive(bytes(text))


def test_unknown_sources_get_403_or_silence() -> None:
    bench = Bench()
    invite, stray = request(), request("BYE", To="<sip:100@10.0.0.1>;tag=unknown")
    bench.core.accept_source = lambda source: False
    assert statuses(bench.receive(invite)) == [403]
    assert statuses(bench.receive(request("CANCEL"))) == [481]
    bench.core.accept_source = lambda source: None
    for text in (invite, stray, request("CANCEL"), request("INVITE", From="nonsense")):
        assert bench.receive(text) == []
    bench.core.accept_source = lambda source: source.host == "10.0.0.9"
    assert bench.receive(invite) == []
    assert bench.core.events


def test_a_draining_endpoint_takes_no_new_call() -> None:
    bench = Bench()
    bench.core.draining = True
    (answer,) = bench.receive(request())
    assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")


def test_a_method_nobody_knows_inside_a_dialog_is_refused() -> None:
    bench = Bench()
    session = bench.call().session
    session.accept()
    to = f"<sip:100@10.0.0.1>;tag={session.local_tag}"
    bench.responses()
    assert statuses(
        bench.receive(request("PUBLISH", To=to, CSeq="2 PUBLISH", Via="SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK2"))
    ) == [405]
    text = request("INFO", To=to, CSeq="3 INFO", Via="SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK3", Require="x")
    assert statuses(bench.receive(text)) == [420]


# Where responses go


@pytest.mark.parametrize(
    ("via", "back", "received"),
    [
        ("SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1", ("10.0.0.9", 5060), None),
        ("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1", ("10.0.0.9", 5060), None),
        ("SIP/2.0/UDP phone.example:5070;branch=z9hG4bK1", ("10.0.0.9", 5070), "10.0.0.9"),
        ("SIP/2.0/UDP 192.168.1.2:5070;rport;branch=z9hG4bK1", ("10.0.0.9", 1024), "10.0.0.9"),
    ],
)
def test_responses_go_where_the_via_and_the_source_say(via: str, back: tuple[str, int], received: str | None) -> None:
    """18.2.1, 18.2.2; with rport to the very source (RFC 3581 4)."""
    bench = Bench()
    (answer,) = bench.receive(request("OPTIONS", Via=via), Hop("udp", "10.0.0.9", 1024), 1)
    assert bench.sent[0].path == Path(Hop("udp", *back), 1)
    assert answer.via.received == received
    assert answer.via.rport == (1024 if "rport" in via else None)


def test_responses_bear_all_vias_and_a_source_may_be_a_bare_address() -> None:
    via = "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK0"
    (answer,) = Bench().receive(request("OPTIONS", Via=via), ("10.0.0.9", 5060))
    assert [value.split()[1].split(";")[0] for value in answer.headers.all("Via")] == ["10.0.0.9", "10.0.0.8"]


def test_each_listener_has_its_own_via_and_contact() -> None:
    bench = Bench()
    bench.core.invite(PEER, request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>", listener=1)
    (invite,) = bench.core.datagrams_to_send()
    message = parse_message(invite.data)
    assert (message.via.host, message.via.port) == ("2001:db8::1", 5062)
    assert message.headers.get("Contact") == "<sip:[2001:db8::1]:5062>"
    assert message.call_id.endswith("@[2001:db8::1]")
    assert "rport" in message.via.params


def test_record_route_comes_back_in_what_makes_the_dialog() -> None:
    """12.1.1."""
    bench = Bench()
    session = bench.call(request(Record_Route="<sip:10.0.0.3;lr>")).session
    session.trying()
    session.progress(180)
    session.accept()
    assert [answer.headers.all("Record-Route") for answer in bench.responses()] == [
        [],
        ["<sip:10.0.0.3;lr>"],
        ["<sip:10.0.0.3;lr>"],
    ]


# Matching


def test_a_response_matches_by_branch_and_method() -> None:
    """17.1.3."""
    bench = Bench()
    bench.core.invite(PEER, request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>")
    (sent,) = bench.core.datagrams_to_send()
    head = sent.data.decode().split("\r\n")
    answer = "\r\n".join(["SIP/2.0 180 Ringing", *head[1:-2], "", ""]).replace("To: <sip:1@x>", "To: <sip:1@x>;tag=b")
    bench.receive(answer.replace("branch=z9hG4bK", "branch=z9hG4bKno"))
    bench.receive(answer.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"))
    assert bench.core.next_event() is None
    bench.receive(answer)
    event = bench.core.next_event()
    assert isinstance(event, SessionEvent)
    assert event.name == "on_provisional"
    assert bench.core.counts["in", "INVITE", 180] == 2


@pytest.mark.parametrize("below", ["Via: SIP/2.0/UDP 10.0.0.7;branch=z9hG4bK7", "v: SIP/2.0/TCP a, SIP/2.0/UDP b"])
def test_a_response_with_another_via_below_ours_is_dropped(below: str) -> None:
    """8.1.3.3: we forward nothing, so it was made for somebody else, or damaged."""
    bench = Bench()
    bench.core.invite(PEER, request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>")
    (sent,) = bench.core.datagrams_to_send()
    lines = sent.data.decode().split("\r\n")[1:-2]
    assert bench.receive("\r\n".join(["SIP/2.0 180 Ringing", lines[0], below, *lines[1:], "", ""])) == []
    assert bench.receive("\r\n".join(["SIP/2.0 180 Ringing", f"{lines[0]},{below[5:]}", *lines[1:], "", ""])) == []
    assert bench.core.next_event() is None
    bench.receive("\r\n".join(["SIP/2.0 180 Ringing", *lines, "", ""]))
    assert bench.core.next_event() is not None


def test_a_response_can_not_reach_a_server_transaction() -> None:
    bench = Bench()
    bench.call()
    bench.core.transactions["z9hG4bK1", "INVITE"] = next(iter(bench.core.transactions.values()))
    answer = re.sub("INVITE sip.*SIP/2.0", "SIP/2.0 200 OK", request())
    assert bench.receive(answer) == []
    assert not bench.core.events


def test_requests_of_two_hosts_with_the_same_branch_are_two() -> None:
    """17.2.3: the sent-by counts."""
    bench = Bench()
    bench.call()
    bench.call(request(Via="SIP/2.0/UDP 10.0.0.8:5060;branch=z9hG4bK1;rport", Call_ID="other"))
    assert len(bench.core.sessions) == 2


def test_an_rfc_2543_peer_without_branches_is_matched_by_its_headers() -> None:
    """17.2.3, second half."""
    bench = Bench()
    via = "SIP/2.0/UDP 10.0.0.9:5060"
    session = bench.call(request(Via=via)).session
    assert bench.receive(request(Via=via)) == []
    assert not bench.core.events
    session.reject(486)
    (refused,) = bench.responses()
    bench.receive(request("ACK", Via=via, To=str(refused.headers.get("To")), CSeq="1 ACK"))
    bench.pass_time(0.6)
    assert bench.responses() == []
    bench.call(request(Via=via, CSeq="2 INVITE"))


def test_cancel_is_answered_once_and_its_repetitions_get_the_same() -> None:
    bench = Bench()
    bench.call()
    cancel = request("CANCEL")
    assert statuses(bench.receive(cancel)) == [200, 487]
    assert statuses(bench.receive(cancel)) == [200]
    assert bench.core.retransmissions["in", "CANCEL", 0] == 1


def test_transactions_sessions_and_timers_die_out() -> None:
    bench = Bench()
    session = bench.call().session
    session.reject(486)
    bench.receive(request("CANCEL"))
    bench.pass_time(100)
    assert not bench.core.transactions
    assert not bench.core.sessions
    assert bench.core.next_deadline() is None
    assert not bench.core._merged
    assert not bench.core._calls


def test_messages_and_repetitions_are_counted() -> None:
    bench = Bench()
    session = bench.call().session
    session.progress(180)
    bench.receive(request())
    assert bench.core.counts["in", "INVITE", 0] == 2
    assert bench.core.counts["out", "INVITE", 180] == 2
    assert bench.core.retransmissions == {("in", "INVITE", 0): 1, ("out", "INVITE", 180): 1}


def test_a_message_that_could_not_be_sent_is_told_to_its_transaction_only() -> None:
    bench = Bench()
    bench.receive(request("OPTIONS"))
    bench.core.transport_failed(bench.sent[0], 0.0)
    bench.core.invite(PEER, request_uri="sip:1@10.0.0.9", from_="<sip:a@x>", to="<sip:1@x>")
    (invite,) = bench.core.datagrams_to_send()
    bench.core.transport_failed(invite, 0.0)
    event = bench.core.next_event()
    assert isinstance(event, SessionEvent)
    assert event.name == "on_refused"


def test_a_session_of_ours_is_found_by_our_tag() -> None:
    bench = Bench()
    session = bench.call().session
    assert bench.core.sessions == {session.local_tag: session}
    assert isinstance(session, Session)
    invite = session.invite
    assert isinstance(invite, SipRequest)
