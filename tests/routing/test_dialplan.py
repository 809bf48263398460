"""Dialplan files become one checked, frozen plan, or an error that names file, key and what was expected."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from softswitch.errors import ConfigError
from softswitch.interfaces import Mode
from softswitch.routing.dialplan import Dialplan, TreatmentRule, load_dialplans, parse_dialplans
from softswitch.routing.numbers import NumberForm, NumberRules
from tests.routing.scene import CHINA, DIALPLANS, FIXED_LINE, LAB, A, C, plan

TRUNK = '[[trunk]]\nname = "lab"\nhost = "192.0.2.1"\n'


def errors(text: str, **files: str) -> list[str]:
    """All that is wrong with 90.toml beside China's numbers."""
    with pytest.raises(ConfigError) as caught:
        parse_dialplans({"10.toml": CHINA, "90.toml": text, **{f"{name}.toml": text for name, text in files.items()}})
    assert str(caught.value).startswith(caught.value.place + ": ")
    return str(caught.value).split("\n")


def test_the_shipped_dialplans_make_a_loopback_laboratory() -> None:
    dialplan = load_dialplans(DIALPLANS)
    route = dialplan.route_for(A, "mobile")
    assert route is not None
    assert [target.trunk for target in route.targets] == ["lab"]
    assert (dialplan.trunks["lab"].host, dialplan.trunks["lab"].port) == ("127.0.0.1", 5090)
    assert dialplan.trunk_of("127.0.0.1", 40000, "udp") is dialplan.trunks["lab"]
    assert dialplan.trunk_of("127.0.0.2", 40000, "udp") is None


def test_what_the_example_comments_out_is_valid_too() -> None:
    example = (DIALPLANS / "90-example.toml").read_text(encoding="utf-8")
    keys = "transport source_ports codecs max_calls calls_per number_ caller_id priority weight ring_s connect_s"
    commented = tuple(f"# {key}" for key in keys.split())
    lines = [line[2:] if line.startswith(commented) else line for line in example.splitlines()]
    assert plan("\n".join(lines)).trunks["lab"] == dataclasses.replace(
        plan(example).trunks["lab"], source_ports=(5090,)
    )


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_text(CHINA, encoding="utf-8")
    (tmp_path / "30.toml").write_text(TRUNK + '[[route]]\nname = "last"\ntargets = ["lab"]', encoding="utf-8")
    (tmp_path / "20.toml").write_text('[[route]]\nname = "first"\ntargets = ["lab"]', encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a dialplan", encoding="utf-8")
    assert [route.name for route in load_dialplans(tmp_path).routes] == ["first", "last"]


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected at least one \*\.toml file"):
        load_dialplans(tmp_path)


def test_a_directory_that_cannot_be_looked_at_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"^dialplan\.directory: a{300} cannot be read: File name too long$"):
        load_dialplans("a" * 300)


def test_an_unreadable_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"expected UTF-8 in .*/10\.toml: .* 0xff in position 0"):
        load_dialplans(tmp_path)
    (tmp_path / "10.toml").unlink()
    (tmp_path / "20.toml").mkdir()
    with pytest.raises(ConfigError, match=r"20\.toml cannot be read: Is a directory"):
        load_dialplans(tmp_path)


# Routes


@pytest.mark.parametrize(
    ("callee", "callee_class", "trunk", "route"),
    [
        (C, "mobile", None, "exact"),
        (FIXED_LINE, "fixed", None, "prefix"),
        ("+864001234567", "400", None, "class"),
        (A, "mobile", "lab", "from-lab"),
        (A, "mobile", "other", None),
        (A, "mobile", None, None),
    ],
)
def test_the_first_route_that_matches_is_taken(
    callee: str, callee_class: str, trunk: str | None, route: str | None
) -> None:
    dialplan = plan(
        TRUNK + f'[[route]]\nname = "exact"\nnumbers = ["{C}"]\ntargets = ["lab"]\n'
        '[[route]]\nname = "prefix"\nprefixes = ["+86755", "+8610"]\ntargets = ["lab"]\n'
        '[[route]]\nname = "class"\nclasses = ["400", "international"]\ntargets = ["lab"]\n'
        '[[route]]\nname = "from-lab"\nfrom_trunks = ["lab"]\ntargets = ["lab"]\n'
    )
    found = dialplan.route_for(callee, callee_class, trunk)
    assert (found.name if found else None) == route


# Treatments


def test_without_treatment_tables_the_built_in_one_holds() -> None:
    rule = plan().treatment_for(Mode.AXB)
    assert (rule.announcement, rule.announcement_mandatory, rule.record) == ("", False, False)
    assert (rule.last_minute, rule.connecting, rule.language) == ("last_minute", "connecting", "")


def test_a_narrower_treatment_overrides_a_wider_one_key_by_key() -> None:
    dialplan = plan(
        LAB + 'treatment = "loud"\n[treatment.default]\nlanguage = "en-US"\nrecord = true\nannouncement = "brand"\n'
        '[treatment.AX]\nrecord = false\nmax_duration_s = 60\n[treatment.loud]\nannouncement = ""\nstereo = true\n'
    )
    ax, axb = dialplan.treatment_for(Mode.AX), dialplan.treatment_for(Mode.AXB)
    loud = dialplan.treatment_for(Mode.AX, "loud")
    assert (ax.language, ax.record, ax.max_duration_s, ax.announcement) == ("en-US", False, 60, "brand")
    assert (axb.language, axb.record, axb.max_duration_s, axb.announcement) == ("en-US", True, 0, "brand")
    assert (loud.language, loud.record, loud.stereo, loud.announcement) == ("en-US", False, True, "")


def test_a_plan_made_by_hand_has_the_built_in_treatment() -> None:
    numbers: NumberRules = plan().numbers
    assert Dialplan(numbers).treatment_for(Mode.AXE, "any") == plan().treatment_for(Mode.AXE)
    assert TreatmentRule(record=True).over(plan().treatment_for(Mode.AXE)).record is True


# Apps


def test_an_app_may_have_its_recordings_kept_for_days_of_its_own() -> None:
    text = '[[app]]\nname = "bank"\nrecording_keep_days = 183\n[[app]]\nname = "保 险"\nrecording_keep_days = 0\n'
    assert plan(LAB + text + '[[app]]\nname = "shop"\n').recording_keep_days == {"bank": 183, "保 险": 0}
    assert plan().recording_keep_days == {}


# Errors


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = [", "90.toml: expected TOML: "),
        ("[[trunks]]", "90.toml: trunks: unknown key (did you mean 'trunk'?); expected one of numbers, number_class"),
        ("zzz = 1", "90.toml: zzz: unknown key; expected one of "),
        ("[trunk]", "90.toml: trunk: expected [[trunk]] with double brackets"),
        ('trunk = ["lab"]', "90.toml: trunk[0]: expected a table"),
        ('[[trunk]]\nhost = "h"', "90.toml: trunk[0].name: expected, but missing"),
        (
            '[[trunk]]\nname = "a b"\nhost = "h"',
            "90.toml: trunk[a b].name: expected a name of letters, digits, - . and _",
        ),
        ('[[trunk]]\nname = "t"', "90.toml: trunk[t].host: expected, but missing"),
        (TRUNK + "port = 0", "90.toml: trunk[lab].port: expected greater than or equal to 1, not 0"),
        (TRUNK + 'port = "5060"', "90.toml: trunk[lab].port: expected a valid integer, not '5060'"),
        (
            TRUNK + "prot = 1",
            "90.toml: trunk[lab].prot: unknown key (did you mean 'port'?); expected one of name, host",
        ),
        (
            TRUNK + 'transport = "sctp"',
            "90.toml: trunk[lab].transport: expected 'udp', 'tcp', 'tls' or 'auto', not 'sctp'",
        ),
        (TRUNK + 'sources = ["10.0.0.1/8"]', "90.toml: trunk[lab].sources[0]: expected an address or CIDR such as "),
        (
            TRUNK + 'codecs = ["G729"]',
            "90.toml: trunk[lab].codecs[0]: expected 'PCMA', 'PCMU', 'G722' or 'opus', not 'G729'",
        ),
        (TRUNK + 'number_form = "x"', "90.toml: trunk[lab].number_form: expected 'e164', 'e164-digits' or 'national'"),
        (TRUNK + TRUNK, "90.toml: trunk[lab]: expected a name of its own, is also at 90.toml: trunk[lab]"),
        (LAB + "[[route]]\nname = 'r'\ntargets = []", "90.toml: route[r].targets: expected at least one trunk"),
        (
            LAB + "[[route]]\nname = 'r'\ntargets = ['lob']",
            "90.toml: route[r].targets[0]: expected a trunk of the dialplan, there is no 'lob' (did you mean 'lab'?)",
        ),
        (
            LAB + "[[route]]\nname = 'r'\ntargets = [{ trunk = 'lab', ring = 3 }]",
            "90.toml: route[r].targets[0].ring: unknown key (did you mean 'ring_s'?); expected one of trunk, ring_s",
        ),
        (
            LAB + "from_trunks = ['b']",
            "90.toml: route[everything].from_trunks: expected a trunk of the dialplan, there is",
        ),
        (
            LAB + "classes = ['fix']",
            "90.toml: route[everything].classes: expected a number class of the dialplan, there",
        ),
        (
            LAB + "prefixes = ['0755']",
            "90.toml: route[everything].prefixes[0]: expected the first digits of E.164, such",
        ),
        (LAB + "numbers = ['138']", "90.toml: route[everything].numbers[0]: expected an E.164 number, such as"),
        (
            LAB + "treatment = 'x'",
            "90.toml: route[everything].treatment: expected a treatment of the dialplan, there is",
        ),
        ("treatment = 1", "90.toml: treatment: expected tables such as [treatment.default]"),
        ("[treatment]\nAXB = 1", "90.toml: treatment.AXB: expected a table, not 1"),
        ("[treatment.AXB]\nrecord = 'yes'", "90.toml: treatment.AXB.record: expected a valid boolean, not 'yes'"),
        (
            "[treatment.AXB]\nmax_duration_s = -1",
            "90.toml: treatment.AXB.max_duration_s: expected greater than or equal",
        ),
        ("[[app]]\nname = ''", "90.toml: app[].name: expected an app's key, 1 to 128 characters, not ''"),
        (
            "[[app]]\nname = 'shop'\nrecording_keep_days = -1",
            "90.toml: app[shop].recording_keep_days: expected greater than or equal to 0, not -1",
        ),
        (
            "[[app]]\nname = 'shop'\nrecording_keep_days = '6m'",
            "90.toml: app[shop].recording_keep_days: expected a valid integer, not '6m'",
        ),
        (
            "[[app]]\nname = 'shop'\nkeep_days = 7",
            "90.toml: app[shop].keep_days: unknown key (did you mean 'recording_keep_days'?); expected one of name,",
        ),
        (
            "[[app]]\nname = 'shop'\n[[app]]\nname = 'shop'",
            "90.toml: app[shop]: expected a name of its own, is also at 90.toml: app[shop]",
        ),
        ("[numbers]\ncountry_code = '1'", "90.toml: numbers: expected once, is also in 10.toml"),
        ("[barring]\ncallers = ['138']", "90.toml: barring: expected once, is also in 10.toml"),
        ("[barring]", "90.toml: barring: expected once, is also in 10.toml"),
        (
            "[[number_class]]\nname = 'm'\nlengths = [0]",
            "90.toml: number_class[m].lengths[0]: expected greater than or",
        ),
        (
            "[[number_class]]\nname = 'international'\nlengths = [5]",
            "90.toml: number_class[international]: expected a name of its own: 'international' is built in",
        ),
        ("[[number_class]]\nname = 'm'\nlengths = []", "90.toml: number_class[m].lengths: expected at least one"),
        (
            "[[number_class]]\nname = 'm'\nlengths = [5]\nprefixes = []",
            "90.toml: number_class[m].prefixes: expected at least one",
        ),
        ("[treatment.axe]\nmax_duration_s = 60", "90.toml: treatment.axe: expected [treatment.AXE], as it is written"),
        ("[treatment.Default]", "90.toml: treatment.Default: expected [treatment.default], as it is written"),
        (TRUNK + 'sources = "10.0.0.1"', "90.toml: trunk[lab].sources: expected a list in brackets, not '10.0.0.1'"),
        (LAB + "classes = 'fixed'", "90.toml: route[everything].classes: expected a list in brackets, not 'fixed'"),
        (
            TRUNK + 'to_form = "E164"',
            "90.toml: trunk[lab].to_form: expected one of as_dialled, e164, e164-digits, national, not 'E164'",
        ),
        (
            TRUNK + "number_form_in = []",
            "90.toml: trunk[lab].number_form_in: expected one of any, e164, e164-digits, national, not []",
        ),
        (TRUNK + "ring_s = inf", "90.toml: trunk[lab].ring_s: expected a finite number, not inf"),
        (TRUNK + "health_s = inf", "90.toml: trunk[lab].health_s: expected a finite number, not inf"),
        (
            TRUNK.replace('.1"', '.1:5060"'),
            "90.toml: trunk[lab].host: expected an address or host name without port, not '192.0.2.1:5060'",
        ),
        (
            LAB + TRUNK.replace("lab", "two") + 'sources = ["127.0.0.1"]',
            "90.toml: trunk[two].sources: expected a network of its own: trunk 'lab' has 127.0.0.1/32 too",
        ),
    ],
)
def test_an_error_names_file_key_and_what_was_expected(text: str, error: str) -> None:
    found = errors(text)
    assert len(found) == 1
    assert found[0].startswith(error)


def test_all_errors_of_all_files_are_told_at_once() -> None:
    assert len(errors(TRUNK + 'port = 0\nweight = "1"\nhosts = 1', b="[[route]]\n", c="x")) == 6


def test_tables_that_stand_in_two_files_are_told_apart_by_file() -> None:
    assert errors("[treatment.AX]", b="[treatment.AX]") == [
        "b.toml: treatment.AX: expected once, is also at 90.toml: treatment.AX"
    ]


def test_two_trunks_may_share_an_address_if_their_ports_differ() -> None:
    first = TRUNK + 'sources = ["192.0.2.1"]\nsource_ports = [5060]\n'
    dialplan = plan(first + first.replace("lab", "two").replace("5060", "5070"))
    found = dialplan.trunk_of("192.0.2.1", 5070, "udp")
    assert found is not None
    assert (found.name, found.number_form) == ("two", NumberForm.E164)


def test_a_broken_numbers_table_is_told_once() -> None:
    with pytest.raises(ConfigError, match=r"^a.toml: numbers.country_code: expected digits in quotes.*, not '\+86'$"):
        parse_dialplans({"a.toml": '[numbers]\ncountry_code = "+86"'})


def test_a_plan_needs_a_numbers_table() -> None:
    with pytest.raises(ConfigError, match=r"expected a \[numbers\] table"):
        parse_dialplans({"90.toml": LAB})
    with pytest.raises(ConfigError, match=r"expected a \[numbers\] table"):
        parse_dialplans({})


def test_barring_may_be_left_out() -> None:
    dialplan = parse_dialplans({"10.toml": '[numbers]\ncountry_code = "86"'})
    assert dialplan.barring.international_callers
    assert dialplan.route_for(A, "unknown") is None


@pytest.mark.parametrize("wrong", ['"secret\\nvalue"', '{ text = "secret" }'])
def test_no_error_shows_a_password(wrong: str) -> None:
    (error,) = errors(f'{TRUNK}username = "us"\npassword = {wrong}\n')
    assert error.startswith("90.toml: trunk[lab].password: expected a password")
    assert "secret" not in error


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ('username = "us"', "password"),
        ('password = "x"', "username"),
        ('auth_password = "x"', "auth_username"),
        ('auth_username = "x"', "auth_username"),
        ("register = true", "register"),
        ('sources = ["192.0.2.1"]\nauth = "digest"', "auth"),
        ('username = "us"\npassword = "x"\nauth = "digest"', "auth"),
        ('username = "us"\npassword = "x"\nauth = "digest"\nsources = ["::1"]\nauth_algorithms = []', "auth"),
    ],
)
def test_keys_of_a_trunk_that_need_each_other(keys: str, key: str) -> None:
    (error,) = errors(f"{TRUNK}{keys}\n")
    assert error.startswith(f"90.toml: trunk[lab].{key}: expected")


def vain(text: str) -> tuple[str, ...]:
    """What 90.toml says in vain, beside LAB with its route for every callee."""
    return plan(LAB + text).without_effect


ROUTE = '[[route]]\nname = "late"\ntargets = ["lab"]\n'
HIDDEN = ("90.toml: route[late]: no call gets there, route 'everything' before it takes them all",)


@pytest.mark.parametrize("keys", ["", 'prefixes = ["+86755"]', 'from_trunks = ["lab"]'])
def test_a_route_behind_one_that_takes_every_callee_is_said_in_vain(keys: str) -> None:
    assert vain(ROUTE + keys) == HIDDEN


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ("", 'prefixes = ["+86755"]', False),
        ('from_trunks = ["lab"]', "", True),
        ('from_trunks = ["lab"]', 'from_trunks = ["other"]', True),
        ('from_trunks = ["lab", "other"]', 'from_trunks = ["other"]', False),
        (
            'prefixes = ["+86755"]',
            'prefixes = ["+86755"]',
            True,
        ),  # alike is not looked for: prefixes may overlap in any way
    ],
)
def test_a_route_is_hidden_by_one_for_all_callees_of_its_trunks(first: str, second: str, reached: bool) -> None:
    trunks = TRUNK + TRUNK.replace("lab", "other").replace("2.1", "2.2")
    text = f"{trunks}{ROUTE.replace('late', 'first')}{first}\n{ROUTE}{second}\n"
    assert (plan(text).without_effect == ()) is reached


def test_a_treatment_that_no_route_names_is_said_in_vain() -> None:
    assert vain("[treatment.AXB]\nrecord = true\n[treatment.default]\nrecord = true\n") == ()
    assert vain("[treatment.vip]\nrecord = true\n") == ("90.toml: treatment.vip: no route names this treatment",)
    named = LAB.replace('targets = ["lab"]', 'targets = ["lab"]\ntreatment = "vip"')
    assert plan(named + "[treatment.vip]\nrecord = true\n").without_effect == ()


def test_what_a_list_of_a_trunk_has_twice_is_said_in_vain() -> None:
    doubled = LAB.replace("port = 5090", 'port = 5090\ncodecs = ["PCMA", "PCMU", "PCMA"]')
    assert plan(doubled).without_effect == ("90.toml: trunk[lab].codecs: 'PCMA' stands there more than once",)
