"""From a domain to addresses: what is asked (RFC 3263 4), in which order (RFC 2782), what is remembered and avoided."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from softswitch.sip.addresses import Hop
from softswitch.sip.locating import (
    Answer,
    AsGiven,
    Memory,
    Naptr,
    PenaltyBox,
    Question,
    Records,
    Srv,
    answer_of,
    in_order,
    look_up,
    read_hosts,
)

Zone = Mapping[tuple[str, str], Records]
ASKED = Question("sip.example.com", "A")

CARRIER: Zone = {
    ("example.com", "NAPTR"): (
        Naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(10, 10, "SIP+D2S", "_sip._sctp.example.com"),
        Naptr(90, 10, "sip+d2u", "_sip._udp.example.com"),
    ),
    ("_sips._tcp.example.com", "SRV"): (Srv(0, 1, 5071, "one.example.com"),),
    ("_sip._udp.example.com", "SRV"): (Srv(1, 0, 5070, "two.example.com"), Srv(0, 0, 5060, "one.example.com")),
    ("one.example.com", "A"): ("192.0.2.1", "192.0.2.2"),
    ("one.example.com", "AAAA"): ("2001:db8::1",),
    ("two.example.com", "A"): ("192.0.2.3",),
    ("example.com", "A"): ("192.0.2.9",),
}


def only(*transports: str, ipv6: bool = False) -> Callable[[Hop], bool]:
    return lambda hop: hop.transport in transports and (ipv6 or ":" not in hop.host)


def find(
    wanted: Hop, zone: Zone = CARRIER, serves: Callable[[Hop], bool] | None = None
) -> tuple[list[str], list[str], set[str]]:
    """Hops as "transport host port", questions as "name kind", and the names that certificates must bear."""
    asked: list[str] = []
    look = look_up(wanted, serves or only("udp", "tcp", "tls"), lambda: 0.0)
    records: Records | None = None
    while True:
        try:
            question = next(look) if records is None else look.send(records)
        except StopIteration as done:
            hops = done.value
            return [f"{h.transport} {h.host} {h.port}" for h in hops], asked, {h.name for h in hops}
        asked.append(f"{question.name} {question.kind}")
        records = zone.get((question.name, question.kind), ())


def test_naptr_chooses_the_transport_by_order_and_preference_among_those_of_ours() -> None:
    """RFC 3263 4.1; SCTP is not ours."""
    hops, asked, names = find(Hop("auto", "example.com", 0))
    assert hops == ["tls 192.0.2.1 5071", "tls 192.0.2.2 5071"]
    assert asked == ["example.com NAPTR", "_sips._tcp.example.com SRV", "one.example.com A"]
    assert names == {"example.com"}  # RFC 5922: the domain that was asked for, not its server
    assert find(Hop("auto", "example.com", 0), serves=only("udp", "tcp"))[0][0] == "udp 192.0.2.1 5060"


@pytest.mark.parametrize("port", [0, 5060])
def test_what_is_too_long_for_a_name_is_not_asked_for(port: int) -> None:
    """A Contact has room for thousands of characters, and each question and its answer are remembered."""
    assert find(Hop("udp", "a" * 253, port))[1]
    assert find(Hop("udp", "a" * 254, port)) == ([], [], set())


def test_without_naptr_srv_records_of_all_our_transports_are_asked_for() -> None:
    zone = {("_sip._tcp.example.com", "SRV"): (Srv(0, 0, 5080, "192.0.2.7"),)}
    hops, asked, _ = find(Hop("auto", "example.com", 0), zone)
    assert hops == ["tcp 192.0.2.7 5080"]
    assert asked == ["example.com NAPTR", "_sip._udp.example.com SRV", "_sip._tcp.example.com SRV"]
    assert find(Hop("auto", "example.com", 0), {}, only("tls"))[1][1:] == ["_sips._tcp.example.com SRV"]


def test_without_any_srv_record_the_domain_is_a_host_and_the_port_the_default() -> None:
    zone = {("example.com", "A"): ("192.0.2.9",)}
    assert find(Hop("auto", "example.com", 0), zone)[0] == ["udp 192.0.2.9 5060"]
    hops, asked, _ = find(Hop("tls", "example.com", 0), zone)
    assert (hops, asked) == (["tls 192.0.2.9 5061"], ["_sips._tcp.example.com SRV", "example.com A"])


def test_a_transport_that_is_given_asks_for_no_naptr() -> None:
    hops, asked, _ = find(Hop("udp", "example.com", 0))
    assert hops == ["udp 192.0.2.1 5060", "udp 192.0.2.2 5060", "udp 192.0.2.3 5070"]
    assert asked[0] == "_sip._udp.example.com SRV"


@pytest.mark.parametrize("transport", ["udp", "auto"])
def test_a_port_that_is_given_asks_for_addresses_only(transport: str) -> None:
    """RFC 3263 4.2."""
    assert find(Hop(transport, "example.com", 5090))[:2] == (["udp 192.0.2.9 5090"], ["example.com A"])


@pytest.mark.parametrize(
    ("wanted", "hop"),
    [
        (Hop("auto", "192.0.2.4", 0), "udp 192.0.2.4 5060"),
        (Hop("tls", "192.0.2.4", 0), "tls 192.0.2.4 5061"),
        (Hop("tcp", "2001:db8::4", 5080), "tcp 2001:db8::4 5080"),
        (Hop("udp", "localhost", 5070), "udp 127.0.0.1 5070"),
    ],
)
def test_addresses_and_localhost_need_no_dns(wanted: Hop, hop: str) -> None:
    hops, asked, _ = find(wanted, serves=only("udp", "tcp", "tls", ipv6=True))
    assert (hops[0], asked) == (hop, [])


def test_ipv6_is_asked_for_where_we_have_a_listener_and_comes_second() -> None:
    hops, asked, _ = find(Hop("tls", "example.com", 0), serves=only("tls", ipv6=True))
    assert hops == ["tls 192.0.2.1 5071", "tls 192.0.2.2 5071", "tls 2001:db8::1 5071"]
    assert asked[-1] == "one.example.com AAAA"
    assert find(Hop("tcp", "example.com", 5060), serves=only("tls"))[:2] == ([], [])


def test_a_service_that_is_denied_has_no_address() -> None:
    """RFC 2782: a target of "." says so."""
    zone = {**CARRIER, ("_sip._udp.example.com", "SRV"): (Srv(0, 0, 0, "."),)}
    assert find(Hop("udp", "example.com", 0), zone)[0] == []


def test_a_service_without_any_address_is_followed_by_the_next_but_never_by_the_bare_domain() -> None:
    """RFC 3263 4.1: what the server does not support, or we can't reach, is not what is chosen."""
    tcp: Zone = {
        ("_sip._tcp.example.com", "SRV"): (Srv(0, 0, 5080, "192.0.2.7"),),
        ("example.com", "A"): ("192.0.2.9",),
    }
    for first in (Srv(0, 0, 0, "."), Srv(0, 0, 5060, "2001:db8::1"), Srv(0, 0, 5060, "gone.example.com")):
        denied: Zone = {("_sip._udp.example.com", "SRV"): (first,)}
        assert find(Hop("auto", "example.com", 0), {**denied, **tcp})[0] == ["tcp 192.0.2.7 5080"]
        assert find(Hop("auto", "example.com", 0), {**denied, ("example.com", "A"): ("192.0.2.9",)})[0] == []


def test_an_answer_without_end_costs_a_bounded_number_of_questions_and_addresses() -> None:
    servers = tuple(Srv(0, 0, 5060, f"{number}.example.com") for number in range(1000))
    hosts = {(f"{number}.example.com", "A"): tuple(f"10.0.{i}.{number}" for i in range(8)) for number in range(256)}
    hops, asked, _ = find(Hop("udp", "example.com", 0), {**hosts, ("_sip._udp.example.com", "SRV"): servers})
    assert (len(hops), len(asked)) == (16, 3)


def test_priority_comes_first_and_weight_shares_the_first_place() -> None:
    """RFC 2782: 3 of 4 for a weight of 3 beside 1; of weight 0, the smallest chance."""
    servers = [Srv(2, 9, 1, "last"), Srv(1, 3, 1, "heavy"), Srv(1, 1, 1, "light"), Srv(1, 0, 1, "none")]
    first = Counter(in_order(servers, lambda at=at: at / 1000)[0].target for at in range(1000))  # type: ignore[misc]
    assert first == {"none": 200, "light": 200, "heavy": 600}
    assert all(in_order(servers, lambda at=at: at / 10)[-1].target == "last" for at in range(10))  # type: ignore[misc]
    assert in_order([Srv(0, 0, 1, "b"), Srv(0, 0, 1, "a")], lambda: 0.99) == [Srv(0, 0, 1, "b"), Srv(0, 0, 1, "a")]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_hosts_file_is_read_as_the_system_does() -> None:
    """hosts(5)."""
    lines = ["127.0.0.1 localhost", "# 192.0.2.9 gone", "192.0.2.1\tSBC.example  sbc # ours", "2001:db8::1 sbc"]
    hosts = read_hosts("\n".join([*lines, "nonsense x", "", "192.0.2.2 sbc"]))
    assert hosts == {
        "localhost": ("127.0.0.1",),
        "sbc.example": ("192.0.2.1",),
        "sbc": ("192.0.2.1", "2001:db8::1", "192.0.2.2"),
    }
    assert answer_of(hosts, Question("Sbc.", "A")) == Answer(("192.0.2.1", "192.0.2.2"), 30.0)
    assert answer_of(hosts, Question("sbc", "AAAA")) == Answer(("2001:db8::1",), 30.0)
    assert answer_of(hosts, Question("other.example", "A")) is None


@pytest.mark.parametrize("kind", ["SRV", "NAPTR", "AAAA"])
def test_of_a_name_in_the_hosts_file_nothing_else_is_looked_for(kind: str) -> None:
    assert answer_of({"sbc": ("192.0.2.1",)}, Question("sbc", kind)) == Answer((), 30.0)


def test_an_answer_holds_for_its_ttl_then_is_stale_for_a_day_then_unknown() -> None:
    """RFC 8767."""
    clock = Clock()
    memory = Memory(clock)
    memory.keep(ASKED, Answer(("192.0.2.1",), 60))
    assert memory.recall(ASKED) == (("192.0.2.1",), 60)
    clock.now += 61
    assert memory.recall(ASKED) == (("192.0.2.1",), -1)
    memory.put_off(ASKED)
    assert memory.recall(ASKED) == (("192.0.2.1",), 5)
    clock.now += 86399
    assert memory.recall(ASKED) is None
    assert memory.recall(ASKED) is None


@pytest.mark.parametrize(
    ("records", "ttl_s", "held_s"),
    [(("192.0.2.1",), 0, 5), (("192.0.2.1",), 1e9, 86400), ((), 3600, 30), ((), 10, 10)],
)
def test_the_ttl_is_taken_within_bounds(records: Records, ttl_s: float, held_s: float) -> None:
    memory = Memory(Clock())
    memory.keep(ASKED, Answer(records, ttl_s))
    assert memory.recall(ASKED) == (records, held_s)


def test_that_there_is_none_is_never_used_stale() -> None:
    clock = Clock()
    memory = Memory(clock)
    memory.put_off(ASKED)  # DNS failed, and nothing was known
    assert memory.recall(ASKED) == ((), 5)
    clock.now += 5
    assert memory.recall(ASKED) is None


def test_the_memory_is_bounded_and_forgets_what_was_not_used() -> None:
    memory = Memory(Clock(), most=2)
    names = [Question(name, "A") for name in "abc"]
    for question in names[:2]:
        memory.keep(question, Answer(("192.0.2.1",), 60))
    assert memory.recall(names[0])
    memory.keep(names[2], Answer(("192.0.2.1",), 60))
    assert ([bool(memory.recall(question)) for question in names], len(memory)) == ([True, False, True], 2)


HOPS = [Hop("udp", f"192.0.2.{number}", 5060) for number in range(4)]


def test_what_failed_is_used_last_for_a_while_and_longer_each_time() -> None:
    clock = Clock()
    box = PenaltyBox(clock)
    assert box.put(HOPS[0]) == 30
    assert box.last(HOPS) == [*HOPS[1:], HOPS[0]]
    assert (len(box), box.last(HOPS[:1])) == (1, HOPS[:1])  # last, not never
    served = []
    for seconds in (30, 60, 120, 240, 300):
        clock.now += seconds
        assert (len(box), box.last(HOPS)) == (0, HOPS)
        served.append(box.put(HOPS[0]))
    assert served == [60, 120, 240, 300, 300]
    clock.now += 700
    assert box.put(HOPS[0]) == 30  # that was long ago


def test_calls_that_fail_together_are_one_failure() -> None:
    """A hundred were on their way when it died, or said 503 for a second: that does not make it five minutes."""
    clock = Clock()
    box = PenaltyBox(clock)
    for _ in range(100):
        box.put(HOPS[0])
        clock.now += 0.1
    clock.now += 20
    assert not box.holds(HOPS[0])
    assert box.put(HOPS[0]) == 60


def test_what_a_peer_said_is_not_cut_short_by_a_failure_without_a_word() -> None:
    """RFC 3261 21.5.4."""
    clock = Clock()
    box = PenaltyBox(clock)
    box.put(HOPS[0], 200)
    clock.now += 10
    assert box.put(HOPS[0]) == 190
    assert box.put(HOPS[0], 250) == 250
    clock.now += 249
    assert box.holds(HOPS[0])


def test_who_answers_is_free_again() -> None:
    box = PenaltyBox(Clock())
    assert not box.release(HOPS[0])
    box.put(HOPS[0])
    assert box.release(HOPS[0]._replace(name="another.example.com"))  # the address is the same
    assert box.put(HOPS[0]) == 30


def test_a_peer_that_says_how_long_is_believed_within_bounds() -> None:
    """RFC 3261 21.5.4: Retry-After of a 503."""
    box = PenaltyBox(Clock())
    assert [box.put(hop, seconds) for hop, seconds in zip(HOPS, (120, 1, 86400), strict=False)] == [120, 30, 300]


def test_who_is_dead_is_shunned_who_is_busy_only_for_as_long_as_it_said() -> None:
    """RFC 3261 21.5.4: a 503 that does not say for how long is as any 500."""
    clock = Clock()
    box = PenaltyBox(clock)
    assert box.is_empty
    silent, saying, busy, _ = HOPS
    box.put(silent, dead=True)
    box.put(saying, 10)
    box.put(busy)
    assert [box.shuns(hop) for hop in HOPS] == [True, True, False, False]
    clock.now += 11
    assert [box.shuns(hop) for hop in HOPS] == [True, False, False, False]
    box.put(silent)
    box.put(busy, dead=True)
    clock.now += 18.9
    assert [box.shuns(hop) for hop in HOPS] == [True, False, True, False]
    clock.now += 0.1
    assert not (box.shuns(silent) or box.shuns(busy) or box.is_empty)


def test_the_box_is_bounded() -> None:
    box = PenaltyBox(Clock(), most=2)
    for hop in HOPS:
        box.put(hop)
    assert [box.holds(hop) for hop in HOPS] == [False, False, True, True]


def test_without_dns_every_hop_is_its_own_address() -> None:
    plain = AsGiven()
    plain.failed(HOPS[0], "503", dead=True)
    assert not plain.shuns(HOPS[0])
    plain.answered(HOPS[0])
    assert asyncio.run(plain.locate(HOPS[0])) == [HOPS[0]]
