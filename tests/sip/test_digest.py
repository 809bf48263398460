"""RFC 7616 3, RFC 8760 2, RFC 2069 and RFC 3261 22.4: challenges and credentials, with the vectors of the RFCs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.errors import SipParseError
from softswitch.sip.digest import (
    ALGORITHMS,
    Account,
    Challenge,
    Credentials,
    answer,
    is_digest,
    parse_challenge,
    parse_credentials,
    proves,
    strongest,
)

MUFASA = Account("Mufasa", "Circle of Life")
# RFC 7616 3.9.1, the two challenges and what the RFC says the client answers.
REALM = "http-auth@example.org"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
VECTORS = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


def rfc_challenge(algorithm: str) -> str:
    return (
        f'Digest\n realm="{REALM}",\n qop="auth, auth-int",\n algorithm={algorithm},\n nonce="{NONCE}",\n'
        f' opaque="{OPAQUE}"'
    ).replace("\n", "")


@pytest.mark.parametrize("algorithm", VECTORS)
def test_the_vectors_of_rfc_7616_3_9_1(algorithm: str) -> None:
    challenge = parse_challenge(rfc_challenge(algorithm))
    made = answer(challenge, MUFASA, "GET", "/dir/index.html", cnonce=CNONCE)
    assert made.response == VECTORS[algorithm]
    assert (made.count, made.cnonce, made.opaque, made.nonce) == (1, CNONCE, OPAQUE, NONCE)


def test_the_vector_of_rfc_2617_3_5_which_counts_as_well() -> None:
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    made = answer(challenge, Account("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", cnonce="0a4f113b")
    assert made.response == "6629fae49393a05397450978507c4ef1"


def test_a_challenge_without_qop_is_answered_as_rfc_2069_2_4_says() -> None:
    # The erratum to RFC 2069 (ID 749) gives this response.
    challenge = parse_challenge('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    made = answer(challenge, Account("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", cnonce="unused")
    assert made.response == "1949323746fe6a43ef61f9606e7febea"
    assert (made.count, made.cnonce) == (0, "")
    assert "qop" not in str(made) and "cnonce" not in str(made) and "nc=" not in str(made)


def test_sha_512_256_is_the_truncated_hash_of_fips_180_4() -> None:
    challenge = Challenge("r", "n", "SHA-512-256")
    first = answer(challenge, MUFASA, "INVITE", "sip:a@b", cnonce="c").response
    assert len(first) == 64
    assert first != answer(Challenge("r", "n", "SHA-256"), MUFASA, "INVITE", "sip:a@b", cnonce="c").response


def test_a_session_algorithm_puts_nonce_and_cnonce_into_the_secret() -> None:
    """RFC 7616 3.4.2."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    challenge = parse_challenge('Digest realm="r", nonce="n", algorithm=md5-SESS, qop="auth"')
    made = answer(challenge, Account("u", "p"), "INVITE", "sip:a", cnonce="c", count=2)
    secret = md5(f"{md5('u:r:p')}:n:c")
    assert made.response == md5(f"{secret}:n:00000002:c:auth:{md5('INVITE:sip:a')}")
    assert (made.algorithm, "algorithm=MD5-sess" in str(made)) == ("MD5-sess", True)
    assert proves(parse_credentials(str(made)), Account("u", "p"), "INVITE") == made.response


def test_where_only_auth_int_is_offered_the_body_is_proved_too() -> None:
    """RFC 7616 3.4.3."""

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    challenge = parse_challenge('Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth-int"')
    made = answer(challenge, Account("u", "p"), "INVITE", "sip:a", cnonce="c", body=b"v=0")
    whole = sha(f"INVITE:sip:a:{sha('v=0')}")
    assert made.response == sha(f"{sha('u:r:p')}:n:00000001:c:auth-int:{whole}")
    assert "qop=auth-int" in str(made)
    both = parse_challenge('Digest realm="r", nonce="n", qop="auth-int, auth"')
    assert both.qop == "auth"  # what proxies change in a body must not cost us the call


def test_each_use_of_a_nonce_and_each_method_is_proved_anew() -> None:
    challenge = Challenge("r", "n")
    made = {
        answer(challenge, MUFASA, method, uri, cnonce=cnonce, count=count).response
        for method, uri, cnonce, count in [
            ("INVITE", "sip:a", "c", 1),
            ("INVITE", "sip:a", "c", 2),
            ("INVITE", "sip:a", "d", 1),
            ("INVITE", "sip:b", "c", 1),
            ("BYE", "sip:a", "c", 1),
        ]
    }
    assert len(made) == 5


def test_challenges_and_credentials_survive_the_wire() -> None:
    challenge = Challenge('a "b" \\c, d', "n=1,2", "SHA-256", "auth", "", True)
    assert parse_challenge(str(challenge)) == challenge
    old = Challenge("r", "n", qop="")
    assert parse_challenge(str(old)) == old
    for one in (challenge, old):
        made = answer(one, MUFASA, "INVITE", "sip:+861@h;user=phone", cnonce="x", count=10)
        assert parse_credentials(str(made)) == made
        assert proves(parse_credentials(str(made)), MUFASA, "INVITE") == made.response


def test_no_representation_shows_a_password() -> None:
    assert "Circle" not in repr(MUFASA)
    made = answer(Challenge("r", "n"), MUFASA, "INVITE", "sip:a", cnonce="c")
    assert "Circle" not in repr(made) + str(made)


def test_of_each_realm_the_strongest_is_taken_and_what_we_do_not_know_passed_over() -> None:
    offered = [
        'Basic realm="a"',
        'Digest realm="a", nonce="1"',
        'Digest realm="a", nonce="2", algorithm=SHA-256, qop="auth"',
        'Digest realm="a", nonce="3", algorithm=SHA-256',
        'Digest realm="a", nonce="4", algorithm=SHA-999',
        'Digest realm="a", nonce="5", algorithm=SHA-512-256, qop="auth-conf"',
        'Digest realm="b", nonce="6", algorithm=md5, stale=TRUE',
    ]
    assert [(one.realm, one.nonce, one.stale) for one in strongest(offered)] == [("a", "2", False), ("b", "6", True)]
    assert strongest(['Digest realm="a", nonce="7", algorithm=SHA-512-256', offered[2]])[0].nonce == "7"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('Basic realm="a"', "scheme Digest"),
        ("Digest", "scheme Digest"),
        ('Digest realm="a"', "expected nonce"),
        ('Digest nonce="a"', "expected realm"),
        ('Digest realm="a", nonce', "name=value"),
        ('Digest re alm="a", nonce="1"', "name=value"),
        ('Digest realm="a", nonce="1", realm="b"', "stands twice"),
        ('Digest realm="a", nonce="1", algorithm=MD4', "algorithm"),
        ('Digest realm="a", nonce="1", algorithm=MD5-sess', "expected qop"),
        ('Digest realm="a", nonce="1", qop="auth-conf"', "auth or auth-int among"),
    ],
)
def test_what_is_no_challenge_of_ours(text: str, words: str) -> None:
    with pytest.raises(SipParseError, match=words):
        parse_challenge(text)


GOOD = 'Digest username="u", realm="r", nonce="n", uri="sip:a", response="0aF"'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace('username="u", ', ""), "expected username"),
        (GOOD.replace(', uri="sip:a"', ""), "expected uri"),
        (GOOD.replace("0aF", "xyz"), "hexadecimal"),
        (GOOD.replace("0aF", ""), "hexadecimal"),
        (f"{GOOD}, qop=auth, nc=00000001", "expected cnonce"),
        (f'{GOOD}, qop=auth, cnonce="c"', "digest nc"),
        (f'{GOOD}, qop=auth, cnonce="c", nc=1', "digest nc"),
        (f'{GOOD}, qop=auth, cnonce="c", nc=00000000', "digest nc"),
        (f'{GOOD}, qop=auth-int, cnonce="c", nc=00000001', "expected auth"),
        (f"{GOOD}, algorithm=SHA-1", "algorithm"),
    ],
)
def test_what_are_no_credentials(text: str, words: str) -> None:
    with pytest.raises(SipParseError, match=words):
        parse_credentials(text)


def test_credentials_as_old_and_sloppy_peers_write_them() -> None:
    assert parse_credentials(GOOD).response == "0af"
    quoted = parse_credentials(f'{GOOD},qop="auth" , cnonce="c",nc=0000000A , algorithm="md5"')
    assert (quoted.count, quoted.algorithm) == (10, "MD5")
    assert is_digest("DIGEST\trealm=a") and not is_digest("Digests a=b")


WORD = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)


@given(
    WORD,
    WORD,
    st.sampled_from(list(ALGORITHMS)),
    st.sampled_from(["auth", "auth-int"]),
    WORD | st.none(),
    st.booleans(),
)
def test_any_challenge_can_be_written_and_read(
    realm: str, nonce: str, algorithm: str, qop: str, opaque: str | None, stale: bool
) -> None:
    challenge = Challenge(realm, nonce, algorithm, qop, opaque, stale)
    assert parse_challenge(str(challenge)) == challenge


PIECES = st.sampled_from(
    [
        "Digest ",
        "realm=",
        '"',
        ",",
        "nonce",
        "=",
        "\\",
        "qop=auth",
        "nc=00000001",
        "<",
        ">",
        " ",
        "response=0",
        "é",
        "\x00",
    ]
)


@given(st.lists(PIECES | WORD, max_size=30).map("".join), st.booleans())
def test_whatever_stands_there_is_parsed_or_a_parse_error(text: str, prefixed: bool) -> None:
    for parse, kind in ((parse_challenge, Challenge), (parse_credentials, Credentials)):
        try:
            assert isinstance(parse(f"Digest {text}" if prefixed else text), kind)
        except SipParseError:
            continue
