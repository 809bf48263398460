"""Commands that change or list the pool, bindings and temporary callees, over a real SQLite file."""

from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine

X, A, B = "17000000001", "13800000001", "13800000002"


def axb_number(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "shop", "--mode", "AXB", "--area", "0755", "--city", "深圳")


def test_numbers_are_added_and_listed(cli: CommandLine) -> None:
    added = cli.json("number", "add", X, "+8617000000002", "--app", "parcels", "--mode", "axe", "--digits", "3")
    assert [number["x"] for number in added] == ["+8617000000001", "+8617000000002"]
    assert added[0]["app"] == {"key": "parcels", "mode": "AXE", "extension_digits": 3, "recording": True}
    assert cli.json("number", "list", "--app", "parcels") == added
    assert cli.json("number", "list", "--app", "shop") == []
    table = cli.ok("number", "list", "--limit", "1")
    assert "+8617000000001  parcels  AXE" in table
    assert "1 to 1 of 2; more by --page 2" in table


def test_a_number_of_another_mode_is_refused_with_the_result_code(cli: CommandLine) -> None:
    axb_number(cli)
    told = cli.fails("number", "add", "17000000009", "--app", "shop", "--mode", "AX")
    assert told == "softswitch: 1010040 app shop is AXB for good\n"
    cli.ok("number", "add", "17000000031", "--app", "parcels", "--mode", "AXE", "--digits", "3")
    told = cli.fails("number", "add", "17000000032", "--app", "parcels", "--mode", "AXE")
    assert "app parcels is AXE with 3 extension digits for good" in told


def test_no_number_is_added_where_one_of_them_is_none(cli: CommandLine) -> None:
    cli.misused("number", "add", X, "abc", "--app", "shop", "--mode", "AXB")
    assert "there is no store" in cli.fails("number", "list")


def test_what_is_no_phone_number_is_misuse(cli: CommandLine) -> None:
    assert "'seven' is not a phone number" in cli.misused("bind", "ax", "seven", A)
    assert "is not a phone number" in cli.misused("bindings", "--x", "")


def test_a_number_that_no_class_of_the_dialplan_knows_is_misuse(cli: CommandLine) -> None:
    """It could neither be dialled nor reached."""
    told = "'5' is +865, which is of no number class of the dialplan (mobile, 700, 400, 95, fixed)"
    assert told in cli.misused("number", "add", "5", "--app", "shop", "--mode", "AXB")
    axb_number(cli)
    assert "'+86 5' is +865" in cli.misused("bind", "axb", X, A, "+86 5")
    assert "is of no number class" in cli.misused("callee", "set", X, "138000")
    cli.ok("bind", "axb", X, A, "+12125550001")  # other countries' are not ours to tell
    assert cli.json("number", "add", "95588", "--app", "bank", "--mode", "AX")[0]["x"] == "+8695588"
    assert cli.json("bindings", "--x", "5") == []


def test_a_prompt_that_is_not_there_is_misuse(cli: CommandLine) -> None:
    """Calls would fail for it (7107), or go without."""
    axb_number(cli)
    for option in ("--announcement", "--last-minute-tone", "--caller-ringback", "--callee-ringback"):
        told = cli.misused("bind", "axb", X, A, B, option, "nosuch")
        assert "there is no prompt 'nosuch'; there are announcement, connecting, " in told
        assert ", and the tones ringback, busy, congestion" in told
    assert "no prompt 'nosuch'" in cli.misused("bind", "axe", X, A, "--callback-tone", "nosuch")
    assert cli.json("bindings") == []


def test_an_axb_binding_is_made_from_national_numbers(cli: CommandLine) -> None:
    axb_number(cli)
    options = ["--duration", "60", "--direction", "1", "--max-duration", "120", "--last-minute-tone", "last_minute"]
    options += ["--record", "--announcement", "announcement", "--caller-ringback", "connecting.wav"]
    options += ["--callee-ringback", "powered_off"]
    binding = cli.json("bind", "axb", X, A, "+86 138-0000-0002", *options, "--user-data", "order-1")
    assert (binding["x"], binding["a"], binding["b"]) == ("+8617000000001", "+8613800000001", "+8613800000002")
    assert binding["expires_at"] - binding["created_at"] == 60
    told = ("call_direction", "max_duration_s", "record", "announcement", "callee_ringback", "user_data")
    assert [binding[name] for name in told] == [1, 120, True, "announcement", "powered_off", "order-1"]
    assert cli.json("bindings") == [binding]
    table = cli.ok("bindings", "--number", B, "--mode", "axb")
    assert binding["id"] in table
    assert "announcement=announcement" in table


def test_a_broken_rule_is_told_with_its_result_code(cli: CommandLine) -> None:
    axb_number(cli)
    cli.ok("bind", "axb", X, A, B)
    assert cli.fails("bind", "axb", X, B, "13800000003").startswith("softswitch: 1012010 The relation number has been")


def test_an_ax_binding_may_be_switched_off(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "cars", "--mode", "AX", "--no-recording")
    assert cli.json("bind", "ax", X, A, "--off")["turned_on"] is False


def test_an_axe_binding_gets_an_extension(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "parcels", "--mode", "AXE", "--digits", "2")
    chosen = cli.json("bind", "axe", X, A)["extension"]
    assert len(chosen) == 2
    wanted = "42" if chosen != "42" else "43"
    binding = cli.json("bind", "axe", X, B, "--extension", wanted, "--callback-number", "0755-26000001")
    assert (binding["extension"], binding["callback_number"]) == (wanted, "+8675526000001")
    assert cli.json("bindings", "--extension", wanted) == [binding]
    assert wanted in cli.ok("bindings", "--x", X)


def test_bindings_are_removed_by_id_or_by_x_and_extension(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "parcels", "--mode", "AXE", "--digits", "1")
    first = cli.json("bind", "axe", X, A, "--extension", "1")
    for extension in ("2", "3"):
        cli.ok("bind", "axe", X, A, "--extension", extension)
    assert cli.json("unbind", first["id"]) == [first]
    assert "1 removed" in cli.ok("unbind", "--x", X, "--extension", "2")
    assert "1 removed" in cli.ok("unbind", "--x", X)
    assert cli.json("bindings") == []
    assert "1016001 no binding" in cli.fails("unbind", first["id"])


def test_unbind_wants_one_of_id_and_x(cli: CommandLine) -> None:
    assert "either the id" in cli.misused("unbind")
    assert "either the id" in cli.misused("unbind", "id", "--x", X)


def test_an_id_is_not_unbound_with_an_extension_beside_it(cli: CommandLine) -> None:
    """Which of the two is meant nobody knows, and what is removed is gone."""
    cli.ok("number", "add", X, "--app", "parcels", "--mode", "AXE", "--digits", "1")
    binding = cli.json("bind", "axe", X, A, "--extension", "1")
    assert "--extension is one of an X" in cli.misused("unbind", binding["id"], "--extension", "2")
    assert cli.json("bindings") == [binding]


def test_what_is_not_bound_is_named_as_it_was_asked_for(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "parcels", "--mode", "AXE", "--digits", "1")
    assert "no binding ''" in cli.fails("unbind", "")
    assert "no binding +8617000000001, extension '2'" in cli.fails("unbind", "--x", X, "--extension", "2")
    assert cli.fails("unbind", "--x", X).endswith("no binding +8617000000001\n")


def test_a_temporary_callee_is_set(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "cars", "--mode", "AX")
    binding = cli.json("bind", "ax", X, A)
    record = cli.json("callee", "set", X, B, "--duration", "120", "--user-data", "job")
    assert (record["binding_id"], record["callee"], record["user_data"]) == (binding["id"], "+8613800000002", "job")
    assert "+8613800000002" in cli.ok("callee", "set", X, B)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--direction", "5"),
        ("--duration", "-1"),
        ("--duration", "7776001"),
        ("--max-duration", "86401"),
        ("--user-data", "a^b"),
        ("--user-data", "x" * 257),
    ],
)
def test_a_wrong_option_is_told_by_the_name_that_was_typed(cli: CommandLine, option: str, value: str) -> None:
    assert f"Invalid value for '{option}'" in cli.misused("bind", "axb", X, A, B, option, value)


def test_options_that_exclude_each_other_are_misuse(cli: CommandLine) -> None:
    told = cli.misused("bind", "axe", X, A, "--callback-tone", "connecting", "--callback-number", B)
    assert "give --callback-tone or --callback-number" in told
    assert "'--callback-lifetime'" in cli.misused("bind", "axe", X, A, "--callback-lifetime", "-1")
    assert "'--duration'" in cli.misused("callee", "set", X, B, "--duration", "0")
