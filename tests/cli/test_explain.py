"""`softswitch explain` tells what the call would do."""

from __future__ import annotations

import shutil

import pytest

from tests.cli.conftest import REPOSITORY, CommandLine

X, A, B, C = "17000000001", "13800000001", "13800000002", "13800000003"


def ask(cli: CommandLine, caller: str, *more: str, dialled: str = X) -> list[str]:
    """The lines of the outcome."""
    told = cli.ok("explain", "--from", caller, "--to", dialled, *more)
    return [line for line in told.splitlines() if line.startswith("=> ")]


@pytest.fixture
def axb(cli: CommandLine) -> None:
    cli.ok("number", "add", X, "--app", "shop", "--mode", "AXB")
    cli.ok("bind", "axb", X, A, B, "--announcement", "announcement")


@pytest.fixture
def axe(cli: CommandLine) -> None:
    """B behind 7, C behind 8."""
    cli.ok("number", "add", X, "--app", "parcels", "--mode", "AXE", "--digits", "1")
    cli.ok("bind", "axe", X, B, "--extension", "7")
    cli.ok("bind", "axe", X, C, "--extension", "8")


def test_a_question_about_a_trunk_that_is_not_there_is_misuse(cli: CommandLine) -> None:
    told = cli.misused("explain", "--from", A, "--to", X, "--trunk", "nowhere")
    assert "there is no trunk 'nowhere'; there are lab" in told


@pytest.mark.usefixtures("axb")
def test_a_decision_is_explained_without_a_call(cli: CommandLine) -> None:
    assert "=> Call +8613800000002 from +8617000000001" in cli.ok("explain", "--from", A, "--to", X)
    assert cli.json("explain", "--from", A, "--to", X)["route"]["callee"] == "+8613800000002"
    refusal = cli.json("explain", "--from", "13800000009", "--to", X)
    assert (refusal["decision"], refusal["failure"]["code"], refusal["failure"]["status"]) == ("rejection", 8014, 404)


@pytest.mark.usefixtures("axb")
def test_the_longest_talk_of_the_whole_switch_is_told(cli: CommandLine) -> None:
    cli.config.write_text(cli.config.read_text() + "[call]\nmax_duration_s = 600\n")
    assert "at most 600 s" in cli.ok("explain", "--from", A, "--to", X)
    assert cli.json("explain", "--from", A, "--to", X)["route"]["treatment"]["max_duration_s"] == 600


@pytest.mark.usefixtures("axe")
def test_the_keyed_extension_is_part_of_the_question(cli: CommandLine) -> None:
    assert cli.json("explain", "--from", A, "--to", X)["decision"] == "need_extension"
    told = cli.json("explain", "--from", A, "--to", X, "--digits", "7")
    assert (told["answered"], told["route"]["callee"]) == (True, "+8613800000002")
    question, call = ask(cli, A, "--digits", "7")
    assert question == "=> Answer, play 'enter_extension' and collect 1 digits."
    assert call.startswith("=> Call +8613800000002")


@pytest.mark.usefixtures("axe")
@pytest.mark.parametrize("keyed", ["79", "#7", "7#9"])
def test_digits_are_taken_as_the_call_takes_them(cli: CommandLine, keyed: str) -> None:
    """Of a call the first digit is enough here; what comes behind it is passed on."""
    assert ask(cli, A, "--digits", keyed)[1].startswith("=> Call +8613800000002")


@pytest.mark.usefixtures("axe")
def test_a_wrong_extension_is_asked_for_again_and_ends_with_a_bye(cli: CommandLine) -> None:
    """The caller was answered to be asked, so there is no 404 any more (call treatment, "AXE collection")."""
    assert ask(cli, A, "--digits", "9") == [
        "=> Answer, play 'enter_extension' and collect 1 digits.",
        "=> After that play 'invalid_extension' and ask again, 3 times in all.",
        "=> Hang up: 8022 extension unknown or expired; the caller hears 'invalid_extension', then BYE, Q.850 1.",
    ]
    assert ask(cli, A, "--digits", "")[1:] == [
        "=> After that ask again, 3 times in all.",
        "=> Hang up: 8033 no extension keyed; the caller hears 'busy', then BYE, Q.850 1.",
    ]
    cli.config.write_text(cli.config.read_text() + "[extension]\ntries = 1\n")
    assert len(ask(cli, A, "--digits", "9")) == 2
    assert cli.json("explain", "--from", A, "--to", X, "--digits", "9")["answered"]


@pytest.mark.usefixtures("axe")
def test_a_wrong_extension_in_the_dialled_number_is_refused_before_any_answer(cli: CommandLine) -> None:
    (refusal,) = ask(cli, A, dialled=f"{X},9")
    assert refusal.startswith("=> Refuse: 8022 extension unknown or expired; SIP 404, Q.850 1;")


@pytest.mark.usefixtures("axe")
def test_who_is_not_asked_keys_nothing(cli: CommandLine) -> None:
    """An A of X calls back its latest caller, without a question."""
    told = cli.ok("explain", "--from", B, "--to", X, "--digits", "8")
    assert "=> Refuse: 8019 no call-back record" in told
    assert "The caller is not asked for an extension" in told


@pytest.mark.usefixtures("axb")
def test_no_call_is_placed_whose_announcement_is_not_there(cli: CommandLine) -> None:
    shutil.copytree(REPOSITORY / "prompts", cli.folder / "prompts")
    cli.config.write_text(cli.config.read_text().replace(str(REPOSITORY / "prompts"), "prompts"))
    index = cli.folder / "prompts" / "zh-CN" / "index.toml"
    index.write_text(index.read_text().replace('"announcement"', '"another"').replace('"no_binding"', '"silence"'))
    (refusal,) = ask(cli, A)
    assert refusal == "=> Refuse: 7107 mandated announcement missing or not approved; SIP 500, Q.850 31; no tone."
    assert cli.json("explain", "--from", A, "--to", X)["rejection"]["binding_id"]
    assert ask(cli, C)[0].endswith("SIP 404, Q.850 1; no tone.")
