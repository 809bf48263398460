"""`softswitch check`: every part is looked at, nothing is changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from softswitch.cli.check import Finding, findings
from softswitch.stores.provisioning import open_provisioning
from tests.cli.conftest import CommandLine


def found(cli: CommandLine) -> dict[str, Finding]:
    return {finding.part: finding for finding in findings(str(cli.config))}


@pytest.fixture
def database(cli: CommandLine) -> Path:
    path = cli.folder / "var" / "softswitch.db"
    open_provisioning(str(path)).close()
    return path


def set_revision(database: Path, revision: str | None) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM alembic_version")
        if revision is not None:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    connection.close()


def test_a_store_that_is_not_there_is_not_made(cli: CommandLine) -> None:
    assert found(cli)["store"] == Finding("store", True, "var/softswitch.db is not there yet: made when first used")
    assert not (cli.folder / "var").exists()


def test_a_store_tells_what_is_in_it(cli: CommandLine, database: Path) -> None:
    cli.ok("number", "add", "17000000001", "--app", "shop", "--mode", "AXB")
    assert found(cli)["store"].words == "var/softswitch.db: 1 numbers, 0 bindings"


def test_an_old_store_is_left_for_the_switch_to_migrate(cli: CommandLine, database: Path) -> None:
    set_revision(database, None)
    assert "is brought to schema" in found(cli)["store"].words


def test_a_store_newer_than_the_code_is_an_error(cli: CommandLine, database: Path) -> None:
    set_revision(database, "9999")
    store = found(cli)["store"]
    assert not store.ok
    assert "schema 9999, newer" in store.words


def test_a_broken_part_does_not_hide_the_others(cli: CommandLine) -> None:
    (cli.folder / "plans").mkdir()
    cli.config.write_text(cli.config.read_text().replace('/dialplans"', '/dialplans/none"'))
    parts = found(cli)
    assert not parts["dialplans"].ok
    assert parts["prompts"].ok
    assert parts["store"].ok
    assert "tones" not in parts


def test_a_prompt_that_a_treatment_names_must_be_there(cli: CommandLine) -> None:
    plans = cli.folder / "plans"
    plans.mkdir()
    repository = Path(__file__).parent.parent.parent
    for name in ("10-china.toml", "90-example.toml"):
        (plans / name).write_text((repository / "dialplans" / name).read_text(encoding="utf-8"), encoding="utf-8")
    (plans / "95.toml").write_text('[treatment.shop]\nannouncement = "shop_calls"\n')
    cli.config.write_text(cli.config.read_text().replace(f"{repository}/dialplans", str(plans)))
    tones = found(cli)["tones"]
    assert not tones.ok
    assert "shop_calls (zh-CN)" in tones.words


def test_prompts_that_wait_for_approval_are_named(cli: CommandLine) -> None:
    folder = cli.folder / "prompts" / "zh-CN"
    folder.mkdir(parents=True)
    repository = Path(__file__).parent.parent.parent
    (folder / "a.wav").write_bytes((repository / "prompts" / "zh-CN" / "announcement.wav").read_bytes())
    (folder / "index.toml").write_text('[[prompt]]\nname = "shop"\nfile = "a.wav"\napproved = false\n')
    cli.config.write_text(cli.config.read_text().replace(f"{repository}/prompts", str(folder.parent)))
    assert found(cli)["prompts"].words == "1 in zh-CN; not approved: zh-CN/shop"
