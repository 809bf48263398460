"""What is printed: tables without empty columns, JSON, error lines."""

from __future__ import annotations

import pytest

from softswitch.cli import output
from softswitch.errors import BindingConflict, ConfigError
from softswitch.interfaces import App, Binding, Mode, PrivateNumber
from softswitch.stores.provisioning import Page

NUMBER = PrivateNumber("+8617000000001", App("shop", Mode.AXB))


def test_columns_that_are_empty_everywhere_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_list([NUMBER], output.NUMBERS, False)
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["X", "app", "mode"]
    assert row.split() == ["+8617000000001", "shop", "AXB"]


def test_an_empty_list_still_says_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_page(Page([], 0), output.NUMBERS, False, 1, 50)
    assert capsys.readouterr().out.split()[-3:] == ["area", "city", "none"]


@pytest.mark.parametrize(
    ("items", "total", "page", "words"),
    [
        (2, 5, 1, "1 to 2 of 5; more by --page 2"),
        (1, 5, 3, "5 to 5 of 5"),
        (0, 5, 4, "none of 5"),
    ],
)
def test_a_page_says_which_part_it_is(
    items: int, total: int, page: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_page(Page([NUMBER] * items, total), output.NUMBERS, False, page, 2)
    assert capsys.readouterr().out.splitlines()[-1].strip() == words


def test_one_record_is_an_object_and_several_are_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_one(NUMBER, output.NUMBERS, True)
    assert capsys.readouterr().out.startswith('{\n  "x": "+8617000000001"')
    output.print_list([NUMBER], output.NUMBERS, True)
    assert capsys.readouterr().out.startswith('[\n  {\n    "x"')


def test_options_that_were_set_are_shown_with_a_binding(capsys: pytest.CaptureFixture[str]) -> None:
    binding = Binding("1", "shop", Mode.AX, "+8617000000001", "+8613800000001", turned_on=False, user_data="[b]order")
    output.print_one(binding, output.BINDINGS, False)
    assert "turned_on=False, user_data=[b]order" in capsys.readouterr().out


def test_an_error_line_names_the_program_and_the_result_code() -> None:
    assert output.error_line(ConfigError("a.toml: x", "expected y")) == "softswitch: a.toml: x: expected y"
    assert output.error_line(BindingConflict("1012010", "bound")) == "softswitch: 1012010 bound"
