"""`softswitch check`: every part is looked at, nothing is changed."""

from __future__ import annotations

import errno
import os
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


def test_a_store_that_can_not_be_made_is_an_error(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    (cli.folder / "var").write_text("a file")
    store = found(cli)["store"]
    assert not store.ok
    assert store.words == f"var/softswitch.db can't be made: {cli.folder}/var is no directory"
    (cli.folder / "var").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root, who runs tests, may write anywhere
    assert found(cli)["store"].words.endswith(f"{cli.folder} can't be written by this user")


def test_a_store_that_can_not_be_looked_for_is_an_error(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root, who runs tests, may look everywhere."""
    exists = Path.exists

    def closed(path: Path) -> bool:
        if path.name == "softswitch.db":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", closed)
    assert found(cli)["store"] == Finding(
        "store", False, "var/softswitch.db can't be looked for by this user: Permission denied"
    )


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


def test_addresses_of_rtp_must_be_of_this_machine(cli: CommandLine) -> None:
    assert found(cli)["media"] == Finding("media", True, "RTP ports can be opened on 127.0.0.1")
    written = cli.config.read_text()
    cli.config.write_text(written + '[media]\nbind = "203.0.113.1"\n')
    assert found(cli)["media"].words.startswith("media.bind: no port can be opened on 203.0.113.1: ")
    assert not found(cli)["media"].ok
    cli.config.write_text(written + '[media]\nbind = "203.0.113.1"\nserver = "their.sock"\n')
    assert "media" not in found(cli)


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
    (plans / "95.toml").write_text('[treatment.AXE]\nlanguage = "en_US"\n')
    tones = found(cli)["tones"]  # calls would be heard in another, and nobody told
    assert not tones.ok
    assert tones.words == "treatments name languages that are not there: en_US; there are en-US, zh-CN"


def keep(cli: CommandLine, **days: int) -> None:
    """A dialplan that keeps recordings of these apps for so long."""
    set_trunk(cli, "", "")
    text = "".join(f'[[app]]\nname = "{app}"\nrecording_keep_days = {number}\n' for app, number in days.items())
    (cli.folder / "plans" / "99.toml").write_text(text)


def test_how_long_recordings_are_kept_is_told_of_all_apps_and_of_those_that_differ(cli: CommandLine) -> None:
    assert found(cli)["recordings"] == Finding("recordings", True, "kept 7 days")
    keep(cli, bank=183, court=0)
    cli.config.write_text(cli.config.read_text() + "[recording]\nkeep_days = 0\n")
    assert found(cli)["recordings"].words == "kept for ever; bank: 183 days; court: for ever"


def test_an_app_whose_recordings_are_to_be_kept_must_be_there(cli: CommandLine, database: Path) -> None:
    """A slip of the pen would cost recordings that the law wants kept."""
    keep(cli, bank=183)
    words = "dialplans: app: expected apps of the store, not 'bank'; there is none"
    assert found(cli)["recordings"] == Finding("recordings", False, words)
    cli.ok("number", "add", "17000000001", "--app", "bnak", "--mode", "AXB")
    assert found(cli)["recordings"].words.endswith("not 'bank'; there are bnak")
    cli.ok("number", "add", "17000000002", "--app", "bank", "--mode", "AXB")
    assert found(cli)["recordings"] == Finding("recordings", True, "kept 7 days; bank: 183 days")
    set_revision(database, None)
    assert found(cli)["recordings"].ok  # who knows which apps there will be


@pytest.mark.parametrize(
    ("trunk", "server", "suites", "told"),
    [
        ('srtp = "off"', "", (), {}),
        ('srtp = "required"\ntransport = "tls"', "", ("AEAD_AES_256_GCM",), {"for carrier": True}),
        ('srtp = "required"', "", ("AEAD_AES_256_GCM",), {"keys go in clear with the signalling of carrier": True}),
        ('srtp = "required"\ntransport = "tls"', "", (), {"wanted by carrier: the media core is built without": False}),
        ('srtp = "allowed"\ntransport = "tls"', "", (), {"wanted by carrier": True}),
        ('srtp = "required"\ntransport = "tls"', "/run/media.sock", (), {"for carrier": True}),
        (
            'srtp = "required"\nsrtp_suites = ["AES_CM_128_HMAC_SHA1_32"]',
            "",
            ("AEAD_AES_256_GCM",),
            {"wanted by carrier": False, "keys go in clear": True},
        ),
    ],
)
def test_srtp_must_be_had_and_its_keys_are_better_not_seen(
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    trunk: str,
    server: str,
    suites: tuple[str, ...],
    told: dict[str, bool],
) -> None:
    monkeypatch.setattr("media._native.SRTP_SUITES", suites)
    set_trunk(cli, trunk, server)
    heard = [finding for finding in findings(str(cli.config)) if finding.part == "srtp"]
    assert [finding.ok for finding in heard] == list(told.values())
    assert all(words in finding.words for words, finding in zip(told, heard, strict=True))


def set_trunk(cli: CommandLine, trunk: str, server: str) -> None:
    """A dialplan of one trunk, and a media server that runs already (or none)."""
    plans = cli.folder / "plans"
    plans.mkdir()
    china = Path(__file__).parent.parent.parent / "dialplans" / "10-china.toml"
    (plans / china.name).write_text(china.read_text(encoding="utf-8"), encoding="utf-8")
    (plans / "95.toml").write_text(f'[[trunk]]\nname = "carrier"\nhost = "192.0.2.7"\n{trunk}\n')
    cli.config.write_text(f'[dialplan]\ndirectory = "{plans}"\n[media]\nserver = "{server}"\n')


def test_prompts_that_wait_for_approval_are_named(cli: CommandLine) -> None:
    folder = cli.folder / "prompts" / "zh-CN"
    folder.mkdir(parents=True)
    repository = Path(__file__).parent.parent.parent
    (folder / "a.wav").write_bytes((repository / "prompts" / "zh-CN" / "announcement.wav").read_bytes())
    (folder / "index.toml").write_text('[[prompt]]\nname = "shop"\nfile = "a.wav"\napproved = false\n')
    cli.config.write_text(cli.config.read_text().replace(f"{repository}/prompts", str(folder.parent)))
    assert found(cli)["prompts"].words == "1 in zh-CN; not approved: zh-CN/shop"


@pytest.mark.parametrize(
    ("codecs", "server", "built", "told"),
    [
        ('["PCMA"]', "", (), None),
        ('["opus", "G722"]', "", ("G722", "opus"), Finding("codecs", True, "G722, opus: built in")),
        ('["opus"]', "/run/media.sock", (), None),
        (
            '["opus"]',
            "",
            ("G722",),
            Finding("codecs", False, "trunk 'carrier', codecs: the media server was built without opus"),
        ),
    ],
)
def test_codecs_of_trunks_must_be_built_in(
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    codecs: str,
    server: str,
    built: tuple[str, ...],
    told: Finding | None,
) -> None:
    monkeypatch.setattr("media._native.CODECS", built)
    set_trunk(cli, f"codecs = {codecs}", server)
    assert found(cli).get("codecs") == told


def test_what_a_dialplan_says_in_vain_is_a_warning(cli: CommandLine) -> None:
    set_trunk(cli, 'codecs = ["PCMA", "PCMU", "PCMA"]', "")
    (cli.folder / "plans" / "99.toml").write_text("[treatment.shop]\nrecord = true\n")
    words = [finding.words for finding in findings(str(cli.config)) if finding.warning]
    assert words == [
        "99.toml: treatment.shop: no route names this treatment",
        "95.toml: trunk[carrier].codecs: 'PCMA' stands there more than once",
    ]
    table = cli.run("check").stdout
    assert "dialplans      WARNING  99.toml: treatment.shop: no route names this treatment" in table
