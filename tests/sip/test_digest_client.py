"""RFC 3261 22.2, 22.3 and 8.1.3.5: what we answer to challenges, and which of them are refusals."""

from __future__ import annotations

import pytest

from softswitch.sip.digest import Account, parse_credentials
from softswitch.sip.digest_client import MOST_CHALLENGES, Proofs
from softswitch.sip.message import Headers, SipResponse

ACCOUNT = Account("us", "secret")
URI = "sip:100@10.0.0.9"


def challenged(*challenges: str, status: int = 401) -> SipResponse:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return SipResponse(status, "", Headers([(name, f"Digest {one}") for one in challenges]))


def proofs() -> Proofs:
    return Proofs(ACCOUNT, lambda: "token")


def lines(one: Proofs, response: SipResponse) -> list[tuple[str, str]]:
    """Header and realm of each line of credentials."""
    found = [line.partition(": ") for line in one.lines(response, "INVITE", URI).split("\r\n")[:-1]]
    return [(name, parse_credentials(value).realm) for name, _, value in found]


def test_server_and_proxy_are_answered_each_in_its_own_header() -> None:
    assert lines(proofs(), challenged('realm="a", nonce="1"')) == [("Authorization", "a")]
    assert lines(proofs(), challenged('realm="a", nonce="1"', status=407)) == [("Proxy-Authorization", "a")]


def test_who_is_asked_by_proxy_and_server_in_turn_shows_both_what_they_want() -> None:
    one = proofs()
    lines(one, challenged('realm="proxy", nonce="1"', status=407))
    both = [("Proxy-Authorization", "proxy"), ("Authorization", "server")]
    assert lines(one, challenged('realm="server", nonce="2"')) == both


def test_every_realm_of_one_answer_gets_its_proof() -> None:
    asked = challenged('realm="a", nonce="1"', 'realm="b", nonce="2"', 'realm="a", nonce="1", algorithm=SHA-256')
    assert lines(proofs(), asked) == [("Authorization", "a"), ("Authorization", "b")]


def test_the_same_realm_asking_again_has_refused_us() -> None:
    one = proofs()
    assert lines(one, challenged('realm="a", nonce="1"'))
    assert not lines(one, challenged('realm="a", nonce="2"'))


def test_a_stale_nonce_is_replaced_but_never_by_itself() -> None:
    one = proofs()
    assert lines(one, challenged('realm="a", nonce="1"'))
    assert lines(one, challenged('realm="a", nonce="2", stale=true'))
    assert not lines(one, challenged('realm="a", nonce="2", stale=true'))


def test_a_peer_whose_nonces_are_always_stale_is_left_in_the_end() -> None:
    one = proofs()
    answered = [bool(lines(one, challenged(f'realm="a", nonce="{n}", stale=true'))) for n in range(MOST_CHALLENGES + 1)]
    assert answered == [True] * MOST_CHALLENGES + [False]


@pytest.mark.parametrize("response", [challenged(), challenged('realm="a", nonce="1", qop="auth-int"')])
def test_a_challenge_that_cannot_be_met_is_a_refusal(response: SipResponse) -> None:
    assert not lines(proofs(), response)
