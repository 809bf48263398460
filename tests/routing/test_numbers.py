"""Numbers in every form that trunks write, to E.164 and back (ITU-T E.164, RFC 3966, RFC 3261 19.1.1)."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from softswitch.routing.numbers import (
    Dialled,
    NumberClass,
    NumberForm,
    NumberPlan,
    NumberRules,
    classify,
    normalise,
    splits,
    to_form,
    with_extension,
)
from tests.routing.scene import ABROAD, FIXED_LINE, RULES, X_700, A, X

# Another country: the national prefix is the country code's own digit.
NORTH_AMERICA = NumberRules(
    NumberPlan("1", national_prefix="1", international_prefixes=("011",)),
    (NumberClass("geographic", lengths=(10,), extension_digits=4),),
)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+8613800000001", A),
        ("008613800000001", A),
        ("8613800000001", A),
        ("13800000001", A),
        ("013800000001", A),
        ("+86 138-0000-0001", A),
        ("(138) 0000.0001", A),
        ("+008613800000001", A),
        ("00008613800000001", A),
        ("075528880001", FIXED_LINE),
        ("75528880001", FIXED_LINE),
        ("+8675528880001", FIXED_LINE),
        ("+86075528880001", FIXED_LINE),
        ("86075528880001", FIXED_LINE),
        ("0086075528880001", FIXED_LINE),
        ("01012345678", "+861012345678"),
        ("4001234567", "+864001234567"),
        ("95566", "+8695566"),
        ("8695566", "+8695566"),
        ("110", "+86110"),
        ("0012125550001", ABROAD),
        ("+12125550001", ABROAD),
        ("+85221234567", "+85221234567"),
        ("sip:+8613800000001@192.0.2.1:5060;user=phone", A),
        ("sips:13800000001@sip.example", A),
        ("<sip:13800000001@sip.example;transport=udp>;tag=1", A),
        ('"A" <tel:+86-138-0000-0001>', A),
        ("TEL:13800000001;phone-context=+86", A),
        ("tel:28880001;phone-context=+86755", FIXED_LINE),
        ("tel:75528880001;phone-context=+755", FIXED_LINE),
        ("tel:13800000001;phone-context=example.com", A),
        ("sip:%2B8613800000001@sip.example?Subject=x", A),
        ("99", "+8699"),
        ("861", "+861"),
        ("0", "+86"),
    ],
)
def test_every_way_of_writing_a_number_is_the_same_number(written: str, number: str) -> None:
    assert normalise(written, RULES) == Dialled(number)


@pytest.mark.parametrize("written", ["", "+", "anonymous", "sip:192.0.2.1", "00", "+0000", "1" * 33, "١٣٨", "*100#"])
def test_what_holds_no_number_gives_none(written: str) -> None:
    assert normalise(written, RULES) == Dialled("")


@pytest.mark.parametrize(
    "written",
    [
        "17000000001,1234",
        "+8617000000001,,1234#",
        "+8617000000001;ext=1234",
        "+8617000000001;EXT=12-34",
        "17000000001;isub=1234",
        "sip:+8617000000001;ext=1234@sip.example;user=phone",
        "sip:+8617000000001@sip.example;isub=1234",
        "sip:17000000001%2C1234@sip.example",
        "tel:+86-170-0000-0001;ext=1234",
    ],
)
def test_an_extension_written_beside_x_is_told_apart(written: str) -> None:
    assert normalise(written, RULES) == Dialled(X, "1234")


@pytest.mark.parametrize("written", ["17000000001,", "17000000001;ext=", "17000000001;ext=abc", "17000000001,w"])
def test_an_extension_that_holds_no_digits_is_none(written: str) -> None:
    assert normalise(written, RULES) == Dialled(X)


@pytest.mark.parametrize(
    "written",
    ["170000000011234", "86170000000011234", "+86170000000011234", "0086170000000011234", "0170000000011234"],
)
def test_digits_behind_x_are_split_off_in_every_form(written: str) -> None:
    number = normalise(written, RULES).number
    assert list(splits(number, RULES)) == [("+86170000000011234", None), (X, "1234")]


@pytest.mark.parametrize("extension", ["1", "12", "123", "1234"])
def test_one_to_four_digits_behind_x_do_not_hide_the_country_code(extension: str) -> None:
    number = normalise(f"8617000000001{extension}", RULES).number
    assert (X, extension) in list(splits(number, RULES))


def test_a_15_digit_700_number_is_whole_first_and_then_11_digits_with_4() -> None:
    assert list(splits(X_700 + "1234", RULES)) == [(X_700 + "1234", None), (X_700, "1234")]


@pytest.mark.parametrize("number", [FIXED_LINE, ABROAD, "+86999999999999999", "+86"])
def test_numbers_that_are_no_x_are_not_split(number: str) -> None:
    assert list(splits(number, RULES)) == [(number, None)]


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (A, "mobile"),
        (FIXED_LINE, "fixed"),
        ("+861012345678", "fixed"),
        (X_700, "700"),
        (X_700 + "1234", "700"),
        ("+864001234567", "400"),
        ("+8695566", "95"),
        ("+8610086", "95"),
        (ABROAD, "international"),
        ("+85221234567", "international"),
        ("+8613800", "unknown"),
        ("+86170000000011234", "unknown"),
        ("", "unknown"),
    ],
)
def test_classes_of_numbers_in_china(number: str, name: str) -> None:
    assert classify(number, RULES) == name


@pytest.mark.parametrize(
    ("number", "form", "written"),
    [
        (A, NumberForm.E164, "+8613800000001"),
        (A, NumberForm.E164_DIGITS, "8613800000001"),
        (A, NumberForm.NATIONAL, "13800000001"),
        (FIXED_LINE, NumberForm.NATIONAL, "075528880001"),
        ("+8695566", NumberForm.NATIONAL, "95566"),
        ("+8619", NumberForm.NATIONAL, "19"),
        (ABROAD, NumberForm.NATIONAL, "0012125550001"),
        ("", NumberForm.NATIONAL, ""),
    ],
)
def test_numbers_are_written_as_trunks_want_them(number: str, form: NumberForm, written: str) -> None:
    assert to_form(number, form, RULES) == written


@pytest.mark.parametrize(
    ("x", "extension", "shown"),
    [
        (X_700, "1234", X_700 + "1234"),
        (X_700, None, X_700),
        (X_700, "12", X_700),
        (X_700 + "1234", "1234", X_700 + "1234"),
        (X, "1234", X),
        (ABROAD, "1234", ABROAD),
    ],
)
def test_only_a_700_number_is_shown_with_its_extension(x: str, extension: str | None, shown: str) -> None:
    assert with_extension(x, extension, RULES) == shown


def test_a_country_whose_national_prefix_is_its_code_reads_both_ways() -> None:
    for written in ("2125550001", "12125550001", "+12125550001", "01112125550001"):
        assert normalise(written, NORTH_AMERICA) == Dialled(ABROAD)
    assert normalise("0118613800000001", NORTH_AMERICA) == Dialled(A)
    assert to_form(A, NumberForm.NATIONAL, NORTH_AMERICA) == "0118613800000001"


numbers_as_written = st.text("+0123456789", max_size=20) | st.text("+0168;,=exti@:<> -%2CsipTEL", max_size=40)


@given(st.text() | numbers_as_written, st.sampled_from([RULES, NORTH_AMERICA]))
@example("sip:%", RULES)
@example("+11", NORTH_AMERICA)
def test_any_text_gives_e164_or_nothing_and_normalising_twice_changes_nothing(text: str, rules: NumberRules) -> None:
    dialled = normalise(text, rules)
    assert dialled.number == "" or (dialled.number[0] == "+" and dialled.number[1:].isdigit())
    assert normalise(dialled.number, rules) == Dialled(dialled.number)


@given(
    st.from_regex(r"\+?[0-9]{0,33}", fullmatch=True) | st.from_regex(r"\+?\d{1,5}\+?", fullmatch=True),
    st.sampled_from([RULES, NORTH_AMERICA]),
    st.sampled_from([None, *NumberForm]),
)
@example("", RULES, None)
def test_a_number_with_nothing_beside_it_is_read_as_any_text_is(
    text: str, rules: NumberRules, form: NumberForm | None
) -> None:
    whole, padded = f"sip:{text}@host", f" {text}"
    assert normalise(text, rules, form) == normalise(whole, rules, form) == normalise(padded, rules, form)


@given(st.from_regex(r"1[3-9][0-9]{9}|700[0-9]{8}|400[0-9]{7}|0[2-9][0-9]{9,10}", fullmatch=True))
def test_every_form_that_we_write_is_read_back(written: str) -> None:
    number = normalise(written, RULES).number
    for form in NumberForm:
        assert normalise(to_form(number, form, RULES), RULES).number == number


@given(numbers_as_written)
def test_splits_always_put_the_same_digits_together(text: str) -> None:
    number = normalise(text, RULES).number
    assert all(x + (extension or "") == number for x, extension in splits(number, RULES))


@pytest.mark.parametrize(
    ("written", "form", "number"),
    [
        ("8613800000001", NumberForm.E164_DIGITS, "+8613800000001"),
        ("12125550001", NumberForm.E164_DIGITS, "+12125550001"),  # guessed it would be a strange number of our own
        ("12125550001", None, "+8612125550001"),
        ("12125550001", NumberForm.NATIONAL, "+8612125550001"),
        ("075528880001", NumberForm.NATIONAL, "+8675528880001"),
        ("07551234", NumberForm.NATIONAL, "+8607551234"),
        ("13800000001", NumberForm.E164, "+13800000001"),
        ("+8613800000001", NumberForm.NATIONAL, "+8613800000001"),
        ("0012125550001", NumberForm.NATIONAL, "+12125550001"),
        ("170000000011234", NumberForm.NATIONAL, "+86170000000011234"),
    ],
)
def test_a_trunk_may_say_which_form_it_writes(written: str, form: NumberForm | None, number: str) -> None:
    assert normalise(written, RULES, form).number == number


@given(st.from_regex(r"1[3-9][0-9]{9}|700[0-9]{8}|400[0-9]{7}|0[2-9][0-9]{9,10}", fullmatch=True))
def test_every_form_is_read_as_what_it_was_written_as(written: str) -> None:
    number = normalise(written, RULES).number
    for form in NumberForm:
        assert normalise(to_form(number, form, RULES), RULES, form).number == number
