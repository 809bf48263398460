"""What commands share: configuration, dialplan and store are opened when a command needs them, and once."""

from __future__ import annotations

import pytest
import typer

from softswitch.cli.session import Session, seconds_of
from softswitch.errors import ConfigError
from tests.cli.conftest import CommandLine


def test_nothing_is_read_before_it_is_needed() -> None:
    session = Session("nowhere.toml")
    with pytest.raises(ConfigError):
        _ = session.config


def test_configuration_and_dialplan_are_read_once(cli: CommandLine) -> None:
    session = Session(None)
    assert session.config is session.config
    assert session.dialplan is session.dialplan


def test_numbers_are_read_in_every_form_of_the_dialplan(cli: CommandLine) -> None:
    session = Session(None)
    for text in ("13800000001", "+8613800000001", "8613800000001", "138-0000-0001"):
        assert session.number(text) == "+8613800000001"
    assert session.number("0755 26000001") == "+8675526000001"
    assert session.optional_number(None) is None
    with pytest.raises(typer.BadParameter, match="'x' is not a phone number"):
        session.optional_number("x")


def test_the_store_is_closed_after_its_block(cli: CommandLine) -> None:
    with Session(None).provisioning(make=True) as store:
        assert store.list_numbers() == ([], 0)
    assert (cli.folder / "var" / "softswitch.db").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("number", "list"),
        ("bindings",),
        ("cdr",),
        ("explain", "--from", "13800000001", "--to", "17000000001"),
        ("bind", "ax", "17000000001", "13800000001"),
        ("unbind", "5b6f0c1e"),
        ("callee", "set", "17000000001", "13800000002"),
    ],
    ids=" ".join,
)
def test_in_a_directory_without_a_store_none_is_made_and_where_it_was_sought_is_told(
    cli: CommandLine, command: tuple[str, ...]
) -> None:
    told = cli.fails(*command)
    assert f"there is no store at {cli.folder}/var/softswitch.db yet (store.url)" in told
    assert "--config FILE" in told
    assert not (cli.folder / "var").exists()


def test_durations_are_a_number_and_a_unit() -> None:
    assert [seconds_of(text) for text in ("90s", "10m", "2h", "7d")] == [90, 600, 7200, 604800]
    for text in ("", "10", "h", "1.5h", "0s", "-1h", f"{10**9}s", "9" * 5000 + "s"):
        with pytest.raises(typer.BadParameter, match="is not like 90s"):
            seconds_of(text)
