"""What log lines show: of no number all digits, however it is written and whatever stands beside it; days and UUIDs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import assume, example, given
from hypothesis import strategies as st

from softswitch.logs import masked

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31), timezones=st.sampled_from([None, UTC]))
UUIDS = st.uuids(version=4).map(str)
NUMBERS = st.from_regex(r"[0-9]{7,20}", fullmatch=True)
WORDS = st.text("abcdefTZ xyz:@<>\"'=,;", max_size=6)
BESIDE = st.sampled_from(
    ["2026-03-02", "2026-03-02T10:00:00", "550e8400-e29b-41d4-a716-44665544abcd", "20260302", "5060"]
)
GLUE = st.sampled_from(["-", "_", "*", "@", " ", ":", ".", ";", "T", "--"])


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A number with what may stand between its digits: more of that where a `+` tells what it is."""
    number = draw(NUMBERS)
    plus = draw(st.booleans())
    between = st.text(" .()-/*_" if plus else "*_-", max_size=3 if plus else 2)
    gaps = [draw(between) if draw(st.integers(0, 2)) == 0 else "" for _ in number[1:]]
    return "+" * plus + number[0] + "".join(gap + digit for gap, digit in zip(gaps, number[1:], strict=True))


def digits(text: str) -> int:
    return sum(character.isdecimal() for character in text)


@given(WORDS, spelled(), WORDS)
@example("", "138-0000-1234", "")
@example("", "+86 (755) 8888-0001", "")
def test_four_digits_of_a_number_are_hidden_however_it_is_written(before: str, number: str, behind: str) -> None:
    assume(not re.fullmatch(r"(19|20)\d\d-\d\d-\d\d", number))
    assert digits(masked(before + number + behind)) <= digits(number) - 4


@given(BESIDE, GLUE, NUMBERS, GLUE, BESIDE)
@example("2026-03-02T10:00:00", ".", "1380000", "-", "2026-03-02")
@example("20260302", "_", "13800001234", "_", "20260302")
def test_no_number_is_shown_whatever_stands_beside_it(
    before: str, glue: str, number: str, more: str, behind: str
) -> None:
    assert number not in masked(f"{before}{glue}{number}{more}{behind}").replace(before, "").replace(behind, "")


@given(BESIDE, GLUE, st.from_regex(r"1[3-9][0-9]-[0-9]{4}-[0-9]{4}", fullmatch=True), GLUE, BESIDE)
@example("x", "-", "138-0000-1234", "_", "20260302")
@example("x", "-", "138-0000-1234", "-", "2026-03-02")
def test_a_number_in_groups_is_not_shown_whatever_stands_beside_it(
    before: str, glue: str, number: str, more: str, behind: str
) -> None:
    assert number not in masked(f"{before}{glue}{number}{more}{behind}")


@given(WORDS, MOMENTS, WORDS)
def test_days_and_times_are_shown(before: str, moment: datetime, behind: str) -> None:
    for written in (moment.isoformat(), str(moment), moment.date().isoformat(), f"{moment:%Y-%m-%dT%H:%M:%SZ}"):
        line = f"{before}{written} {behind}"
        assert masked(line) == line


@given(UUIDS)
@example("41527837-8658-4284-9a87-baff3dffbc74")
@example("f1527837-8658-4284-9a87-b3800001234a")
def test_a_uuid_is_shown_unless_it_begins_or_ends_as_a_number_does(uuid: str) -> None:
    line = f"session {uuid}@h ended"
    if re.search(r"\d{10}|^[\d-]{18}", uuid):
        assert masked(line) != line
    else:
        assert masked(line) == line


@given(UUIDS, st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), st.sampled_from(["", "0", "a", "0a"]))
def test_a_number_that_is_dressed_as_a_uuid_is_hidden(uuid: str, number: str, filling: str) -> None:
    dressed = uuid[:24] + (filling + number)[-12:].rjust(12, "f")
    assert number not in masked(dressed)
    assert number not in masked(f"{uuid}{number}")
    assert number not in masked(f"{uuid}-{number}")


@given(st.one_of(WORDS, NUMBERS, spelled(), st.text("+0123456789\u0663-", max_size=20)))
@example("+8613800001234")
@example("1380000")
@example("+138000")
@example("5060-01")
def test_a_number_alone_is_masked_as_it_is_within_a_text(text: str) -> None:
    """What is only a number, or too short to have one, takes a shorter way."""
    assert masked(f"<{text}>") == f"<{masked(text)}>"
