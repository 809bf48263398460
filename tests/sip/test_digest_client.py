"""RFC 3261 22.2, 22.3 and 8.1.3.5: what we answer to challenges, and which of them are refusals."""

from __future__ import annotations

import pytest

from softswitch.sip.digest import Account, parse_credentials
from softswitch.sip.digest_client import MOST_CHALLENGES, MOST_REALMS, KnownNonces, Proofs, Proved
from softswitch.sip.message import Headers, SipResponse

ACCOUNT = Account("us", "secret")
REQUEST = Proved("INVITE", "sip:100@10.0.0.9", b"v=0")
PEER = ("10.0.0.9", 5060, "us")


def challenged(*challenges: str, status: int = 401) -> SipResponse:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return SipResponse(status, "", Headers([(name, f"Digest {one}") for one in challenges]))


def proofs(known: KnownNonces | None = None) -> Proofs:
    return Proofs(ACCOUNT, lambda: "token", known or KnownNonces(), PEER)


def lines(one: Proofs, response: SipResponse) -> list[tuple[str, str]]:
    """Header and realm of each line of credentials."""
    found = [line.partition(": ") for line in one.lines(response, REQUEST).split("\r\n")[:-1]]
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


@pytest.mark.parametrize("response", [challenged(), challenged('realm="a", nonce="1", qop="auth-conf"')])
def test_a_challenge_that_cannot_be_met_is_a_refusal(response: SipResponse) -> None:
    assert not lines(proofs(), response)


def counts(text: str) -> list[tuple[str, int]]:
    """Nonce and count of each line of credentials."""
    made = [parse_credentials(line.partition(": ")[2]) for line in text.split("\r\n")[:-1]]
    return [(one.nonce, one.count) for one in made]


def test_what_a_peer_asked_once_is_shown_unasked_and_counted_up() -> None:
    """RFC 7616 3.3: the nonce count lets a nonce serve again."""
    known = KnownNonces()
    assert proofs(known).unasked(REQUEST) == ""
    first = proofs(known).lines(challenged('realm="a", nonce="1", qop="auth"'), REQUEST)
    assert counts(first) == [("1", 1)]
    assert counts(proofs(known).unasked(REQUEST)) == [("1", 2)]
    assert counts(proofs(known).unasked(REQUEST._replace(method="BYE"))) == [("1", 3)]
    other = Proofs(ACCOUNT, lambda: "token", known, ("10.0.0.8", 5060, "us"))
    assert other.unasked(REQUEST) == ""


def test_one_nonce_keeps_one_cnonce() -> None:
    """RFC 7616 3.4.2: of -sess the secret is worked out once."""
    known, words = KnownNonces(), iter(["c1", "c2", "c3"])
    one = Proofs(ACCOUNT, lambda: next(words), known, PEER)
    asked = challenged('realm="a", nonce="1", qop="auth", algorithm=MD5-sess')
    made = [one.lines(asked, REQUEST), Proofs(ACCOUNT, lambda: next(words), known, PEER).unasked(REQUEST)]
    assert [parse_credentials(text.strip().partition(": ")[2]).cnonce for text in made] == ["c1", "c1"]


def test_a_proof_that_nobody_asked_for_does_not_use_up_the_answer_to_the_next_challenge() -> None:
    known = KnownNonces()
    proofs(known).lines(challenged('realm="a", nonce="1", qop="auth"'), REQUEST)
    one = proofs(known)
    one.unasked(REQUEST)
    assert counts(one.lines(challenged('realm="a", nonce="2", qop="auth"'), REQUEST)) == [("2", 1)]
    assert counts(proofs(known).unasked(REQUEST)) == [("2", 2)]


def test_a_peer_that_asks_for_the_same_nonce_again_gets_its_next_count() -> None:
    known = KnownNonces()
    asked = challenged('realm="a", nonce="1", qop="auth"')
    proofs(known).lines(asked, REQUEST)
    one = proofs(known)
    assert counts(one.unasked(REQUEST)) == [("1", 2)]
    assert counts(one.lines(asked, REQUEST)) == [("1", 3)]


def test_what_a_proxy_asked_is_counted_up_when_the_server_behind_it_asks() -> None:
    one = proofs()
    one.lines(challenged('realm="proxy", nonce="1", qop="auth"', status=407), REQUEST)
    assert counts(one.lines(challenged('realm="server", nonce="2", qop="auth"'), REQUEST)) == [("1", 2), ("2", 1)]


def test_who_refuses_our_proof_is_not_shown_it_again_unasked() -> None:
    known = KnownNonces()
    one = proofs(known)
    one.lines(challenged('realm="a", nonce="1", qop="auth"'), REQUEST)
    assert one.lines(challenged('realm="a", nonce="2", qop="auth"'), REQUEST) == ""
    assert proofs(known).unasked(REQUEST) == ""


def test_a_nonce_without_qop_has_no_count_and_serves_once() -> None:
    known = KnownNonces()
    assert proofs(known).lines(challenged('realm="a", nonce="1"'), REQUEST)
    assert proofs(known).unasked(REQUEST) == ""


def test_only_so_many_peers_and_realms_are_remembered() -> None:
    known = KnownNonces(room=2)
    peers = [("10.0.0.9", port, "us") for port in range(3)]
    for peer in (*peers[:2], peers[0], peers[2]):  # the first is used again
        realms = [f'realm="{n}", nonce="{n}", qop="auth"' for n in range(MOST_REALMS + 2)]
        Proofs(ACCOUNT, lambda: "t", known, peer).lines(challenged(*realms), REQUEST)
    assert [len(known.of(peer)) for peer in peers] == [MOST_REALMS, 0, MOST_REALMS]
