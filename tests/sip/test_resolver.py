"""Calls never wait for DNS but the first one, and that not for long; and what a real DNS server says is understood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.rcode
import pytest

from softswitch.sip.addresses import Hop
from softswitch.sip.locating import Answer, Naptr, Question, Records, Srv
from softswitch.sip.resolver import Dns, DnsFailed, Locator
from tests.support.name_server import NameServer, name_server
from tests.support.virtual_time import run

TRUNK = Hop("udp", "sip.example.com", 5060)
A1, A2 = (Hop("udp", f"192.0.2.{number}", 5060) for number in (1, 2))


class FakeDns:
    """Answers after `delay_s`; a name without records fails while `broken`."""

    def __init__(self) -> None:
        self.records: Records = ("192.0.2.1", "192.0.2.2")
        self.ttl_s, self.delay_s, self.broken = 60.0, 0.0, False
        self.asked: list[Question] = []

    async def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        await asyncio.sleep(self.delay_s)
        if self.broken:
            raise DnsFailed("SERVFAIL")
        return Answer(self.records, self.ttl_s)


def play(story: Callable[[Locator, FakeDns], Awaitable[None]]) -> None:
    async def staged() -> None:
        fake = FakeDns()
        clock = asyncio.get_running_loop().time
        locator = Locator(fake, lambda hop: ":" not in hop.host, clock=clock, chance=lambda: 0.0)
        await story(locator, fake)
        await locator.stop()
        await asyncio.sleep(0)

    run(staged())


def test_a_name_that_is_followed_is_known_before_the_first_call_and_refreshed_at_its_ttl() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.delay_s = 1.0
        locator.follow([TRUNK, Hop("udp", "192.0.2.8", 5060)])
        await asyncio.sleep(1.1)
        before = asyncio.get_running_loop().time()
        assert await locator.locate(TRUNK) == [A1, A2]
        fake.records = ("192.0.2.2",)
        await asyncio.sleep(61)
        assert await locator.locate(TRUNK) == [A2]
        assert asyncio.get_running_loop().time() - before == 61
        assert [question.kind for question in fake.asked] == ["A", "A"]
        locator.follow([TRUNK])
        locator.follow([])
        await asyncio.sleep(600)
        assert len(fake.asked) == 2  # nobody is interested any more

    play(story)


def test_a_first_call_waits_for_dns_and_shares_the_question_with_others() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.delay_s = 1.0
        found = await asyncio.gather(*(locator.locate(TRUNK) for _ in range(10)))
        assert (found, len(fake.asked)) == ([[A1, A2]] * 10, 1)

    play(story)


def test_a_first_call_does_not_wait_for_long() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.delay_s = 2.0
        assert await locator.locate(TRUNK) == []
        assert (asyncio.get_running_loop().time(), locator.counts["late"]) == (1.5, 1)
        await asyncio.sleep(0.6)
        assert await locator.locate(TRUNK) == [A1, A2]  # the answer was kept all the same
        fake.delay_s = 100.0
        await locator.locate(Hop("udp", "other.example.com", 5060))  # `stop` ends this question

    play(story)


def test_while_dns_fails_the_last_answer_goes_on_to_be_used_and_dns_is_not_flooded() -> None:
    """RFC 8767."""

    async def story(locator: Locator, fake: FakeDns) -> None:
        locator.follow([TRUNK])
        await locator.locate(TRUNK)
        fake.broken, fake.delay_s = True, 3.0
        await asyncio.sleep(70)
        before = asyncio.get_running_loop().time()
        assert await locator.locate(TRUNK) == [A1, A2]
        assert asyncio.get_running_loop().time() == before
        assert (locator.counts["failed"], len(fake.asked)) == (1, 3)  # at 60 s, failed at 63, and again at 68
        fake.broken, fake.records = False, ("192.0.2.2",)
        await asyncio.sleep(10)
        assert await locator.locate(TRUNK) == [A2]

    play(story)


def test_a_name_that_nobody_follows_is_asked_for_again_in_the_background() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        await locator.locate(TRUNK)
        await asyncio.sleep(61)
        fake.records, fake.delay_s = ("192.0.2.2",), 1.0
        assert await locator.locate(TRUNK) == [A1, A2]
        assert await locator.locate(TRUNK) == [A1, A2]
        await asyncio.sleep(1.1)
        assert (len(fake.asked), locator.counts["stale"]) == (2, 2)
        assert await locator.locate(TRUNK) == [A2]

    play(story)


def test_where_dns_fails_and_nothing_is_known_there_is_no_address_and_soon_another_try() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.broken = True
        assert [await locator.locate(TRUNK) for _ in range(3)] == [[], [], []]
        assert (len(fake.asked), locator.counts["unknown"]) == (1, 3)
        fake.broken = False
        await asyncio.sleep(5)
        assert await locator.locate(TRUNK) == [A1, A2]

    play(story)


def test_a_name_that_has_vanished_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.records = ()
        locator.follow([TRUNK])
        await asyncio.sleep(100)
        assert await locator.locate(TRUNK) == []

    play(story)
    assert [one.getMessage() for one in caplog.records] == ["sip.example.com is at no address"]  # once, not each time


def test_what_failed_is_tried_last_until_it_answers_or_its_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        locator.failed(A1, "503")
        assert await locator.locate(TRUNK) == [A2, A1]
        locator.answered(A2)
        locator.answered(A1)
        assert await locator.locate(TRUNK) == [A1, A2]
        locator.failed(A1, "no answer", 100)
        await asyncio.sleep(101)
        assert await locator.locate(TRUNK) == [A1, A2]
        assert (locator.counts["penalised"], locator.counts["recovered"]) == (2, 1)

    play(story)
    assert "192.0.2.1:5060 fails (503): used last for 30 s" in caplog.text


def test_a_name_is_shunned_while_calls_have_found_all_its_addresses_dead() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        assert not locator.shuns(TRUNK)
        assert fake.asked == []  # nobody has failed
        locator.failed(A1, "no answer", dead=True)
        assert not locator.shuns(TRUNK)  # nothing is known of it
        await locator.locate(TRUNK)
        assert (locator.shuns(A1), locator.shuns(A2), locator.shuns(TRUNK)) == (True, False, False)
        locator.failed(A2, "503", 40)
        assert locator.shuns(TRUNK)
        await asyncio.sleep(31)
        assert not locator.shuns(TRUNK)

    play(story)


def test_an_address_asks_nothing() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        hop = Hop("udp", "192.0.2.1", 5060)
        assert await locator.locate(hop) == [hop]
        assert fake.asked == []

    play(story)


def test_what_is_known_is_told_without_waiting_and_what_is_not_is_asked_for() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.delay_s = 1.0
        assert locator.known(TRUNK) == locator.known(TRUNK) == []
        await asyncio.sleep(1.1)
        assert (locator.known(TRUNK), len(fake.asked)) == ([A1, A2], 1)
        locator.failed(A1, "503")
        assert locator.known(TRUNK) == [A2, A1]
        await asyncio.sleep(61)
        fake.records = ("192.0.2.2",)
        assert locator.known(TRUNK) == [A1, A2]  # what was known, while it is asked for anew
        await asyncio.sleep(1.1)
        assert locator.known(TRUNK) == [A2]
        assert locator.known(A1) == [A1]

    play(story)


def test_dialogs_can_not_flood_dns_with_names() -> None:
    async def story(locator: Locator, fake: FakeDns) -> None:
        fake.delay_s = 100.0  # `stop` ends them
        for number in range(100):
            locator.known(Hop("udp", f"sbc{number}.example", 5060))
        await asyncio.sleep(1)
        assert len(fake.asked) == 64

    play(story)


def test_a_name_in_the_hosts_file_is_not_asked_for(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.7 sbc.example\n")

    async def story() -> None:
        async with name_server(ZONE) as (address, server):
            source = Dns([address], hosts=str(hosts))
            assert await source(Question("sbc.example", "A")) == Answer(("192.0.2.7",), 30.0)
            hosts.unlink()
            assert await source(Question("sbc.example", "A")) == Answer((), 30)
            assert server.asked == ["sbc.example. A"]

    asyncio.run(story())


# A real server, on loopback

ZONE = """
example.com. 300 IN NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.example.com.
example.com. 300 IN NAPTR 10 10 "S" "SIPS+D2T" "" _sips._tcp.example.com.
example.com. 300 IN NAPTR 5 10 "u" "E2U+sip" "!^.*$!sip:x@example.com!" .
_sip._tcp.example.com. 200 IN SRV 1 2 5080 one.example.com.
_sips._tcp.example.com. 200 IN SRV 0 0 0 .
one.example.com. 100 IN A 192.0.2.1
one.example.com. 100 IN A 192.0.2.2
one.example.com. 100 IN AAAA 2001:db8::1
alias.example.com. 50 IN CNAME one.example.com.
"""


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Dns, NameServer]]:
    async with name_server(ZONE) as (address, server):
        yield Dns([address], timeout_s=30.0), server


def ask(name: str, kind: str) -> Answer:
    async def story() -> Answer:
        async with served() as (source, _):
            return await source(Question(name, kind))

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        ("one.example.com", "A", Answer(("192.0.2.1", "192.0.2.2"), 100)),
        ("one.example.com", "AAAA", Answer(("2001:db8::1",), 100)),
        ("alias.example.com", "A", Answer(("192.0.2.1",), 50)),
        ("_sip._tcp.example.com", "SRV", Answer((Srv(1, 2, 5080, "one.example.com"),), 200)),
        ("_sips._tcp.example.com", "SRV", Answer((Srv(0, 0, 0, "."),), 200)),
        ("one.example.com", "SRV", Answer((), 20)),  # RFC 2308: the SOA says for how long
        ("nowhere.example.com", "A", Answer((), 30)),
    ],
)
def test_what_a_server_says_is_understood(name: str, kind: str, answer: Answer) -> None:
    assert ask(name, kind) == answer


def test_of_naptr_records_only_those_that_lead_to_srv_count() -> None:
    tcp, tls = Naptr(20, 10, "SIP+D2T", "_sip._tcp.example.com"), Naptr(10, 10, "SIPS+D2T", "_sips._tcp.example.com")
    assert set(ask("example.com", "NAPTR").records) == {tcp, tls}


def test_from_a_domain_to_addresses_by_a_real_server() -> None:
    async def story() -> None:
        async with served() as (source, _):
            clock = asyncio.get_running_loop().time
            locator = Locator(source, lambda hop: hop.transport == "tcp", clock=clock, chance=lambda: 0.0)
            hops = await locator.locate(Hop("auto", "example.com", 0))
            hosts = [hop.host for hop in hops]
            assert (sorted(hosts[:2]), hosts[2:]) == (["192.0.2.1", "192.0.2.2"], ["2001:db8::1"])
            assert {hop._replace(host="") for hop in hops} == {Hop("tcp", "", 5080)}
            await locator.stop()

    asyncio.run(story())


@pytest.mark.parametrize("name", ["one.example.com", "a..b", "x" * 70 + ".example.com"])
def test_a_refusal_of_the_server_and_an_impossible_name_are_failures(name: str) -> None:
    async def story() -> None:
        async with served() as (source, server):
            server.rcode = dns.rcode.SERVFAIL
            with pytest.raises(DnsFailed):
                await source(Question(name, "A"))

    asyncio.run(story())


def test_without_servers_of_its_own_it_asks_those_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    class System:
        def __init__(self, *, configure: bool) -> None:
            assert configure

        async def resolve(self, *_: object, **__: object) -> object:
            raise OSError("asked")

    monkeypatch.setattr("dns.asyncresolver.Resolver", System)

    async def story() -> None:
        source = Dns()
        for _ in range(2):
            with pytest.raises(DnsFailed, match="asked"):
                await source(Question("one.example.com", "A"))

    asyncio.run(story())
