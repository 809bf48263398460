"""What stands before the core: strangers, spoofers, messages too large, calls too many."""

from __future__ import annotations

import logging

import pytest

from softswitch.sip import entrance
from softswitch.sip.addresses import Hop, Path
from softswitch.sip.core import SipCore
from softswitch.sip.entrance import Entrance
from softswitch.sip.framing import HEADER_LIMIT
from softswitch.sip.message import SipResponse, parse_message
from softswitch.sip.overload import Overload, OverloadLimits
from softswitch.sip.server_session import ServerSession
from softswitch.sip.strangers import StrangerLimits, Strangers
from tests.sip.test_core import PEER, Bench, request

STRANGER = Hop("udp", "192.0.2.66", 5060)
GUEST_VIA = "SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKguest"


class Door:
    """An entrance before a core that knows one trunk, PEER."""

    def __init__(
        self, *, others: bool | None = None, limits: StrangerLimits | None = None, overload: Overload | None = None
    ) -> None:
        self.bench = Bench()
        self.core: SipCore = self.bench.core
        self.entrance = Entrance(
            lambda hop: True if hop.host == PEER.host else others, strangers=Strangers(limits), overload=overload
        )
        self.core.accept_source = lambda hop: True if hop.host == PEER.host else others
        self.now = 0.0

    def knock(self, text: str | bytes, source: Hop = STRANGER) -> bool:
        data = text if isinstance(text, bytes) else text.encode()
        return self.entrance.admits(data, Path(source), self.now, self.core)

    def answers(self, text: str | bytes, source: Hop = STRANGER) -> list[SipResponse]:
        """What is answered at the door."""
        assert not self.knock(text, source)
        return self.bench.responses()

    def call(self) -> ServerSession:
        """A call of the trunk, answered."""
        assert self.knock(request(), PEER)
        session = self.bench.call().session
        session.accept()
        self.bench.responses()
        return session


def from_stranger(method: str = "INVITE", **changes: str) -> str:
    return request(method, Via=GUEST_VIA, **changes)


# Strangers


def test_a_trunk_is_let_in_and_a_stranger_gets_silence() -> None:
    door = Door()
    assert door.knock(request(), PEER)
    assert door.answers(from_stranger()) == []
    assert door.answers("junk") == []
    assert door.entrance.counts == {"stranger": 2}
    assert not door.core.transactions


def test_a_stranger_gets_one_403_without_a_transaction_where_that_is_asked_for() -> None:
    door = Door(others=False)
    (response,) = door.answers(from_stranger())
    assert response.status == 403
    assert not door.core.transactions
    assert door.bench.sent[0].path.hop == STRANGER
    assert door.answers(from_stranger("ACK")) == []


def test_a_stranger_is_never_answered_with_more_than_it_sent() -> None:
    """A source that is spoofed must not be hit harder by us than by whoever spoofs it."""
    door = Door(others=False)
    short = "REGISTER x SIP/2.0\r\nVia: SIP/2.0/UDP h;rport\r\nCSeq: 1 REGISTER\r\nTo: x:y\r\n\r\n"
    assert door.answers(short) == []
    text = from_stranger()
    door.answers(text)
    assert 0 < len(door.bench.sent[0].data) <= len(text)


def test_of_a_strangers_message_nothing_but_a_head_of_lawful_size_is_looked_at() -> None:
    """64 KB that no expression likes took 18 ms, from any address that can be forged: 55 a second were all we had."""
    door = Door(others=False)
    session = door.call()
    inside = f"\r\nTo: <sip:100@10.0.0.1>;tag={session.local_tag}\r\nUser-Agent: friendly-scanner\r\n"
    (answer,) = door.answers(from_stranger("OPTIONS") + inside)
    assert answer.status == 403
    assert door.entrance.counts == {"stranger": 1}
    for data in (from_stranger("OPTIONS", X="x" * HEADER_LIMIT), "OPTIONS sip:h SIP/2.0" + "\r\nf:" * HEADER_LIMIT):
        assert door.answers(data + inside) == []
    assert door.entrance.counts == {"stranger": 1, "too_large": 2}
    assert door.entrance.strangers is not None
    assert not door.entrance.strangers.is_banned(STRANGER.host, 0.0, connected=False)


def test_a_stranger_that_goes_on_and_on_is_banned_and_then_may_ask_again() -> None:
    door = Door(others=False, limits=StrangerLimits(per_second=1, burst=2, ban_after=4, ban_s=600))
    assert [len(door.answers(from_stranger())) for _ in range(6)] == [1, 1, 0, 0, 0, 0]
    assert door.entrance.counts == {"stranger": 2, "rate": 2, "banned": 2}
    door.now = 601
    assert len(door.answers(from_stranger())) == 1


def test_a_scanner_gets_silence_even_where_strangers_are_answered() -> None:
    door = Door(others=False)
    assert door.answers(from_stranger("OPTIONS", User_Agent="friendly-scanner")) == []
    assert door.answers(from_stranger("OPTIONS")) == []
    assert door.entrance.counts == {"scanner": 1, "banned": 1}


def test_a_trunk_is_never_banned_whatever_it_sends() -> None:
    door = Door()
    for _ in range(1000):
        assert door.knock(request("OPTIONS", User_Agent="friendly-scanner"), PEER)
    assert not door.entrance.counts
    assert len(door.entrance.strangers or "") == 0


def test_requests_inside_a_dialog_from_elsewhere_are_dropped_even_if_all_tags_are_right() -> None:
    door = Door(others=False)
    session = door.call()
    inside = {"To": f"<sip:100@10.0.0.1>;tag={session.local_tag}", "CSeq": "2 BYE"}
    assert door.answers(request("BYE", **inside)) == []
    assert door.answers(request("ACK", To=inside["To"])) == []
    assert door.entrance.counts["spoofed"] == 2
    assert door.knock(request("BYE", **inside), PEER)


def test_a_far_end_that_moved_may_speak_from_where_it_wants_our_requests() -> None:
    """RFC 3261 12.2: a carrier's Contact may name another of its machines than the one that brought the call."""
    door = Door()
    session = door.bench.call(request(Contact="<sip:a@192.0.2.66>")).session
    session.accept()
    bye = request("BYE", Via=GUEST_VIA, To=f"<sip:100@10.0.0.1>;tag={session.local_tag}")
    assert door.knock(bye, STRANGER)
    assert not door.knock(bye, STRANGER._replace(host="192.0.2.67"))


def test_responses_from_elsewhere_than_the_request_went_are_dropped() -> None:
    """18.1.2; a forged 200 would end in somebody else's media."""
    door = Door(others=False)
    session = door.core.invite(PEER, request_uri="sip:1@10.0.0.9", from_="<sip:a@h>", to="<sip:1@h>")
    assert session.local_tag
    (invite,) = door.core.datagrams_to_send()
    via = str(parse_message(invite.data).headers.get("Via"))
    forged = f"SIP/2.0 200 OK\r\nVia: {via}\r\nTo: <sip:1@h>;tag=x\r\nCSeq: 1 INVITE\r\n\r\n"
    assert door.answers(forged) == []
    assert door.answers(forged.replace(via, "SIP/2.0/UDP h;branch=z9hG4bKelse")) == []
    assert door.entrance.counts == {"spoofed": 2}
    assert door.knock(forged, PEER)


def test_who_is_no_trunk_any_more_may_still_end_its_call_and_answer_our_requests() -> None:
    """The dialplan was read again meanwhile."""
    door = Door()
    session = door.call()
    door.core.invite(STRANGER, request_uri="sip:1@192.0.2.66", from_="<sip:a@h>", to="<sip:1@h>")
    (invite,) = door.core.datagrams_to_send()
    via = str(parse_message(invite.data).headers.get("Via"))
    later = Entrance(lambda hop: None, strangers=Strangers())
    bye = request("BYE", Via="SIP/2.0/UDP h;branch=z9hG4bK2", To=f"<sip:1@h>;tag={session.local_tag}")
    assert later.admits(bye.encode(), Path(PEER), 0.0, door.core)
    answer = f"SIP/2.0 200 OK\r\nVia: {via}\r\nCSeq: 1 INVITE\r\n\r\n".encode()
    assert later.admits(answer, Path(STRANGER), 0.0, door.core)


def test_without_bounds_on_strangers_the_core_decides() -> None:
    assert Entrance(lambda hop: None).admits(request().encode(), Path(STRANGER), 0.0, Bench().core)


# Messages too large


def test_what_is_too_large_is_refused_unread() -> None:
    door = Door()
    (response,) = door.answers(request(X="y" * HEADER_LIMIT), PEER)
    assert response.status == 513
    assert door.entrance.counts == {"too_large": 1}
    assert door.answers(from_stranger(X="y" * HEADER_LIMIT)) == []


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"])
def test_keep_alives_are_nothing(data: bytes) -> None:
    door = Door()
    assert door.answers(data, PEER) == []
    assert not door.entrance.counts


def test_more_transactions_than_memory_is_for_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "MOST_TRANSACTIONS", 1)
    door = Door()
    session = door.call()
    inside = {"To": f"<sip:100@10.0.0.1>;tag={session.local_tag}", "Via": "SIP/2.0/UDP h;branch=z9hG4bKin"}
    (response,) = door.answers(request("INFO", **inside), PEER)
    assert response.status == 503
    assert door.entrance.counts == {"memory": 1}
    assert door.knock(request(), PEER)
    assert door.knock(request("CANCEL"), PEER)
    assert door.knock("SIP/2.0 200 OK\r\n\r\n", PEER)


# Overload


def late(lag_s: float = 1.0) -> Overload:
    overload = Overload(OverloadLimits(lag_s=0.05, calls=2, retry_after_s=7), lambda: 0)
    stay_late(overload, lag_s)
    return overload


def stay_late(overload: Overload, lag_s: float = 1.0) -> None:
    overload.note_lag(lag_s, 0.0)
    assert not overload.reason(0, 0, 0.0), "one of the few that come in all the same"


def test_a_late_loop_refuses_new_calls_with_503_and_says_when_to_come_again() -> None:
    door = Door(overload=late())
    (response,) = door.answers(request(), PEER)
    assert (response.status, response.headers.get("Retry-After")) == (503, "7")
    assert door.entrance.counts == {"lag": 1}
    assert not door.core.transactions
    assert door.core.counts["out", "INVITE", 503] == 1
    assert not door.knock(request("ACK", To=f"<sip:100@10.0.0.1>;tag={response.to.tag}"), PEER)
    assert door.bench.responses() == []


def test_calls_that_are_there_are_served_however_late_the_loop_is() -> None:
    overload = late(0.0)
    door = Door(overload=overload)
    session = door.call()
    stay_late(overload)
    inside = f"<sip:100@10.0.0.1>;tag={session.local_tag}"
    for method in ("ACK", "INVITE", "UPDATE", "BYE"):
        assert door.knock(request(method, To=inside, Via="SIP/2.0/UDP h;branch=z9hG4bKin"), PEER)
    assert door.knock(request("CANCEL"), PEER)
    assert door.knock(request("OPTIONS"), PEER)
    assert door.knock("SIP/2.0 200 OK\r\n\r\n", PEER)
    assert door.knock(request(), PEER), "the repetition of an INVITE that was taken"
    assert not door.knock(request(Via="SIP/2.0/UDP h;branch=z9hG4bKother"), PEER)


@pytest.mark.parametrize("via", ["SIP/2.0/UDP h;branch=1", "SIP/2.0/UDP h", "SIP/2.0/UDP h;branch=z9hG4bK"])
def test_a_repetition_as_rfc_2543_has_it_is_served_and_a_new_call_is_not(via: str) -> None:
    """17.2.3."""
    overload = late(0.0)
    door = Door(overload=overload)
    door.bench.call(request(Via=via))
    stay_late(overload)
    assert door.knock(request(Via=via), PEER)
    assert door.knock(request("CANCEL", Via=via), PEER)
    (response,) = door.answers(request(Via=via, CSeq="7 INVITE"), PEER)
    assert response.status == 503
    assert door.knock(request(Via=via, From=""), PEER), "the core says what is wrong"
    assert door.knock(request(Via=via).partition("\r\n\r\n")[0], PEER)


@pytest.mark.parametrize(
    "changes",
    [
        {"To": '";tag={tag}" <sip:b@h>'},
        {"To": "<sip:b@h;tag={tag}>"},
        {"To": '<sip:b@h>;x=";tag={tag}"'},
        {"Via": "SIP/2.0/UDP h;branch=z9hG4bKtaken\r\n x"},
    ],
)
def test_a_new_call_is_one_however_it_is_written(changes: dict[str, str]) -> None:
    overload = late(0.0)
    door = Door(overload=overload)
    session = door.bench.call(request(Via="SIP/2.0/UDP h;branch=z9hG4bKtaken")).session
    stay_late(overload)
    changes = {name: value.replace("{tag}", session.local_tag) for name, value in changes.items()}
    assert not door.knock(request(**changes | {"Call-ID": "another"}), PEER)
    assert door.entrance.counts == {"lag": 1}


def test_a_punctual_loop_takes_calls() -> None:
    assert Door(overload=late(0.0)).knock(request(), PEER)


# Connections


def test_strangers_may_use_half_of_the_room_for_connections_and_too_many_earn_a_ban() -> None:
    door = Door(limits=StrangerLimits(per_second=1.0, burst=2, ban_after=3))
    caller, trunk = STRANGER._replace(transport="tcp"), PEER._replace(transport="tcp")
    assert [door.entrance.room_for(caller, 0.0) for _ in range(5)] == [0.5, 0.5, 0.0, 0.0, 0.0]
    assert door.entrance.strangers is not None
    assert door.entrance.strangers.is_banned(STRANGER.host, 0.0, connected=True)
    assert [door.entrance.room_for(trunk, 0.0) for _ in range(50)] == [1.0] * 50


def test_who_owes_a_password_may_connect_no_oftener_than_a_stranger_and_is_not_banned_for_it() -> None:
    door = Door(limits=StrangerLimits(per_second=1.0, burst=2, ban_after=3))
    proved: set[str] = set()
    door.entrance.unproved = lambda hop, now: hop.host not in proved
    assert [door.entrance.room_for(PEER, 0.0) for _ in range(9)] == [0.5, 0.5] + [0.0] * 7
    proved.add(PEER.host)
    assert door.entrance.room_for(PEER, 0.0) == 1.0


@pytest.mark.parametrize("trunk", [False, True])
def test_who_opens_a_connection_for_each_request_of_a_call_may_go_on(trunk: bool) -> None:
    """The SBC that the Contact names is often no trunk's, or never sends an INVITE to prove itself by."""
    door = Door(limits=StrangerLimits(per_second=0.0, burst=2, ban_after=3))
    session = door.bench.call(request(Contact="<sip:a@192.0.2.66;transport=tcp>")).session
    session.accept()
    if trunk:
        door.entrance._accept_source = lambda hop: True
        door.entrance.unproved = lambda hop, now: True
    second, to = STRANGER._replace(transport="tcp"), f"<sip:100@10.0.0.1>;tag={session.local_tag}"
    for number in range(9):
        assert door.entrance.room_for(second, 0.0) == 0.5
        via = f"SIP/2.0/TCP 192.0.2.66:5060;branch=z9hG4bKin{number}"
        assert door.knock(request("INFO", To=to, Via=via), second)
    assert [door.entrance.room_for(second, 0.0) for _ in range(3)] == [0.5, 0.5, 0.0]


def test_without_bounds_on_strangers_anybody_may_connect() -> None:
    assert Entrance(lambda hop: None).room_for(STRANGER, 0.0) == 1.0


# The log


def test_a_flood_is_a_line_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    door = Door()
    for second in range(12):
        door.now = float(second)
        for _ in range(100):
            door.knock("junk")
    banned = [record.getMessage() for record in caplog.records if "banned" in record.getMessage()]
    assert banned[0] == "turned away 192.0.2.66 (banned): 1 since the last line"
    assert len(banned) == 2
    assert len(caplog.records) <= 6


# Whoever is shut out


def test_a_trunk_that_is_shut_out_begins_nothing_new_and_ends_what_it_has() -> None:
    door = Door()
    session = door.call()
    assert door.entrance.strangers is not None
    door.entrance.strangers.shut_out(PEER.host, "password", door.now)
    assert not door.knock(request(Call_ID="new", Via="SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKnew"), PEER)
    assert door.entrance.counts == {"banned": 1}
    bye = request("BYE", To=f"<sip:100@10.0.0.1>;tag={session.local_tag}", Via="SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKbye")
    assert door.knock(bye, PEER)
    door.now = 10_000.0
    assert door.knock(request(Call_ID="later", Via="SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKlater"), PEER)


def test_what_belongs_to_a_call_comes_from_any_address_of_a_trunk_that_proves_its_calls() -> None:
    """Behind it may stand several SBCs; the one that sends the BYEs may never send an INVITE to prove itself by."""
    door = Door(limits=StrangerLimits(per_second=1, burst=1, ban_after=1))
    session = door.call()
    door.core.accept_source = door.entrance._accept_source = lambda hop: True
    door.entrance.unproved = lambda hop, now: True
    second = Hop("udp", "10.0.0.77", 5060)
    to = f"<sip:100@10.0.0.1>;tag={session.local_tag}"
    for number in range(20):
        via = f"SIP/2.0/UDP 10.0.0.77:5060;branch=z9hG4bKin{number}"
        assert door.knock(request("INFO", To=to, Via=via), second)
    door.core.invite(PEER, request_uri="sip:b@10.0.0.9", from_="<sip:x@10.0.0.1>", to="<sip:b@10.0.0.9>")
    (invite,) = door.core.datagrams_to_send()
    ours = parse_message(invite.data).headers.get("Via")
    assert door.knock(f"SIP/2.0 180 OK\r\nVia: {ours}\r\nCSeq: 1 INVITE\r\n\r\n", second)
    for guess, taken in enumerate([True, False, False]):
        via = f"SIP/2.0/UDP 10.0.0.77:5060;branch=z9hG4bKguess{guess}"
        assert door.knock(request("BYE", To="<sip:100@10.0.0.1>;tag=guess", Via=via), second) is taken
    assert door.entrance.strangers is not None
    door.entrance.strangers.shut_out(second.host, "operator", door.now)
    assert not door.knock(request("INFO", To=to, Via="SIP/2.0/UDP 10.0.0.77:5060;branch=z9hG4bKbanned"), second)


def test_who_owes_a_password_is_looked_at_no_oftener_than_a_stranger_but_in_its_calls() -> None:
    door = Door(limits=StrangerLimits(per_second=1, burst=2, ban_after=1))
    session = door.call()
    door.entrance.unproved = lambda hop, now: now < 5.0

    def new(number: int) -> str:
        return request(Call_ID=f"{number}", Via=f"SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bKnew{number}")

    assert [door.knock(new(number), PEER) for number in range(4)] == [True, True, False, False]
    assert door.entrance.counts == {"unproved": 2}
    assert door.bench.responses() == []
    bye = request("BYE", To=f"<sip:100@10.0.0.1>;tag={session.local_tag}", Via="SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKbye")
    assert door.knock(bye, PEER)
    by_tcp = Path(PEER._replace(transport="tcp"), 0, 7)
    assert door.entrance.admits(new(2).encode(), by_tcp, door.now, door.core)  # by UDP it may have been anybody
    assert door.entrance.room_for(by_tcp.hop, door.now) == 0.5
    assert not door.entrance.admits(new(3).encode(), by_tcp, door.now, door.core)
    (refused,) = door.bench.responses()
    assert (refused.status, refused.headers.get("Retry-After")) == (503, "1")
    door.now = 5.0
    assert all(door.knock(new(number), PEER) for number in range(4, 9))
    assert door.entrance.strangers is not None
    assert door.entrance.strangers.bans(door.now) == []
