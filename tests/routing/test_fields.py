"""The value types of dialplans say what they expected."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from softswitch.routing import fields


@pytest.mark.parametrize("value", ["192.0.2.0/24", "192.0.2.1", "2001:db8::/32"])
def test_networks_are_cidrs_or_single_addresses_of_either_family(value: str) -> None:
    assert fields.network(value) == ipaddress.ip_network(value)


@pytest.mark.parametrize("value", ["192.0.2.1/24", "trunk.example", "", 5, None])
def test_anything_else_is_no_network_and_the_error_shows_the_form(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected an address or CIDR such as 192\.0\.2\.0/24"):
        fields.network(value)


@pytest.mark.parametrize(
    "host",
    ["sip.example", "sip-1.example.", "_sip.b_c.example", "h", "192.0.2.1", "2001:db8::1", "3com.example", "x5", "3cx"],
)
def test_hosts_are_addresses_or_names(host: str) -> None:
    for kind in (fields.Host, fields.MaybeHost, fields.Place):
        assert TypeAdapter(kind).validate_python(host) == host


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1:5060",
        "sip.example:5061",
        "[2001:db8::1]",
        "300.1.1.1",
        "1.2.3",
        "123",
        "192.0.2.1O",
        "3cx-",
        "a..b",
        "-a.example",
        "a-.b",
        ":::",
        "fe80::1%lo",
    ],
)
def test_what_is_no_host_is_refused_when_it_is_read_and_not_asked_of_dns(host: str) -> None:
    for kind in (fields.Host, fields.MaybeHost, fields.Place):
        with pytest.raises(ValidationError, match=r"expected an? (address or host name without port|host name)"):
            TypeAdapter(kind).validate_python(host)


@pytest.mark.parametrize(
    ("kind", "good", "bad", "words"),
    [
        (fields.Name, "carrier-1.a_b", "carrier 1", "a name of letters, digits"),
        (fields.Place, "sbc.example", "sbc example", "a host name, an address or CIDR"),
        (fields.Place, "192.0.2.0/24", "192.0.2.1/24", "an address or CIDR"),
        (fields.Digits, "86", "+86", "digits in quotes"),
        (fields.MaybeDigits, "", "9x", "digits in quotes"),
        (fields.Prefix, "+", "86", "the first digits of E.164"),
        (fields.Number, "+8695566", "13800000001", "an E.164 number"),
        (fields.Host, "sip.example.net", "sip.example.net/x", "an address or host name"),
        (fields.MaybePrefix, "+8675", "8-5", "first digits"),
        (fields.MaybeHost, "", "h/x", "an address or host name"),
        (fields.PacketTime, 30, 25, "multiple of 10"),
        (fields.MaxPacketTime, 0, 210, "less than or equal to 200"),
        (fields.PassedHeader, "User-to-User", "u", "whole name of a header"),
        (fields.Port, 5060, 0, "greater than or equal to 1"),
        (fields.Count, 0, -1, "greater than or equal to 0"),
        (fields.Length, 11, "11", "valid integer"),
        (fields.Seconds, 8, 0, "greater than 0"),
        (fields.Flag, True, "yes", "valid boolean"),
        (fields.MaybeSeconds, 0, -1, "greater than or equal to 0"),
        (fields.Expiry, 3600, 59, "greater than or equal to 60"),
        (fields.Word, "us-1@example", 'a"b', "without spaces and quotes"),
        (fields.Realm, "My carrier", "ä", "printable ASCII"),
    ],
)
def test_each_kind_takes_the_good_and_names_what_it_expected_for_the_bad(
    kind: Any, good: object, bad: object, words: str
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.validate_python(good) == good
    with pytest.raises(ValidationError, match=words):
        adapter.validate_python(bad)


def test_a_password_is_read_from_where_it_is_kept_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNK_PASSWORD", "from env")
    (tmp_path / "password").write_text("from file\n", encoding="utf-8")
    for text, value in (
        ("pl:ain", "pl:ain"),
        ("env:TRUNK_PASSWORD", "from env"),
        (f"file:{tmp_path / 'password'}", "from file"),
    ):
        kept = fields.secret(text)
        assert kept.value == value
        assert value not in repr(kept) + str(kept)
        assert fields.secret(kept) == kept


@pytest.mark.parametrize("value", ["", "env:SOFTSWITCH_NO_SUCH_VARIABLE", "file:/no/such/file", "two\nlines", 7])
def test_a_password_that_is_not_there_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="expected a password"):
        fields.secret(value)


@pytest.mark.parametrize(
    "name",
    ["From", "p-asserted-identity", "Diversion", "Content-Type", "Call-ID", "Accept", "Policy-Contact", "X Order", ""],
)
def test_headers_that_say_who_somebody_is_or_that_sip_needs_are_never_passed_on(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        fields.passed_header(name)
