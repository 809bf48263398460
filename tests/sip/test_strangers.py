"""Unknown sources: how often each may ask, scanners, bans with their end, bounded tables."""

from __future__ import annotations

import pytest

from softswitch.sip.strangers import Ban, StrangerLimits, Strangers, network_of

REQUEST = b"REGISTER sip:x SIP/2.0\r\nUser-Agent: phone\r\n\r\n"
HOST = "192.0.2.1"


def judged(strangers: Strangers, times: int, now: float, host: str = HOST) -> list[str]:
    return [strangers.judge(REQUEST, host, now) for _ in range(times)]


def test_a_source_may_ask_as_often_as_its_bucket_holds_and_refills() -> None:
    strangers = Strangers(StrangerLimits(per_second=2, burst=3, ban_after=100))
    assert judged(strangers, 4, 0.0) == ["", "", "", "rate"]
    assert judged(strangers, 3, 1.0) == ["", "", "rate"]
    assert judged(strangers, 4, 1000.0) == ["", "", "", "rate"]
    assert judged(strangers, 1, 1000.0, "192.0.2.2") == [""]


@pytest.mark.parametrize(
    "line", [b"User-Agent: friendly-scanner", b"user-agent: SIPVicious 0.3", b'From: "sipvicious"']
)
def test_a_scanner_is_known_at_first_sight(line: bytes) -> None:
    strangers = Strangers()
    assert strangers.judge(b"OPTIONS sip:x SIP/2.0\r\n" + line + b"\r\n\r\n", HOST, 5.0) == "scanner"
    assert judged(strangers, 1, 6.0) == ["banned"]
    assert strangers.bans(6.0) == [Ban(HOST, 605.0, "scanner")]


def test_who_is_turned_away_too_often_is_banned_for_a_while() -> None:
    strangers = Strangers(StrangerLimits(ban_after=3, window_s=60, ban_s=600))
    for _ in range(3):
        strangers.turned_away(HOST, 10.0)
    assert judged(strangers, 1, 609.9) == ["banned"]
    assert strangers.bans(609.9) == [Ban(HOST, 610.0, "persistent")]
    assert strangers.bans(610.0) == []
    assert judged(strangers, 1, 610.0) == [""]


def test_who_comes_too_often_is_banned_too() -> None:
    strangers = Strangers(StrangerLimits(per_second=1, burst=1, ban_after=2))
    assert judged(strangers, 4, 0.0) == ["", "rate", "rate", "banned"]


def test_what_is_long_ago_does_not_count() -> None:
    strangers = Strangers(StrangerLimits(ban_after=2, window_s=60))
    strangers.turned_away(HOST, 0.0)
    strangers.turned_away(HOST, 61.0)
    assert strangers.bans(61.0) == []


def test_an_ipv6_source_is_its_64_bits_of_network() -> None:
    assert network_of("2001:db8:0:1::5") == network_of("2001:db8:0:1:ffff::9") == "2001:db8:0:1::/64"
    assert network_of("2001:db8:0:2::5") != network_of("2001:db8:0:1::5")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("no:address") == "no:address"
    assert network_of(HOST) == HOST


def test_only_so_many_sources_and_bans_are_remembered_the_latest_ones() -> None:
    strangers = Strangers(StrangerLimits(burst=1, remembered=3, ban_after=1))
    for number in range(100):
        strangers.judge(REQUEST, f"192.0.2.{number}", 0.0)
    assert len(strangers) == 3
    for number in range(100):
        strangers.turned_away(f"198.51.100.{number}", 0.0)
    assert len(strangers.bans(1.0)) == 3
    assert len(strangers) <= 6
    assert {ban.source for ban in strangers.bans(1.0)} == {"198.51.100.97", "198.51.100.98", "198.51.100.99"}


def test_whoever_is_shut_out_is_so_for_its_time_and_strangers_learn_of_it_too() -> None:
    strangers = Strangers(StrangerLimits(ban_s=600))
    assert not strangers.is_shut_out(HOST, 0.0)
    strangers.shut_out(HOST, "password", 0.0)
    strangers.shut_out("2001:db8::5", "operator", 0.0, 30.0)
    assert strangers.bans(10.0) == [Ban(HOST, 600.0, "password"), Ban("2001:db8::/64", 30.0, "operator")]
    assert strangers.is_shut_out(HOST, 599.9) and not strangers.is_shut_out("192.0.2.2", 1.0)
    assert strangers.is_shut_out("2001:db8::6", 29.9) and not strangers.is_shut_out("2001:db8::6", 30.0)
    assert judged(strangers, 1, 599.9) == ["banned"]
    assert judged(strangers, 1, 600.0) == [""]
    assert not strangers.is_shut_out(HOST, 600.0)


def test_a_strangers_own_ban_shuts_no_trunk_out() -> None:
    """Its address may be forged."""
    strangers = Strangers(StrangerLimits(ban_after=1))
    strangers.turned_away(HOST, 0.0)
    assert strangers.is_banned(HOST, 1.0, connected=False) and not strangers.is_shut_out(HOST, 1.0)


def test_what_comes_by_udp_bans_no_connections_and_what_comes_by_a_connection_bans_all() -> None:
    """A far end that is no trunk may have a call by a connection, while somebody else writes its address."""
    strangers = Strangers(StrangerLimits(ban_after=2, ban_s=600))
    for _ in range(9):
        strangers.turned_away(HOST, 0.0)
    strangers.judge(b"OPTIONS sip:x SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n", "192.0.2.2", 0.0)
    assert strangers.is_banned(HOST, 1.0, connected=False) and not strangers.is_banned(HOST, 1.0, connected=True)
    assert not strangers.is_banned("192.0.2.2", 1.0, connected=True)
    assert strangers.judge(REQUEST, HOST, 1.0, connected=True) == ""
    for _ in range(2):
        strangers.turned_away(HOST, 1.0, connected=True)
    strangers.turned_away("192.0.2.3", 1.0, connected=True)
    strangers.judge(b"OPTIONS sip:x SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n", "192.0.2.3", 1.0, connected=True)
    for host in (HOST, "192.0.2.3"):
        assert strangers.is_banned(host, 2.0, connected=True) and strangers.is_banned(host, 2.0, connected=False)
    assert [ban for ban in strangers.bans(2.0) if ban.source == HOST] == [Ban(HOST, 601.0, "persistent")]
    assert strangers.lift(HOST)
    assert not strangers.is_banned(HOST, 2.0, connected=True) and not strangers.is_banned(HOST, 2.0, connected=False)


@pytest.mark.parametrize("host", [HOST, "2001:db8::/64", "2001:db8::7"])
def test_a_lifted_ban_leaves_nothing_behind(host: str) -> None:
    strangers = Strangers(StrangerLimits(ban_after=2))
    for _ in range(2):
        strangers.turned_away(host, 0.0)
    strangers.shut_out(host, "operator", 0.0)
    assert strangers.lift(host)
    assert strangers.bans(1.0) == [] and len(strangers) == 0
    assert judged(strangers, 1, 1.0, host.removesuffix("/64")) == [""]
    assert not strangers.lift(host)


def test_only_so_many_are_shut_out_at_once() -> None:
    strangers = Strangers(StrangerLimits(remembered=3))
    for number in range(9):
        strangers.shut_out(f"192.0.2.{number}", "password", 0.0)
    assert [ban.source for ban in strangers.bans(1.0)] == ["192.0.2.6", "192.0.2.7", "192.0.2.8"]


def test_what_comes_in_a_trunks_name_is_bounded_and_held_against_nobody() -> None:
    strangers = Strangers(StrangerLimits(per_second=1, burst=2, ban_after=1))
    assert [strangers.bears(REQUEST, HOST, 0.0) for _ in range(4)] == [True, True, False, False]
    assert strangers.bears(REQUEST, HOST, 1.0)
    assert not strangers.bears(b"OPTIONS sip:x SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n", HOST, 100.0)
    assert strangers.bans(100.0) == []


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION ", "Proxy-Authorization"])
def test_credentials_are_looked_at_though_calls_without_any_have_taken_all_the_room(name: str) -> None:
    strangers = Strangers(StrangerLimits(per_second=1, burst=2, ban_after=1))
    proof = b"INVITE sip:x SIP/2.0\r\n" + name.encode() + b': Digest username="u"\r\n\r\n'
    assert [strangers.bears(REQUEST, HOST, 0.0) for _ in range(3)] == [True, True, False]
    assert [strangers.bears(proof, HOST, 0.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("head", [REQUEST, b'INVITE sip:x SIP/2.0\r\nAuthorization: Digest username="u"\r\n\r\n', b""])
def test_what_others_send_in_a_trunks_name_takes_nothing_from_its_connections(head: bytes) -> None:
    """By UDP anybody may write its address."""
    strangers = Strangers(StrangerLimits(per_second=0, burst=2, ban_after=1000))
    for _ in range(9):
        strangers.bears(head, HOST, 0.0)
        strangers.judge(head, HOST, 0.0)
    assert [strangers.bears(head, HOST, 0.0, connected=True) for _ in range(3)] == [True, True, False]


def test_a_connection_that_was_worth_its_room_gives_it_back_and_no_more() -> None:
    strangers = Strangers(StrangerLimits(per_second=0, burst=2))
    strangers.give_back(HOST)
    assert len(strangers) == 0
    for _ in range(5):
        assert strangers.may_connect(HOST, 0.0)
        strangers.give_back(HOST)
        strangers.give_back(HOST)
    assert [strangers.may_connect(HOST, 0.0) for _ in range(3)] == [True, True, False]


def test_a_lifted_ban_gives_credentials_their_room_back_too() -> None:
    strangers = Strangers(StrangerLimits(per_second=0, burst=1))
    proof = b'INVITE sip:x SIP/2.0\r\nAuthorization: Digest username="u"\r\n\r\n'
    assert [strangers.bears(proof, HOST, 0.0) for _ in range(2)] == [True, False]
    strangers.shut_out(HOST, "password", 0.0)
    assert strangers.lift(HOST)
    assert strangers.bears(proof, HOST, 0.0)
