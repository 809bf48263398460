"""The core over reliable transports: timers, where messages go, long requests (RFC 3261 17, 18.1.1, 18.2.2)."""

from __future__ import annotations

import itertools

import pytest

from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.client_session import ClientSession
from softswitch.sip.core import Datagram, NewCall, SipCore
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.message import SipRequest, SipResponse, parse_message
from softswitch.sip.server_session import ServerSession
from tests.support.recorder import Recorder
from tests.support.responses import make_response

TCP, TLS, UDP = Hop("tcp", "10.0.0.9", 40000), Hop("tls", "10.0.0.9", 40001), Hop("udp", "10.0.0.9", 5060)
LISTENERS = [
    Listener("10.0.0.1", 5060),
    Listener("10.0.0.1", 5060, "tcp"),
    Listener("10.0.0.1", 5061, "tls"),
]


def no_future() -> PendingResponse:
    raise AssertionError("no request of ours was expected")


class Bench:
    """A core, its clock in the hand, and what it sent."""

    def __init__(self) -> None:
        self.now = 0.0
        serial = itertools.count(1)
        self.core = SipCore(LISTENERS, lambda: f"t{next(serial)}", clock=lambda: self.now, new_response=no_future)

    def sent(self) -> list[Datagram]:
        return self.core.datagrams_to_send()

    def receive(self, message: SipRequest | SipResponse | str, source: Hop = TCP, connection: int = 7) -> None:
        self.core.receive_datagram(
            message.encode(), source, self.now, {"udp": 0, "tcp": 1, "tls": 2}[source.transport], connection
        )

    def call(self, text: str, source: Hop = TCP) -> ServerSession:
        self.receive(text, source)
        event = self.core.next_event()
        assert isinstance(event, NewCall)
        return event.session

    def invite(self, hop: Hop, **settings: object) -> tuple[ClientSession, Recorder]:
        session = self.core.invite(
            hop,
            request_uri="sip:b@10.0.0.9",
            from_="<sip:a@x>",
            to="<sip:b@x>",
            **settings,  # type: ignore[arg-type]
        )
        return session, Recorder(session)

    def tell(self) -> None:
        """Deliver what waits."""
        while (event := self.core.next_event()) is not None:
            assert not isinstance(event, NewCall)
            event.session.deliver(event.name, event.argument)

    def pass_time(self, until: float) -> list[tuple[float, str]]:
        """What is sent until then, and when."""
        out = []
        while (at := self.core.next_deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            self.core.handle_timers(self.now)
            out += [(self.now, one.data.split(b" ", 1)[0].decode()) for one in self.sent()]
        self.now = until
        return out


def request(
    method: str = "INVITE", *, via: str = "10.0.0.9", contact: str = "<sip:a@10.0.0.9>", cseq: int = 1, to: str = ""
) -> str:
    return (
        f"{method} sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP {via};branch=z9hG4bK{method}{cseq};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:x@x>{to}\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\n"
        f"Contact: {contact}\r\nContent-Length: 0\r\n\r\n"
    )


def answered(bench: Bench, session: ServerSession, text: str) -> None:
    """200 and ACK."""
    session.accept()
    bench.sent()
    bench.receive(text)


def ack(session: ServerSession) -> str:
    return request("ACK", to=f";tag={session.local_tag}")


def parsed(datagram: Datagram) -> SipRequest:
    message = parse_message(datagram.data)
    assert isinstance(message, SipRequest)
    return message


@pytest.mark.parametrize(("hop", "port"), [(TCP, 5060), (TLS, 5061)])
def test_a_response_goes_by_its_connection_else_to_the_port_of_the_via(hop: Hop, port: int) -> None:
    """18.2.2; rport says whence it came, but nobody listens there."""
    bench = Bench()
    bench.receive(request("OPTIONS"), hop)
    (answer,) = bench.sent()
    assert answer.path == Path(hop._replace(port=port), {"tcp": 1, "tls": 2}[hop.transport], 7)
    assert f";rport={hop.port};received=10.0.0.9".encode() in answer.data


def test_a_request_over_tcp_is_never_repeated_and_still_given_up() -> None:
    """17.1.1.2, 17.1.2.2: no timer A or E."""
    bench = Bench()
    _, recorder = bench.invite(TCP._replace(port=5060))
    (invite,) = bench.sent()
    assert invite.path == Path(TCP._replace(port=5060), 1)
    assert parsed(invite).via.transport == "TCP"
    assert parsed(invite).headers.get("Contact") == "<sip:10.0.0.1:5060;transport=tcp>"
    assert bench.pass_time(40) == []
    bench.tell()
    assert recorder.events == ["refused 408"]
    assert not bench.core.transactions


def test_whoever_answers_for_a_tls_trunk_must_have_the_trunks_certificate() -> None:
    """RFC 5922 7.1: the name is that of the domain we called, not that of a Contact."""
    bench = Bench()
    session, _ = bench.invite(Hop("tls", "sbc.example", 5061))
    (invite,) = bench.sent()
    assert invite.path.hop.name == "sbc.example"
    ok = make_response(parsed(invite), 200, to_tag="b", headers=[("Contact", "<sip:b@10.0.0.8:5071>")])
    bench.receive(ok, TLS)
    session.acknowledge()
    assert bench.sent()[0].path.hop == Hop("tls", "10.0.0.8", 5071, "sbc.example")


def test_timers_d_and_k_are_zero_over_tcp() -> None:
    """Table 4."""
    bench = Bench()
    bench.invite(TCP._replace(port=5060))
    invite = parsed(bench.sent()[0])
    bench.receive(make_response(invite, 486, to_tag="b"))
    (acknowledgement,) = bench.sent()
    assert acknowledgement.path.hop.transport == "tcp"
    assert not bench.core.transactions
    assert bench.core.next_deadline() is None or bench.pass_time(100) == []


def test_timers_i_and_j_are_zero_over_tcp_and_g_is_not_set() -> None:
    bench = Bench()
    bench.receive(request("OPTIONS"))
    assert not bench.core.transactions
    bench.sent()
    session = bench.call(request())
    session.reject(486)
    assert len(bench.sent()) == 1
    assert bench.pass_time(5) == []
    bench.receive(ack(session).replace("z9hG4bKACK1", "z9hG4bKINVITE1"))
    assert not bench.core.transactions


def test_a_2xx_is_repeated_even_over_tcp() -> None:
    """13.3.1.4: a hop behind the next may be UDP."""
    bench = Bench()
    session = bench.call(request())
    session.accept()
    bench.sent()
    assert [at for at, _ in bench.pass_time(4)] == [0.5, 1.5, 3.5]


@pytest.mark.parametrize(
    ("via", "contact", "path"),
    [
        ("10.0.0.9", "<sip:a@10.0.0.9>", Path(Hop("tcp", "10.0.0.9", 5060), 1, 7)),
        ("192.168.1.5:5066", "<sip:a@192.168.1.5:5066>", Path(Hop("tcp", "192.168.1.5", 5066), 1, 7)),  # NAT
        ("10.0.0.9", "<sip:a@10.0.0.9:5070>", Path(Hop("tcp", "10.0.0.9", 5070), 1)),  # somebody behind a proxy
        ("10.0.0.9", "<sip:a@phone.example>", Path(TCP, 1, 7)),
        ("10.0.0.9", "<sip:a@10.0.0.9;transport=udp>", Path(Hop("udp", "10.0.0.9", 5060), 0)),
        ("10.0.0.9", "<sips:a@10.0.0.9>", Path(Hop("tls", "10.0.0.9", 5061), 2)),
    ],
)
def test_requests_inside_a_dialog_go_by_the_connection_of_the_peer_that_opened_it(
    via: str, contact: str, path: Path
) -> None:
    bench = Bench()
    session = bench.call(request(via=via, contact=contact))
    answered(bench, session, ack(session))
    session.hang_up()
    (bye,) = bench.sent()
    assert bye.path == path
    assert parsed(bye).via.transport == path.hop.transport.upper()


def test_a_peer_that_has_reconnected_is_reached_by_its_new_connection() -> None:
    bench = Bench()
    session = bench.call(request())
    answered(bench, session, ack(session))
    again = TCP._replace(port=40009)
    bench.receive(request("OPTIONS", cseq=2, to=f";tag={session.local_tag}"), again, 8)
    bench.receive(request("OPTIONS", cseq=3, to=f";tag={session.local_tag}"), TLS, 9)  # another transport: not that
    bench.sent()
    session.hang_up()
    assert bench.sent()[0].path.connection == 8


@pytest.mark.parametrize("reconnected", [False, True])
def test_a_callers_certificate_must_name_its_trunk_where_a_connection_to_it_must_be_opened(reconnected: bool) -> None:
    """RFC 5922 7.2: its connection may fall while it rings, or in the talk; its address stands in no certificate."""
    bench = Bench()
    contact = "<sip:a@10.0.0.9:5061;transport=tls>"
    session = bench.call(request(contact=contact).replace("/TCP", "/TLS"), TLS)
    session.know_peer(tls_name="sbc.example")
    session.accept()
    (ok,) = bench.sent()
    assert ok.path.hop == Hop("tls", "10.0.0.9", 5061, "sbc.example")  # 18.2.2
    bench.receive(ack(session).replace("/TCP", "/TLS"), TLS)
    if reconnected:
        again = request("OPTIONS", cseq=2, to=f";tag={session.local_tag}").replace("/TCP", "/TLS")
        bench.receive(again, TLS._replace(port=40009), 8)
        bench.sent()
    session.hang_up()
    (bye,) = bench.sent()
    assert bye.path == Path(Hop("tls", "10.0.0.9", 5061, "sbc.example"), 2, 8 if reconnected else 7)


def test_a_name_for_certificates_means_nothing_to_other_transports() -> None:
    bench = Bench()
    session = bench.call(request())
    session.know_peer(tls_name="sbc.example")
    answered(bench, session, ack(session))
    session.hang_up()
    assert bench.sent()[0].path.hop.name == ""


def test_a_dialog_that_went_elsewhere_does_not_follow_a_connection() -> None:
    bench = Bench()
    session = bench.call(request(contact="<sip:a@10.0.0.9:5070>"))
    answered(bench, session, ack(session))
    bench.receive(request("OPTIONS", cseq=2, to=f";tag={session.local_tag}"), TCP, 8)
    bench.sent()
    session.hang_up()
    assert bench.sent()[0].path.connection == 0


def test_sips_is_refused_for_we_can_not_promise_it_for_every_hop() -> None:
    """8.2.2.1, RFC 5630 3.1.1."""
    bench = Bench()
    bench.receive(request().replace("sip:x@10.0.0.1", "sips:x@10.0.0.1"), TLS)
    (answer,) = bench.sent()
    assert answer.data.startswith(b"SIP/2.0 416 ")


# Requests of more than 1300 bytes (18.1.1)


def long_invite(bench: Bench, *, allowed: bool = True) -> tuple[Recorder, Datagram]:
    _, recorder = bench.invite(UDP, body=b"x" * 1300, large_by_tcp=allowed)
    (invite,) = bench.sent()
    return recorder, invite


def test_a_long_request_goes_by_tcp_and_so_do_its_ack_and_cancel() -> None:
    bench = Bench()
    session, _ = bench.invite(UDP, body=b"x" * 1300, large_by_tcp=True)
    (invite,) = bench.sent()
    assert invite.path == Path(Hop("tcp", *UDP[1:3]), 1)
    assert parsed(invite).via.transport == "TCP"
    assert parsed(invite).headers.get("Contact") == "<sip:10.0.0.1:5060>"
    bench.receive(make_response(parsed(invite), 180, to_tag="b"))
    session.hang_up()
    (cancel,) = bench.sent()
    assert (cancel.path, parsed(cancel).via.transport) == (invite.path, "TCP")
    bench.receive(make_response(parsed(invite), 487, to_tag="b"))
    assert [one.path for one in bench.sent()] == [invite.path]


def test_where_tcp_is_refused_udp_must_do() -> None:
    bench = Bench()
    recorder, invite = long_invite(bench)
    bench.core.transport_failed(invite, 0.1)
    (second,) = bench.sent()
    assert second.path.hop == UDP
    assert parsed(second).via.transport == "UDP"
    assert parsed(second).via.branch == parsed(invite).via.branch
    ((at, method),) = bench.pass_time(0.7)
    assert at == pytest.approx(0.6)
    assert method == "INVITE"
    bench.core.transport_failed(second, 1)
    bench.tell()
    assert recorder.events == ["refused 503"]


def test_where_tcp_has_brought_an_answer_there_is_no_way_back() -> None:
    bench = Bench()
    _, invite = long_invite(bench)
    bench.receive(make_response(parsed(invite), 180, to_tag="b"))
    bench.core.transport_failed(invite, 0.1)
    assert bench.sent() == []


def test_a_trunk_that_does_not_allow_it_gets_long_requests_by_udp() -> None:
    assert long_invite(Bench(), allowed=False)[1].path.hop == UDP
    assert long_invite(Bench())[1].path.hop != UDP
    short = Bench()
    short.invite(UDP, large_by_tcp=True)
    assert short.sent()[0].path.hop == UDP


LONG = f"<sip:b@10.0.0.9;x={'y' * 1300}>"  # a Contact, which each request of the dialog repeats as its URI


def test_a_long_ack_goes_by_tcp_and_when_the_200_comes_again_by_udp() -> None:
    """There is no transaction to tell that TCP was refused; the other side's repetition does."""
    bench = Bench()
    session, _ = bench.invite(UDP, large_by_tcp=True)
    (invite,) = bench.sent()
    ok = make_response(parsed(invite), 200, to_tag="b", headers=[("Contact", LONG)])
    bench.receive(ok, UDP, 0)
    session.acknowledge()
    bench.receive(ok, UDP, 0)
    first, second = bench.sent()
    assert (first.path.hop.transport, parsed(first).via.transport) == ("tcp", "TCP")
    assert (second.path.hop, parsed(second).via.transport) == (UDP, "UDP")
    assert parsed(first).via.branch == parsed(second).via.branch


def test_the_long_ack_of_a_fork_that_lost_goes_by_tcp() -> None:
    bench = Bench()
    session, _ = bench.invite(UDP, large_by_tcp=True)
    (invite,) = bench.sent()
    for tag in "bc":
        bench.receive(make_response(parsed(invite), 200, to_tag=tag, headers=[("Contact", LONG)]), UDP, 0)
    assert [(one.path.hop.transport, parsed(one).method) for one in bench.sent()] == [("tcp", "ACK"), ("tcp", "BYE")]
    session.hang_up()


@pytest.mark.parametrize("allowed", [True, False])
def test_a_long_request_to_a_caller_goes_by_tcp_where_its_trunk_takes_that(allowed: bool) -> None:
    bench = Bench()
    session = bench.call(request(contact=LONG).replace("/TCP", "/UDP"), UDP)
    session.know_peer(large_by_tcp=allowed)
    answered(bench, session, ack(session).replace("/TCP", "/UDP"))
    session.hang_up()
    (bye,) = bench.sent()
    assert bye.path.hop.transport == ("tcp" if allowed else "udp")
    if allowed:
        bench.core.transport_failed(bye, 0.1)
        assert [one.path.hop.transport for one in bench.sent()] == ["udp"]


# Host names inside a dialog (12.2.1.1, RFC 3263)


def test_a_dialog_goes_on_where_its_contacts_name_leads() -> None:
    bench = Bench()
    places = [Hop("udp", "10.0.0.7", 5070, "sbc.example"), Hop("udp", "10.0.0.8", 5070, "sbc.example")]
    asked: list[Hop] = []

    def addresses_of(named: Hop) -> list[Hop]:
        asked.append(named)
        return places if len(asked) > 1 else []

    bench.core.addresses_of = addresses_of
    session = bench.call(request(contact="<sip:a@sbc.example>"), UDP)
    answered(bench, session, ack(session))
    session.hang_up()
    (bye,) = bench.sent()
    assert bye.path.hop == places[0]
    assert asked == [Hop("udp", "sbc.example", 0)] * 2


def test_a_dialog_stays_where_it_came_from_if_its_contacts_name_leads_there_too() -> None:
    bench = Bench()
    bench.core.addresses_of = lambda named: [Hop("udp", "10.0.0.8", 5060), UDP]
    session = bench.call(request(contact="<sip:a@sbc.example>"), UDP)
    answered(bench, session, ack(session))
    session.hang_up()
    assert bench.sent()[0].path.hop == UDP


def test_a_transport_error_reaches_the_call() -> None:
    """8.1.3.1: 503 for the user."""
    bench = Bench()
    _, recorder = bench.invite(TCP)
    bench.core.transport_failed(bench.sent()[0], 0.1)
    bench.core.transport_failed(Datagram(b"ACK", Path(TCP), None), 0.1)
    bench.tell()
    assert recorder.events == ["refused 503"]
