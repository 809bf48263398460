"""What a `[[trunk]]` may say, and what of it goes together."""

from __future__ import annotations

import dataclasses

import pytest

from softswitch.errors import ConfigError
from softswitch.routing.trunk import Trunk, numeric
from tests.routing.scene import DIALPLANS, plan


def trunk(options: str = "") -> Trunk:
    """The trunk of this table."""
    return plan(f'[[trunk]]\nname = "t"\nhost = "192.0.2.1"\n{options}\n').trunks["t"]


def test_every_key_of_a_trunk_is_explained_in_the_operations_guide() -> None:
    guide = (DIALPLANS.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    example = (DIALPLANS / "90-example.toml").read_text(encoding="utf-8")
    keys = {field.name for field in dataclasses.fields(Trunk)}
    assert [key for key in sorted(keys) if f"`{key}`" not in guide] == []
    assert [key for key in sorted(keys) if f"{key} = " not in example] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("codecs = []", "codecs: expected: one at least"),
        ('srtp = "required"\nsrtp_suites = []', "srtp_suites: expected with srtp: one at least"),
        ('srtp = "yes"', "srtp: expected 'off', 'allowed' or 'required'"),
        ('srtp_suites = ["F8_128_HMAC_SHA1_80"]', "srtp_suites"),
        ("ptime_ms = 40\nmax_ptime_ms = 30", "max_ptime_ms: expected: no less than ptime_ms"),
        ("ptime_ms = 25", "ptime_ms: expected a multiple of 10"),
        ("register = true", "register: expected with it: username and password"),
        ('username = "us"', "password: expected: username and password go together"),
        ('auth = "digest"', "auth: expected with digest: sources"),
        ('identity = "passport"', "identity: expected 'pai', 'rpid', 'both' or 'none'"),
        ('number_form_in = "e165"', "number_form_in"),
        ('pass_headers = ["From"]', "expected a header that tells neither who"),
    ],
)
def test_what_does_not_go_together_is_told_with_its_key(options: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        trunk(options)


def test_texts_are_addresses_or_names() -> None:
    assert str(numeric("192.0.2.1")) == "192.0.2.1"
    assert numeric("carrier.example") is None


def test_a_trunk_proves_its_own_login_or_where_it_has_none_ours() -> None:
    ours = 'username = "us"\npassword = "hidden1"\nauth = "digest"\nsources = ["192.0.2.1"]\n'
    assert trunk(ours).proves == ("us", "hidden1")
    theirs = ours + 'auth_username = "them"\nauth_password = "hidden2"\n'
    assert trunk(theirs).proves == ("them", "hidden2")
    assert "hidden" not in repr(trunk(theirs))


def test_what_media_must_have_for_a_trunk_and_what_its_signalling_shows() -> None:
    """RFC 4568 9: SDES is as good as the signalling that carries it."""
    off, wanted = Trunk("a", "192.0.2.1"), Trunk("b", "192.0.2.1", srtp="allowed", srtp_suites=("AEAD_AES_256_GCM",))
    assert not off.lacks_srtp(()) and not off.keys_in_clear
    assert wanted.lacks_srtp(("AES_CM_128_HMAC_SHA1_80",)) and not wanted.lacks_srtp(("AEAD_AES_256_GCM",))
    shown = {
        transport: dataclasses.replace(wanted, transport=transport).keys_in_clear
        for transport in ("udp", "tcp", "tls", "auto")
    }
    assert shown == {"udp": True, "tcp": True, "tls": False, "auto": False}


def test_its_certificate_names_what_is_written_else_its_domain_else_any_address_of_its() -> None:
    """RFC 5922 7.2."""
    assert Trunk("a", "sbc.example").certified_name == "sbc.example"
    assert Trunk("a", "sbc.example", tls_name="carrier.example").certified_name == "carrier.example"
    assert Trunk("a", "192.0.2.1", tls_name="carrier.example").certified_name == "carrier.example"
    assert Trunk("a", "192.0.2.1").certified_name == Trunk("a", "2001:db8::1").certified_name == ""
