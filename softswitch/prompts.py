"""The prompt catalogue: `<directory>/<language>/index.toml` and the WAV files it names, all checked when loaded; behind
them the progress tones of a country, which are made (media/tones.py).

Called by app.py and `softswitch check`; the call layer sees it as `interfaces.PromptCatalogue`. Plays nothing, and
reads no file after loading.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from media.prompts import PromptError, load_prompt
from media.tones import NAMES, RINGBACK, SCHEME, TONES
from softswitch.errors import ConfigError
from softswitch.interfaces import Prompt

INDEX = "index.toml"
TONE_S = 3.0  # how long busy and congestion are heard before the call ends


class IndexEntry(BaseModel):
    """One `[[prompt]]` of an index.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[0-9A-Za-z_@.-]{1,128}$")]
    file: Annotated[str, Field(pattern=r"^[^/\\]+\.wav$")]
    words: str = ""
    approved: bool = True


class Index(BaseModel):
    """A whole index.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: tuple[IndexEntry, ...]


class Prompts:
    """Implements `interfaces.PromptCatalogue` over prompts that were loaded once."""

    def __init__(
        self, prompts: dict[tuple[str, str], Prompt], default_language: str, tones: dict[str, Prompt] | None = None
    ) -> None:
        self._prompts = prompts
        self._default_language = default_language
        self._tones = tones or {}

    def find(self, name: str, language: str) -> Prompt | None:
        """The prompt in `language`, in the default language, or the tone; else None. `name` may end in `.wav`."""
        name = name.removesuffix(".wav")
        found = self._prompts.get((language, name)) or self._prompts.get((self._default_language, name))
        return found or self._tones.get(name)

    def all(self) -> list[Prompt]:
        """Every prompt, by language and name."""
        return [self._prompts[key] for key in sorted(self._prompts)]


def load_catalogue(directory: str, default_language: str, country: str = "cn") -> Prompts:
    """Load and check every language under `directory`, with the tones of `country`.

    Raises ConfigError naming the file and what is wrong with it.
    """
    root = Path(directory)
    try:
        folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    except OSError as error:
        raise ConfigError("prompts.directory", f"{directory} cannot be read: {error.strerror}") from None
    if default_language not in {folder.name for folder in folders}:
        raise ConfigError("prompts.directory", f"{directory} has no folder for the default language {default_language}")
    prompts = {}
    for folder in folders:
        for entry in _entries(folder / INDEX):
            prompts[folder.name, _key(entry)] = _prompt(folder, entry)
    return Prompts(prompts, default_language, {name: _tone(country, name) for name in NAMES})


def _tone(country: str, name: str) -> Prompt:
    seconds = "" if name == RINGBACK else f"/{TONE_S:g}"  # ringback is looped, the others tell that a call is over
    path = f"{SCHEME}{country}/{name}{seconds}"
    audio = load_prompt(path)
    return Prompt(name, country, path, audio.duration_s, audio.sha256, words=f"({TONES[country][name]})")


def _entries(index: Path) -> tuple[IndexEntry, ...]:
    try:
        entries = Index.model_validate(tomllib.loads(index.read_text(encoding="utf-8"))).prompt
    except OSError as error:
        raise ConfigError(str(index), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(index), f"is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{index}: {key}", f"{first['msg']}, got {first['input']!r}") from None
    names = [_key(entry) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(str(index), f"names prompt {name!r} twice")
    return entries


def _key(entry: IndexEntry) -> str:
    return entry.name.removesuffix(".wav")


def _prompt(folder: Path, entry: IndexEntry) -> Prompt:
    path = str(folder / entry.file)
    try:
        audio = load_prompt(path)
    except PromptError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ConfigError(path, f"{reason} (prompt {entry.name!r} of {folder / INDEX})") from None
    return Prompt(_key(entry), folder.name, path, audio.duration_s, audio.sha256, entry.approved, entry.words)
