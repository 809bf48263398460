"""RFC 7616 3.3 and 5, RFC 8760 2.3, RFC 3261 22.4: who must prove a password, and what guessing leads to."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.digest import Account, Challenge, Credentials, answer, parse_challenge
from softswitch.sip.digest_server import (
    FORGOTTEN_AFTER_S,
    LONGEST_WAIT_S,
    WINDOW,
    Challenger,
    Guesses,
    Nonces,
    Outcome,
    Protected,
)
from softswitch.sip.message import Headers, SipRequest

ACCOUNT = Account("carrier", "s3cret")
PROTECTED = Protected(ACCOUNT, "softswitch")
SOURCE = "192.0.2.1"
URI = "sip:100@10.0.0.1"


class Desk:
    """A challenger and somebody who calls it."""

    def __init__(self, protected: Protected = PROTECTED) -> None:
        numbers = itertools.count(1)
        self.challenger = Challenger(b"secret", lambda: f"salt{next(numbers)}", lifetime_s=60.0)
        self.protected = protected

    def ask(self, *credentials: object, now: float = 0.0, source: str = SOURCE) -> Outcome:
        headers = Headers([("Authorization", str(one)) for one in credentials])
        return self.challenger.judge(SipRequest("INVITE", URI, headers), source, self.protected, now)

    def challenges(self, *, now: float = 0.0, source: str = SOURCE) -> list[Challenge]:
        return offered(self.ask(now=now, source=source))

    def guess(
        self, password: str = "wrong", *, now: float = 0.0, user: str = "carrier", source: str = SOURCE
    ) -> Outcome:
        challenge = self.challenges(now=now, source=source)[0]
        return self.ask(proof(challenge, Account(user, password)), now=now, source=source)


def offered(outcome: Outcome) -> list[Challenge]:
    lines = outcome.lines[0].split("\r\n")[:-1]
    assert all(line.startswith("WWW-Authenticate: ") for line in lines)
    return [parse_challenge(line.partition(": ")[2]) for line in lines]


def proof(challenge: Challenge, account: Account = ACCOUNT, *, count: int = 1, method: str = "INVITE") -> Credentials:
    return answer(challenge, account, method, URI, cnonce="c", count=count)


def test_who_proves_nothing_is_asked_by_the_best_algorithm_first() -> None:
    outcome = Desk().ask()
    assert (outcome.verdict, outcome.status) == ("challenged", 401)
    assert [(one.algorithm, one.realm, one.qop, one.stale) for one in offered(outcome)] == [
        ("SHA-256", "softswitch", "auth", False),
        ("MD5", "softswitch", "auth", False),
    ]


@pytest.mark.parametrize(
    ("algorithms", "alone"),
    [
        (("SHA-256", "MD5"), 'nonce="{}", qop="auth"'),  # RFC 7616 3.3: which means MD5
        (("MD5", "SHA-512-256"), 'nonce="{}", qop="auth"'),
        (("SHA-512-256", "SHA-256"), 'nonce="{}", algorithm=SHA-256, qop="auth"'),
        (("SHA-512-256",), 'nonce="{}", algorithm=SHA-512-256, qop="auth"'),
    ],
)
def test_where_room_is_for_one_algorithm_only_it_is_the_one_that_most_can_answer(
    algorithms: tuple[str, ...], alone: str
) -> None:
    desk = Desk(Protected(ACCOUNT, "softswitch", algorithms))
    (short,) = desk.ask().lines[1:]
    challenge = parse_challenge(short.removeprefix("WWW-Authenticate: ").removesuffix("\r\n"))
    assert short == f'WWW-Authenticate: Digest realm="softswitch", {alone.format(challenge.nonce)}\r\n'
    assert desk.ask(proof(challenge)) == Outcome("accepted")


@pytest.mark.parametrize("index", [0, 1])
def test_either_algorithm_that_was_offered_opens_the_door(index: int) -> None:
    desk = Desk()
    assert desk.ask(proof(desk.challenges()[index])) == Outcome("accepted")


def test_a_nonce_serves_again_with_a_rising_count_and_never_with_one_that_was_used() -> None:
    desk = Desk()
    challenge = desk.challenges()[0]
    assert desk.ask(proof(challenge)).verdict == "accepted"
    assert desk.ask(proof(challenge)).verdict == "stale"
    assert desk.ask(proof(challenge, count=3)).verdict == "accepted"
    assert desk.ask(proof(challenge, count=3)).verdict == "stale"


def test_counts_that_overtook_each_other_are_taken_once_each_as_far_back_as_is_remembered() -> None:
    """RFC 7616 3.3 leaves to the server how strict it is; over UDP calls that begin at once come in any order."""
    desk = Desk()
    challenge = desk.challenges()[0]
    order = [5, 3, 4, 1, 2, 5, 3, 1, WINDOW + 10, 10, 11, 11, 9, WINDOW * 5, WINDOW * 3, WINDOW * 4 + 1]
    taken = [desk.ask(proof(challenge, count=count)).verdict == "accepted" for count in order]
    expected = [True] * 5 + [False] * 3 + [True, False, True, False, False, True, False, True]
    assert taken == expected


@given(st.lists(st.integers(0, WINDOW * 3), max_size=60))
def test_no_count_is_ever_taken_twice(counts: list[int]) -> None:
    nonces = Nonces(b"secret", 60.0)
    nonce = nonces.make("salt", "audience", 0.0)
    taken = [count for count in counts if nonces.use(nonce, count)]
    assert len(set(taken)) == len(taken)
    assert counts[:1] == taken[:1]
    assert 0 not in taken[1:], "who uses it without a count uses it up"


def test_a_count_as_high_as_can_be_written_costs_nothing() -> None:
    desk = Desk()
    challenge = desk.challenges()[0]
    assert [desk.ask(proof(challenge, count=count)).verdict for count in (1, 0xFFFFFFFF, 0xFFFFFFFE)] == [
        "accepted"
    ] * 3


def test_without_qop_a_nonce_serves_once() -> None:
    desk = Desk()
    challenge = desk.challenges()[0]
    old = Challenge(challenge.realm, challenge.nonce, challenge.algorithm, qop="")  # RFC 2069
    assert desk.ask(proof(old)).verdict == "accepted"
    assert desk.ask(proof(old)).verdict == "stale"
    assert desk.ask(proof(challenge, count=9)).verdict == "stale"


def test_an_old_nonce_is_stale_and_its_successor_works() -> None:
    desk = Desk()
    outcome = desk.ask(proof(desk.challenges()[0]), now=61.0)
    assert (outcome.verdict, outcome.status, offered(outcome)[0].stale) == ("stale", 401, True)
    assert desk.ask(proof(offered(outcome)[0]), now=61.0).verdict == "accepted"


@pytest.mark.parametrize("nonce", ["", "x", "0.salt1.0", "zz.é.ü", "1." * 50])
def test_a_nonce_that_we_never_made_tells_nothing_about_the_password(nonce: str) -> None:
    desk = Desk()
    for password in (ACCOUNT.password, "wrong"):
        made = proof(Challenge("softswitch", nonce), Account("carrier", password))
        assert desk.ask(made).verdict == "stale"


def test_a_nonce_made_for_another_address_is_none() -> None:
    desk = Desk()
    assert desk.ask(proof(desk.challenges(source="192.0.2.9")[0])).verdict == "stale"


def test_unknown_user_wrong_password_wrong_method_and_unoffered_algorithm_get_the_same_answer() -> None:
    desk = Desk()
    challenge = desk.challenges()[0]
    unoffered = Challenge(challenge.realm, challenge.nonce, "SHA-512-256")
    wrong = [
        proof(challenge, Account("nobody", ACCOUNT.password)),
        proof(challenge, Account("carrier", "wrong")),
        proof(challenge, method="BYE"),
        proof(unoffered),
    ]
    for index, credentials in enumerate(wrong):
        outcome = desk.ask(credentials, now=index * 10.0)
        assert (outcome.verdict, outcome.status) == ("wrong", 401)
        assert not offered(outcome)[0].stale


def test_a_name_that_is_not_ours_fails_even_where_the_proof_would_do() -> None:
    desk = Desk()
    made = str(proof(desk.challenges()[0])).replace('username="carrier"', 'username="other"')
    assert desk.ask(made).verdict == "wrong"


def test_who_guesses_waits_ever_longer_and_even_the_right_password_does_not_help_meanwhile() -> None:
    desk = Desk()
    assert [desk.guess().verdict for _ in range(4)] == ["wrong", "wrong", "wrong", "locked"]
    locked = desk.guess(ACCOUNT.password, now=0.9)
    assert locked == Outcome("locked", 403)
    assert desk.guess(now=1.0).verdict == "wrong"  # one second was enough, the next time it takes two
    assert desk.guess(now=2.9).verdict == "locked"
    assert desk.guess(now=2.9, source="192.0.2.9", password=ACCOUNT.password).verdict == "accepted"
    assert desk.guess(ACCOUNT.password, now=3.0).verdict == "accepted"
    assert desk.guess(now=3.0).verdict == "wrong"  # the count begins anew
    assert desk.guess(ACCOUNT.password, now=3.0).verdict == "accepted"


def test_the_wait_has_an_end_and_wrong_guesses_are_forgotten() -> None:
    guesses = Guesses()
    for _ in range(60):
        guesses.wrong(SOURCE, 0.0)
    assert guesses.locked(SOURCE, LONGEST_WAIT_S - 1)
    assert not guesses.locked(SOURCE, LONGEST_WAIT_S)
    guesses.wrong(SOURCE, FORGOTTEN_AFTER_S + 1)
    assert not guesses.locked(SOURCE, FORGOTTEN_AFTER_S + 1)


def test_guessers_are_remembered_within_bounds() -> None:
    guesses = Guesses(room=2)
    for source in ("a", "a", "a", "b", "b", "b", "c", "c", "c"):
        guesses.wrong(source, 0.0)
    assert [guesses.locked(source, 0.5) for source in ("a", "b", "c")] == [False, True, True]


def test_uses_are_remembered_within_bounds_and_what_was_forgotten_is_not_taken_again() -> None:
    nonces = Nonces(b"secret", 60.0, room=2)
    made = [nonces.make(f"s{second}", SOURCE, float(second)) for second in range(4)]
    assert all(nonces.fresh(nonce, SOURCE, 5.0) for nonce in made)
    assert [nonces.use(nonce, 1) for nonce in (made[1], made[2], made[3])] == [True, True, True]
    assert not nonces.use(made[1], 2)  # its count is gone
    assert not nonces.use(made[0], 1)  # older than what is gone
    assert nonces.use(made[3], 2)


def test_credentials_of_other_realms_and_schemes_are_passed_over() -> None:
    desk = Desk()
    other = proof(Challenge("elsewhere", "n"))
    assert desk.ask(other, "Basic Og==").verdict == "challenged"
    assert desk.ask(other, proof(desk.challenges()[0])).verdict == "accepted"


def test_malformed_credentials_are_the_peers_fault() -> None:
    with pytest.raises(SipParseError):
        Desk().ask('Digest realm="softswitch"')
