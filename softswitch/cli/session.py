"""What the commands share: configuration, dialplan and store opened when first needed, and the common options.

Called by the command modules beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from media.tones import NAMES
from softswitch.config import Config, load_config
from softswitch.errors import StoreError
from softswitch.interfaces import Mode
from softswitch.prompts import Prompts, load_catalogue
from softswitch.routing.dialplan import Dialplan, load_dialplans
from softswitch.routing.numbers import UNKNOWN, classify, normalise
from softswitch.stores.provisioning import Provisioning, open_provisioning
from softswitch.stores.sqlite import is_there

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MOST_DIGITS = 9

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
XFilter = Annotated[str | None, typer.Option("--x", help="Only this privacy number.")]
AppKey = Annotated[str | None, typer.Option("--app", help="Only this app.")]
ModeFilter = Annotated[Mode | None, typer.Option("--mode", case_sensitive=False, help="Only this mode.")]
PageNumber = Annotated[int, typer.Option("--page", min=1, help="Which page.")]
PageSize = Annotated[int, typer.Option("--limit", min=1, help="Entries a page.")]


@dataclass(slots=True)
class Session:
    """What one command works with: read when it is first needed."""

    config_file: str | None
    _config: Config | None = field(default=None, init=False)
    _dialplan: Dialplan | None = field(default=None, init=False)
    _prompts: Prompts | None = field(default=None, init=False)

    @property
    def config(self) -> Config:
        """The configuration; raises ConfigError."""
        self._config = self._config or load_config(self.config_file)
        return self._config

    @property
    def dialplan(self) -> Dialplan:
        """The dialplan; raises ConfigError."""
        self._dialplan = self._dialplan or load_dialplans(self.config.dialplan.directory)
        return self._dialplan

    @property
    def prompts(self) -> Prompts:
        """The prompts; raises ConfigError."""
        settings = self.config.prompts
        self._prompts = self._prompts or load_catalogue(settings.directory, settings.language, settings.tones)
        return self._prompts

    @property
    def store_path(self) -> str:
        """The file of the store; raises StoreError where there is none, as in a directory that is not the switch's."""
        path = self.config.store.path
        if not is_there(path):
            raise StoreError(
                f"there is no store at {Path(path).absolute()} yet (store.url): `softswitch number add` makes it; "
                "--config FILE, or SOFTSWITCH_CONFIG, names the configuration of another"
            )
        return path

    @contextmanager
    def provisioning(self, *, make: bool = False) -> Iterator[Provisioning]:
        """The store, made where it is not there yet and `make` says so; raises StoreError."""
        store = open_provisioning(self.config.store.path if make else self.store_path)
        try:
            yield store
        finally:
            store.close()

    def number(self, text: str) -> str:
        """E.164 of a number in any form that the dialplan knows; a usage error where it is none."""
        number = normalise(text, self.dialplan.numbers).number
        if not number:
            raise typer.BadParameter(f"{text!r} is not a phone number; write it as 13800000001 or +8613800000001")
        return number

    def whole_number(self, text: str) -> str:
        """The same of a number that is to be kept: one of a class of the dialplan, or another country's."""
        number, rules = self.number(text), self.dialplan.numbers
        if rules.classes and classify(number, rules) == UNKNOWN:
            classes = ", ".join(rule.name for rule in rules.classes)
            raise typer.BadParameter(f"{text!r} is {number}, which is of no number class of the dialplan ({classes})")
        return number

    def tone(self, name: str | None) -> str | None:
        """The name of a prompt; a usage error where there is none of this name."""
        if name is None:
            return None
        every = self.prompts.all()
        if not any(self.prompts.find(name, language) for language in {prompt.language for prompt in every}):
            there = ", ".join(sorted({prompt.name for prompt in every}))
            raise typer.BadParameter(
                f"there is no prompt {name!r}; there are {there}, and the tones {', '.join(NAMES)}"
            )
        return name

    def optional_number(self, text: str | None) -> str | None:
        """The same, None where none was given."""
        return None if text is None else self.number(text)


def is_count(text: str) -> bool:
    """Whether it is a number of days, hours or seconds that dates can be reckoned with."""
    return text.isdecimal() and len(text) <= MOST_DIGITS


def seconds_of(duration: str) -> int:
    """Seconds of `90s`, `10m`, `2h`, `7d`; a usage error where it is none, or of no length."""
    unit = UNITS.get(duration[-1:])
    if unit is None or not is_count(duration[:-1]) or not int(duration[:-1]):
        raise typer.BadParameter(f"{duration!r} is not like 90s, 10m, 2h, 7d")
    return int(duration[:-1]) * unit
