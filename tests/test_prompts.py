"""The prompt catalogue: the built-in set is whole, languages fall back, and each fault is named with its file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from media.prompts import load_prompt
from media.tones import TONES
from softswitch.config import PromptSettings
from softswitch.errors import ConfigError
from softswitch.prompts import load_catalogue

BUILT_IN = Path(__file__).parent.parent / "prompts"
NAMES = {
    "no_binding",
    "no_permission",
    "enter_extension",
    "invalid_extension",
    "connecting",
    "service_fault",
    "last_minute",
    "powered_off",
    "announcement",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two languages: zh-CN with `hello` and `only_here`, en-US with `hello`."""
    for language, names in (("zh-CN", ("hello", "only_here")), ("en-US", ("hello",))):
        (tmp_path / language).mkdir()
        for name in names:
            shutil.copy(BUILT_IN / language / "connecting.wav", tmp_path / language / f"{name}.wav")
        write(tmp_path / language, *names)
    return tmp_path


def write(folder: Path, *names: str, more: str = "") -> None:
    entries = [f'[[prompt]]\nname = "{name}"\nfile = "{name}.wav"\nwords = "你好"\n{more}\n' for name in names]
    (folder / "index.toml").write_text("\n".join(entries), encoding="utf-8")


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_the_built_in_set_is_whole_short_and_approved(language: str) -> None:
    catalogue = load_catalogue(str(BUILT_IN), "zh-CN")
    prompts = {prompt.name: prompt for prompt in catalogue.all() if prompt.language == language}
    assert set(prompts) == NAMES
    for prompt in prompts.values():
        assert prompt.approved
        assert prompt.words
        assert 0.5 < prompt.duration_s < 6
        assert len(load_prompt(prompt.path).samples) % 160 == 0  # whole packets of 20 ms


def test_the_countries_of_the_setting_are_those_there_are() -> None:
    schema = PromptSettings.model_json_schema()
    assert schema["properties"]["tones"]["enum"] == list(TONES)


@pytest.mark.parametrize("country", TONES)
def test_progress_tones_are_those_of_the_country_in_every_language(directory: Path, country: str) -> None:
    catalogue = load_catalogue(str(directory), "zh-CN", country)
    ringback, busy = catalogue.find("ringback", "en-US"), catalogue.find("busy", "zh-CN")
    assert ringback is not None
    assert busy is not None
    assert (ringback.path, ringback.duration_s) == (f"tone:{country}/ringback", sum(TONES[country]["ringback"].cadence))
    assert (busy.path, busy.approved) == (f"tone:{country}/busy/3", True)
    assert 3 <= busy.duration_s < 4
    assert ringback.words == f"({TONES[country]['ringback']})"


def test_a_customers_own_ringback_stands_in_place_of_the_countrys(directory: Path) -> None:
    shutil.copy(BUILT_IN / "en-US" / "connecting.wav", directory / "en-US" / "ringback.wav")
    write(directory / "en-US", "ringback")
    catalogue = load_catalogue(str(directory), "zh-CN")
    own, made = catalogue.find("ringback", "en-US"), catalogue.find("ringback", "zh-CN")
    assert own is not None
    assert made is not None
    assert (Path(own.path).name, made.path) == ("ringback.wav", "tone:cn/ringback")


def test_a_prompt_is_found_by_name_with_or_without_wav(directory: Path) -> None:
    catalogue = load_catalogue(str(directory), "zh-CN")
    prompt = catalogue.find("hello", "en-US")
    assert prompt is not None
    assert (prompt.name, prompt.language, prompt.words) == ("hello", "en-US", "你好")
    assert prompt.path == str(directory / "en-US" / "hello.wav")
    assert len(prompt.sha256) == 64
    assert catalogue.find("hello.wav", "en-US") is prompt


def test_a_missing_prompt_or_language_falls_back_to_the_default(directory: Path) -> None:
    catalogue = load_catalogue(str(directory), "zh-CN")
    for language in ("en-US", "fr-FR"):
        prompt = catalogue.find("only_here", language)
        assert prompt is not None
        assert prompt.language == "zh-CN"
    assert catalogue.find("nothing", "zh-CN") is None
    assert load_catalogue(str(directory), "en-US").find("only_here", "fr-FR") is None


def test_a_customer_may_add_a_prompt_that_waits_for_approval(directory: Path) -> None:
    write(directory / "en-US", "hello", more="approved = false")
    prompt = load_catalogue(str(directory), "zh-CN").find("hello", "en-US")
    assert prompt is not None
    assert not prompt.approved


def test_files_beside_the_languages_are_no_languages(directory: Path) -> None:
    (directory / "README.md").write_text("words")
    (directory / ".git").mkdir()
    assert len(load_catalogue(str(directory), "zh-CN").all()) == 3


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[[prompt]", "index.toml", "is not TOML"),
        ("", "index.toml: prompt", "Field required"),
        ("[[prompt]]\nname = 'a'", "index.toml: prompt.0.file", "Field required"),
        ("[[prompt]]\nname = 'a'\nfile = '../a.wav'", "index.toml: prompt.0.file", "got '../a.wav'"),
        ("[[prompt]]\nname = 'a b'\nfile = 'a.wav'", "index.toml: prompt.0.name", "got 'a b'"),
        ("[[prompt]]\nname = 'a'\nfile = 'a.wav'\nlanguage = 'x'", "index.toml: prompt.0.language", "not permitted"),
        ("[[prompt]]\nname = 'a'\nfile = 'a.wav'", "a.wav", "No such file or directory (prompt 'a' of"),
    ],
)
def test_a_broken_index_is_named_with_its_key(directory: Path, text: str, place: str, words: str) -> None:
    (directory / "en-US" / "index.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(str(directory), "zh-CN")
    assert caught.value.place == str(directory / "en-US" / place)
    assert words in str(caught.value)


def test_the_same_name_twice_is_refused(directory: Path) -> None:
    write(directory / "zh-CN", "hello", "hello")
    with pytest.raises(ConfigError, match="names prompt 'hello' twice"):
        load_catalogue(str(directory), "zh-CN")


def test_a_wav_of_the_wrong_format_is_refused_with_the_reason(directory: Path) -> None:
    (directory / "zh-CN" / "hello.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    with pytest.raises(ConfigError, match=r"hello\.wav: .*prompt 'hello' of"):
        load_catalogue(str(directory), "zh-CN")


def test_a_folder_without_an_index_is_refused(directory: Path) -> None:
    (directory / "de-DE").mkdir()
    with pytest.raises(ConfigError, match=r"de-DE/index\.toml: cannot be read: No such file"):
        load_catalogue(str(directory), "zh-CN")


def test_the_default_language_must_be_there(directory: Path) -> None:
    with pytest.raises(ConfigError, match="no folder for the default language fr-FR"):
        load_catalogue(str(directory), "fr-FR")


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prompts\.directory: .*nowhere cannot be read"):
        load_catalogue(str(tmp_path / "nowhere"), "zh-CN")
