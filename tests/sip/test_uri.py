"""SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966)."""

from __future__ import annotations

import pytest

from softswitch.errors import SipParseError
from softswitch.sip.uri import SipUri, parse_uri, scheme_of


def test_every_part_of_a_sip_uri_is_found() -> None:
    uri = parse_uri("sips:alice:secret@atlanta.com:5061;transport=tcp;lr?subject=project%20x&priority=urgent")
    assert uri == SipUri(
        "sips",
        "alice",
        "secret",
        "atlanta.com",
        5061,
        {"transport": "tcp", "lr": None},
        {"subject": "project%20x", "priority": "urgent"},
    )


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@atlanta.com",
        "sip:alice:secretword@atlanta.com;transport=tcp",
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:1212@[2001:db8::1]:5060",
        "sip:10.0.0.1",
        "tel:+86-10-12345678;phone-context=x",
    ],
)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_uri(text)) == text


def test_the_scheme_is_of_any_case() -> None:
    assert parse_uri("SIP:a@h").scheme == "sip"
    assert scheme_of("HTTP://x") == "http"


def test_an_ipv6_host_has_no_brackets() -> None:
    assert parse_uri("sip:[::1]:5070").host == "::1"


def test_the_user_part_is_unescaped_and_written_escaped_again() -> None:
    uri = parse_uri("sip:%2B86%2010%23@h")
    assert uri.user == "+86 10#"
    assert str(uri) == "sip:+86%2010%23@h"


def test_a_password_may_be_empty_and_is_escaped() -> None:
    assert str(parse_uri("sip:a:@h")) == "sip:a:@h"
    assert parse_uri("sip:a:%40@h").password == "@"


def test_a_tel_uri_has_the_number_as_user_and_no_host() -> None:
    assert parse_uri("tel:+8613800001111") == SipUri("tel", "+8613800001111")


def test_a_header_without_a_value_is_kept_empty() -> None:
    assert parse_uri("sip:h?subject").headers == {"subject": ""}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "alice@h",
        "sip:@h",
        "sip:a@",
        "sip:a@b@h",
        "sip:a b@h",
        "sip:a@h:port",
        "sip:a@h:70000",
        "sip:a@h;=x",
        "sip:a@h?x=<y>",
        "sip:a@[::1",
        "sip:张@h",
        "<sip:a@h>",
        "tel:alice",
        "tel:+86 10",
        "http://example.com",
        "1sip:a@h",
    ],
)
def test_what_is_no_sip_or_tel_uri_is_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        parse_uri(text)


def test_an_escaped_parameter_name_is_the_name() -> None:
    """RFC 3261 19.1.4 and RFC 4475 3.1.1.3; what would not be a name stays as written."""
    uri = parse_uri("sip:h;%6C%72;n%61me=v%61lue;%3B=1;lr=2;x=%20")
    assert uri.params == {"lr": None, "name": "v%61lue", "%3b": "1", "x": "%20"}
    assert parse_uri(str(uri)) == uri


def test_a_parameter_name_that_is_escaped_twice_is_the_same_read_again() -> None:
    """A finding of `make fuzz`."""
    uri = parse_uri("sip:h;u%2550=1;v%=2;%6Cr%zz")
    assert uri.params == {"u%2550": "1", "v%": "2", "%6cr%zz": None}
    assert parse_uri(str(uri)) == uri
