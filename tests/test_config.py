"""Configuration: TOML, environment, and errors that name file, key and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from softswitch.config import Config, SipListener, load_config, split_address, split_listener
from softswitch.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parent.parent
BOUNDS = {"ge": "{:.12g} or more", "gt": "more than {:.12g}", "le": "at most {:.12g}"}


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOFTSWITCH_CONFIG", raising=False)


def write(text: str, name: str = "softswitch.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_without_a_file_every_setting_has_its_default() -> None:
    config = load_config()
    assert config.sip.listen == ["127.0.0.1:5060"]
    assert config.media.port_range == (20000, 29999)
    assert config.store.path == "var/softswitch.db"
    assert config.extension.tries == 3
    assert config.host_name


def test_the_file_in_the_working_directory_is_found() -> None:
    write('host_name = "sw1"\n[sip]\nlisten = ["10.0.0.1:5070", "[::1]:5060"]')
    config = load_config()
    assert config.host_name == "sw1"
    assert config.sip.listen == ["10.0.0.1:5070", "[::1]:5060"]


def test_the_environment_names_the_file_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTSWITCH_CONFIG", write("[limits]\nmax_calls = 7", "named.toml"))
    assert load_config().limits.max_calls == 7
    assert load_config(write("[limits]\nmax_calls = 8", "argument.toml")).limits.max_calls == 8


def test_the_environment_wins_over_the_file_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[sip]\nadvertised = "sw.example"\nunknown_source = "drop"\nsession_expires_s = 90')
    monkeypatch.setenv("SOFTSWITCH_SIP__UNKNOWN_SOURCE", "refuse")
    monkeypatch.setenv("SOFTSWITCH_SIP__LISTEN", "127.0.0.1:5061, 127.0.0.2:5061")
    monkeypatch.setenv("SOFTSWITCH_SIP__DNS_SERVERS", "192.0.2.53:53,[2001:db8::53]:5353")
    monkeypatch.setenv("SOFTSWITCH_HOST_NAME", "sw2")
    config = load_config()
    assert config.sip.advertised == "sw.example"
    assert config.sip.session_expires_s == 90
    assert config.sip.unknown_source == "refuse"
    assert config.sip.listen == ["127.0.0.1:5061", "127.0.0.2:5061"]
    assert config.sip.dns_servers == ["192.0.2.53:53", "[2001:db8::53]:5353"]
    assert config.host_name == "sw2"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[sip]\ndns_servers = ['dns.example:53']", "softswitch.toml: sip.dns_servers", "'dns.example'"),
        ("[sip]\nlisten = ['5060']", "softswitch.toml: sip.listen", "expected host:port"),
        ("[sip]\nlisten = ['h:70000']", "softswitch.toml: sip.listen", "expected host:port"),
        ("[sip]\nsession_expires_s = 89", "softswitch.toml: sip.session_expires_s", "90 seconds or more, or 0 for off"),
        ("[sip]\nlisten = []", "softswitch.toml: sip.listen", "at least 1 item"),
        ("[sip]\nlisen = ['127.0.0.1:1']", "softswitch.toml: sip.lisen", "expected one of advertised, con"),
        ("[spi]\na = 1", "softswitch.toml: spi", "unknown key; expected one of call, cdr"),
        ("[media]\nports = '9000'", "softswitch.toml: media.ports", "such as 20000-29999"),
        ("[media]\nports = '9000-8000'", "softswitch.toml: media.ports", "such as 20000-29999"),
        ("[media]\nbind = 'localhost'", "softswitch.toml: media.bind", "expected 4 octets in 'localhost'"),
        ("[media]\nbind = '::1'", "softswitch.toml: media.bind", "expected 4 octets"),
        ("[media]\nbind6 = '127.0.0.1'", "softswitch.toml: media.bind6", "at least 3 parts"),
        ("[media]\nbind = '0.0.0.0'", "softswitch.toml: media", "bind = '0.0.0.0' needs advertised"),
        ("[media]\nbind6 = '::'", "softswitch.toml: media", "bind6 = '::' needs advertised6"),
        (
            "[media]\nbind = '0.0.0.0'\nadvertised = '192.0.2.1'\nkernel_relay = true",
            "softswitch.toml: media",
            "needs bind = the very address that RTP comes to",
        ),
        ("[trace]\nhep = 'homer'", "softswitch.toml: trace.hep", "expected host:port"),
        ("[trace]\nhep = 'homer..example:9060'", "softswitch.toml: trace.hep", "expected host:port"),
        ("[trace]\nhep = '192.0.2.256:9060'", "softswitch.toml: trace.hep", "expected host:port"),
        ("[trace]\nhep = '[2001:db8:::1]:9060'", "softswitch.toml: trace.hep", "expected host:port"),
        ("[trace]\nratio = 0", "softswitch.toml: trace.ratio", "greater than 0"),
        ("[store]\nurl = 'oracle://x'", "softswitch.toml: store.url", "expected sqlite:///path"),
        ("[store]\nurl = 'sqlite:///'", "softswitch.toml: store.url", "expected sqlite:///path"),
        ("[limits]\nmax_calls = 0", "softswitch.toml: limits.max_calls", "greater than or equal to 1, got 0"),
        ("[log]\nlevel = 'loud'", "softswitch.toml: log.level", "'warning' or 'error', got 'loud'"),
        ("[call]\nwarning_s = 'long'", "softswitch.toml: call.warning_s", "valid number"),
        ("[call]\ndrain_s = inf", "softswitch.toml: call.drain_s", "finite number"),
        ("sip = 5", "softswitch.toml: sip", "got 5"),
        ("[sip", "softswitch.toml", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(text: str, place: str, words: str) -> None:
    write(text)
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert caught.value.place == place
    assert words in str(caught.value)


def test_all_wrong_settings_are_told_at_once() -> None:
    write("[call]\nwarning_s = -1\n[log]\nlevel = 'loud'")
    with pytest.raises(ConfigError, match=r"call.warning_s.*; softswitch.toml: log.level"):
        load_config()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SOFTSWITCH_OPS__LISTEN", "nowhere", "expected host:port"),
        ("SOFTSWITCH_OPS__LISTN", "127.0.0.1:1", "unknown key; expected one of listen"),
        ("SOFTSWITCH_OSP__LISTEN", "127.0.0.1:1", "no section 'osp'"),
        ("SOFTSWITCH_OPS", "{", "SOFTSWITCH_SECTION__KEY"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert caught.value.place in (variable, "environment")
    assert words in str(caught.value)


def test_a_named_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_config("nowhere.toml")


def settings() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its name in TOML."""
    for section, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from ((f"{section}.{key}", setting) for key, setting in model.model_fields.items())
        else:
            yield section, field


def in_toml(value: Any) -> str:
    """A default as it would be written."""
    if isinstance(value, str | bool):
        return f'"{value}"' if isinstance(value, str) else str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.12g}"
    return str(value).replace("'", '"')


def in_words(setting: FieldInfo) -> str:
    """Which values there may be."""
    if get_origin(setting.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(setting.annotation))
    bounds = [
        words.format(getattr(limit, name))
        for limit in setting.metadata
        for name, words in BOUNDS.items()
        if hasattr(limit, name)
    ]
    return ", ".join(bounds)


def row(name: str, setting: FieldInfo) -> str:
    default = "the machine's" if setting.default_factory else f"`{in_toml(setting.default)}`"
    return f"| `{name}` | {default} | {in_words(setting)} | {setting.description} |"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, setting in settings() if not setting.description] == []


def test_the_operations_guide_has_every_setting_with_its_default_and_range_and_no_other() -> None:
    guide = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    table = guide.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if re.match(r"\| `", line)]
    assert rows == [row(name, setting) for name, setting in settings()]


def test_what_the_operations_guide_calls_a_setting_is_one() -> None:
    """`section.key` in its text, and each key of a section's table."""
    guide = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    names = {name for name, _ in settings()}
    sections = {name.partition(".")[0] for name in names if "." in name}
    said = re.findall(rf"`((?:{'|'.join(sections)})\.[a-z0-9_]+)", guide)
    media = guide.partition("| setting (`[media]`)")[2].partition("\n\n")[0]
    said += [f"media.{key}" for line in media.splitlines()[2:] for key in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(set(said) - names) == []


def test_the_example_of_a_deployment_names_every_path() -> None:
    """It runs in a directory of its own, where neither dialplans nor prompts are."""
    deployed = Config(**tomllib.loads((REPOSITORY / "deploy" / "softswitch.toml").read_text(encoding="utf-8")))
    paths = [deployed.media.socket, deployed.store.path, deployed.cdr.file, deployed.recording.directory]
    paths += [deployed.dialplan.directory, deployed.prompts.directory]
    assert [path for path in paths if not Path(path).is_absolute()] == []


def test_ipv6_addresses_lose_their_brackets() -> None:
    assert split_address("[::1]:5060") == ("::1", 5060)


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("10.0.0.1:5060", SipListener("udp", "10.0.0.1", 5060)),
        ("tcp:sw.example:5062", SipListener("tcp", "sw.example", 5062)),
        ("tls:[::1]:5061", SipListener("tls", "::1", 5061)),
        ("udp:10.0.0.1:5060 as 203.0.113.7", SipListener("udp", "10.0.0.1", 5060, "203.0.113.7")),
        ("tcp:[::]:5060 as [2001:db8::1]:6050", SipListener("tcp", "::", 5060, "2001:db8::1", 6050)),
    ],
)
def test_a_listener_names_transport_address_and_what_peers_are_told(text: str, listener: SipListener) -> None:
    assert split_listener(text) == listener


@pytest.mark.parametrize("text", ["sctp:10.0.0.1:5060", "tcp:10.0.0.1", "10.0.0.1:5060 as", "10.0.0.1:5060 as :5", ""])
def test_what_is_no_listener_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        split_listener(text)


def test_the_advertised_host_stands_for_listeners_of_its_family_that_name_none() -> None:
    write(
        '[sip]\nadvertised = "192.0.2.1"\nlisten = ["0.0.0.0:5060", "tcp:[::1]:5060", "udp:10.0.0.1:1 as sw.example"]'
    )
    assert [one.advertised_host for one in load_config().sip.listeners] == ["192.0.2.1", "", "sw.example"]
    write('[sip]\nadvertised = "sw.example"\nlisten = ["0.0.0.0:5060", "[::]:5060"]')
    assert [one.advertised_host for one in load_config().sip.listeners] == ["sw.example", "sw.example"]


def test_tls_needs_a_certificate() -> None:
    write('[sip]\nlisten = ["tls:127.0.0.1:5061"]')
    with pytest.raises(ConfigError, match=r"tls:127\.0\.0\.1:5061 needs sip\.tls_certificate"):
        load_config()


def test_a_wildcard_listener_needs_an_address_that_peers_can_answer_to(tmp_path: Path) -> None:
    file = tmp_path / "softswitch.toml"
    file.write_text('[sip]\nlisten = ["0.0.0.0:5060"]\n')
    with pytest.raises(ConfigError, match=r"listening on 0\.0\.0\.0:5060 needs sip\.advertised"):
        load_config(str(file))
    file.write_text('[sip]\nlisten = ["0.0.0.0:5060"]\nadvertised = "192.0.2.1"\n')
    assert load_config(str(file)).sip.advertised == "192.0.2.1"
