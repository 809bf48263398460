"""The primitives of the SIP grammar (RFC 3261 7.3.1, 19.1.2, 25.1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from softswitch.errors import SipParseError
from softswitch.sip.grammar import (
    LONGEST_REMEMBERED,
    bracket,
    escape,
    is_token,
    join_params,
    parse_number,
    quote,
    remembered,
    split_commas,
    split_params,
    unbracket,
    unescape,
    unquote,
)
from softswitch.sip.headers import parse_name_addr, parse_via
from softswitch.sip.uri import parse_uri


@pytest.mark.parametrize("text", ["INVITE", "z9hG4bK-1", "!interesting-Method0123456789_*+`.%indeed'~"])
def test_a_token_has_letters_digits_and_eleven_marks(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize("text", ["", "a b", "a/b", 'a"', "a@b", "a\n", "ä"])
def test_anything_else_is_no_token(text: str) -> None:
    assert not is_token(text)


@pytest.mark.parametrize("text", ["", "plain", 'say "hi"', "back\\slash", "电话", "a,b;c<d>"])
def test_quoting_and_unquoting_give_the_text_back(text: str) -> None:
    assert unquote(quote(text)) == text


def test_unquoting_decodes_every_quoted_pair() -> None:
    assert unquote(r'"a\b\"c\\"') == 'ab"c\\'


@pytest.mark.parametrize("text", ["token", "", '"', '"open', 'open"'])
def test_unquoting_leaves_what_is_not_quoted(text: str) -> None:
    assert unquote(text) == text


def test_escapes_are_decoded_as_utf8_and_strange_percents_stay() -> None:
    assert unescape("%61lice%zz%E5%BC%A0") == "alice%zz张"
    assert unescape("alice") == "alice"


def test_escaping_gives_bytes_that_are_no_utf8_back() -> None:
    assert escape(unescape("%ff#"), "") == "%FF%23"


def test_commas_split_a_list() -> None:
    assert split_commas("INVITE, ACK ,\tBYE") == ["INVITE", "ACK", "BYE"]


def test_commas_in_quotes_and_angle_brackets_do_not_split() -> None:
    text = r'"A, \", B" <sip:a@h>, <sip:b,c@h>;x="1,2",sip:d@h'
    assert split_commas(text) == [r'"A, \", B" <sip:a@h>', '<sip:b,c@h>;x="1,2"', "sip:d@h"]


def test_empty_elements_of_a_list_are_dropped() -> None:
    assert split_commas(" , a,,") == ["a"]
    assert split_commas("") == []


def test_a_quote_that_never_closes_reaches_to_the_end() -> None:
    assert split_commas('a, "b, c') == ["a", '"b, c']


@pytest.mark.parametrize("piece", ['\\"', '"', "<", "<,", '<">'])
def test_hostile_text_is_split_in_time_that_grows_with_its_length(piece: str) -> None:
    # A square of this length would take hours.
    split_commas('"' + piece * 1_000_000)


def test_parameters_are_lower_case_names_and_values_as_written() -> None:
    assert split_params(' ; LR ;Branch = z9hG4bK1;q="a;b"') == {"lr": None, "branch": "z9hG4bK1", "q": '"a;b"'}


def test_the_first_of_two_equal_parameters_counts() -> None:
    assert split_params(";tag=1;TAG=2") == {"tag": "1"}


def test_no_parameters_are_nothing_and_a_semicolon_may_end_them() -> None:
    assert split_params("") == {}
    assert split_params("; ") == {}
    assert split_params(";lr;") == {"lr": None}


@pytest.mark.parametrize("text", ["tag=1", ";;", ";;lr", ";=1", ";a b=1", "x;tag=1"])
def test_parameters_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SipParseError):
        split_params(text)


def test_joined_parameters_are_what_was_split() -> None:
    assert join_params({"lr": None, "x": "", "y": "1"}) == ";lr;x=;y=1"


def test_a_number_up_to_the_largest_is_read() -> None:
    assert parse_number("0070", name="Max-Forwards", largest=70) == 70


@pytest.mark.parametrize("text", ["", "-1", "1.0", "71", "9" * 5000, "٣", "²"])
def test_a_number_out_of_range_or_none_at_all_is_refused_by_name(text: str) -> None:
    with pytest.raises(SipParseError, match="Max-Forwards"):
        parse_number(text, name="Max-Forwards", largest=70)


@pytest.mark.parametrize(("plain", "written"), [("::1", "[::1]"), ("h.example", "h.example"), ("10.0.0.1", "10.0.0.1")])
def test_brackets_stand_around_ipv6_addresses_only(plain: str, written: str) -> None:
    assert bracket(plain) == written
    assert unbracket(written) == plain


def test_what_is_read_is_remembered_unless_it_is_long() -> None:
    """Two hundred of the longest that a message may hold would take a hundred megabytes."""
    read: list[int] = []
    parse = remembered(lambda text: read.append(len(text)))
    for size in (1, LONGEST_REMEMBERED, LONGEST_REMEMBERED + 1):
        for _ in range(2):
            parse("x" * size)
    assert read == [1, LONGEST_REMEMBERED, *[LONGEST_REMEMBERED + 1] * 2]


@pytest.mark.parametrize(
    ("parse", "begun"), [(parse_via, "SIP/2.0/UDP h"), (parse_name_addr, "<sip:a@h>"), (parse_uri, "sip:a@h")]
)
def test_no_header_of_thousands_of_parameters_is_remembered(parse: Callable[[str], object], begun: str) -> None:
    assert parse(f"{begun};x") is parse(f"{begun};x")
    long = begun + "".join(f";x{number}" for number in range(3000))
    assert parse(long) == parse(long)
    assert parse(long) is not parse(long)
