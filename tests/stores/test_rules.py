"""What a binding must satisfy before the store is asked (provisioning interface 1.5, 2.1, 3.1, 4.1)."""

from __future__ import annotations

import pytest

from softswitch.errors import BindingConflict
from softswitch.interfaces import App, Mode, PrivateNumber
from softswitch.stores import rules

APP = App("shop", Mode.AXE, extension_digits=2)
NUMBER = PrivateNumber("+8617000000001", APP)


@pytest.mark.parametrize(
    "number", ["+8613800000001", "+8675526000001", "+8670012345678901", "+8695588", "+86400123456"]
)
def test_mobile_fixed_700_95_and_400_numbers_are_numbers(number: str) -> None:
    rules.check_number("a", number)


@pytest.mark.parametrize(
    ("number", "app_key", "mode", "code"),
    [
        (None, None, Mode.AX, "1011001"),
        (None, None, Mode.AXB, "1012001"),
        (NUMBER, "other", Mode.AXE, "1012001"),
        (NUMBER, "shop", Mode.AXB, "1010040"),
    ],
)
def test_an_x_is_in_the_pool_of_the_app_and_of_its_mode(
    number: PrivateNumber | None, app_key: str | None, mode: Mode, code: str
) -> None:
    with pytest.raises(BindingConflict) as caught:
        rules.check_ownership(number, "+8617000000001", app_key, mode)
    assert caught.value.resultcode == code


def test_an_x_of_the_app_may_be_bound() -> None:
    assert rules.check_ownership(NUMBER, NUMBER.x, None, Mode.AXE) is NUMBER
    assert rules.check_ownership(NUMBER, NUMBER.x, "shop", Mode.AXE) is NUMBER


def test_extensions_run_from_one_to_all_nines() -> None:
    assert (rules.all_extensions(APP)[0], rules.all_extensions(APP)[-1]) == (1, 99)
    rules.check_extension(APP, "01")
    for wrong in ("00", "1", "100"):
        with pytest.raises(BindingConflict, match="extension"):
            rules.check_extension(APP, wrong)


def test_a_tone_is_a_plain_file_name() -> None:
    rules.check_options(APP, rules.BindingOptions(announcement="Shop-1_a@b.wav"))
    with pytest.raises(BindingConflict, match="announcement"):
        rules.check_options(APP, rules.BindingOptions(announcement="a/b.wav"))


@pytest.mark.parametrize("key", ["", " ", "\t", " shop", "shop ", "s" * 129])
def test_the_key_of_an_app_is_something_without_space_around_it(key: str) -> None:
    rules.check_app(App("flower shop", Mode.AX))
    with pytest.raises(BindingConflict, match="app "):
        rules.check_app(App(key, Mode.AX))
