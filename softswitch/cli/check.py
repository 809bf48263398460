"""`softswitch check`: is everything that the switch needs at its start as it should be?

Called by questions.py. Changes nothing: a store that is not there yet is not made, an old one is not migrated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from media import _native
from softswitch.config import Config, load_config
from softswitch.errors import ConfigError, SoftswitchError, StoreError
from softswitch.parts import check_codecs, check_media_addresses
from softswitch.prompts import Prompts, load_catalogue
from softswitch.routing.dialplan import Dialplan, load_dialplans
from softswitch.sdp.formats import G711
from softswitch.stores.provisioning import Provisioning, sqlite_engine
from softswitch.stores.schema import REVISION
from softswitch.stores.sqlite import app_keys, is_there, schema_revision

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part; a `warning` keeps no switch from its work, but can hardly be meant."""

    part: str
    ok: bool
    words: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class _Look(Generic[_T]):
    """What was loaded, None where that failed, and what is to be told of it."""

    loaded: _T | None
    finding: Finding


def findings(config_file: str | None) -> Iterator[Finding]:
    """Check part after part; what needs a broken part is left out."""
    config = _look("configuration", lambda: load_config(config_file), _configuration)
    yield config.finding
    if config.loaded is None:
        return
    yield from _media(config.loaded)
    directory, catalogue = config.loaded.dialplan.directory, config.loaded.prompts
    dialplan = _look("dialplans", lambda: load_dialplans(directory), _dialplan)
    yield dialplan.finding
    if dialplan.loaded is not None:
        yield from (Finding("dialplans", True, words, warning=True) for words in dialplan.loaded.without_effect)
        yield from _codecs(dialplan.loaded, config.loaded)
        yield from _srtp(dialplan.loaded, config.loaded)
    prompts = _look(
        "prompts", lambda: load_catalogue(catalogue.directory, catalogue.language, catalogue.tones), _prompts
    )
    yield prompts.finding
    if dialplan.loaded is not None and prompts.loaded is not None:
        yield _tones(dialplan.loaded, prompts.loaded, catalogue.language)
    path = config.loaded.store.path
    store = _look("store", lambda: _store(path), str)
    yield store.finding
    settings, plan = config.loaded, dialplan.loaded
    if plan is not None and store.loaded is not None:
        yield _look("recordings", lambda: _recordings(settings, plan), str).finding


def _look(part: str, load: Callable[[], _T], praise: Callable[[_T], str]) -> _Look[_T]:
    try:
        loaded = load()
    except SoftswitchError as error:
        return _Look(None, Finding(part, False, str(error)))
    return _Look(loaded, Finding(part, True, praise(loaded)))


def _configuration(config: Config) -> str:
    return f"SIP on {', '.join(config.sip.listen)}, RTP on {config.media.bind} {config.media.ports}"


def _media(config: Config) -> Iterator[Finding]:
    """Where the media server is ours: has this machine the addresses that it is to use?"""
    if config.media.driver == "server" and not config.media.server:
        hosts = " and ".join(host for host in (config.media.bind, config.media.bind6) if host)
        words = f"RTP ports can be opened on {hosts}"
        yield _look("media", lambda: check_media_addresses(config.media), lambda _: words).finding


def _dialplan(dialplan: Dialplan) -> str:
    classes = len(dialplan.numbers.classes)
    return f"{classes} number classes, {len(dialplan.trunks)} trunks, {len(dialplan.routes)} routes"


def _codecs(dialplan: Dialplan, config: Config) -> Iterator[Finding]:
    """Where a trunk speaks more than G.711: can media?"""
    named = {codec for trunk in dialplan.trunks.values() for codec in trunk.codecs if codec not in G711}
    if named and not config.media.server:  # else what it has is told when the switch starts
        words = f"{', '.join(sorted(named))}: built in"
        yield _look("codecs", lambda: check_codecs(dialplan, _native.CODECS), lambda _: words).finding


def _srtp(dialplan: Dialplan, config: Config) -> Iterator[Finding]:
    """Where a trunk wants SRTP: can it be had, and who else sees the keys?"""
    trunks = [trunk for trunk in dialplan.trunks.values() if trunk.srtp != "off"]
    ours = not config.media.server  # else what it has is told when the switch starts
    lacking = [trunk for trunk in trunks if ours and trunk.lacks_srtp(_native.SRTP_SUITES)]
    if lacking:
        names = ", ".join(trunk.name for trunk in lacking)
        words = (
            f"wanted by {names}: the media core is built without libsrtp2 (scripts/setup), or has none of their suites"
        )
        yield Finding("srtp", all(trunk.srtp == "allowed" for trunk in lacking), words)
    clear = [trunk.name for trunk in trunks if trunk.keys_in_clear]
    if clear:
        words = f"keys go in clear with the signalling of {', '.join(clear)}: transport is not tls"
        yield Finding("srtp", True, words, warning=True)
    elif trunks and not lacking:
        yield Finding("srtp", True, f"for {', '.join(trunk.name for trunk in trunks)}")


def _prompts(prompts: Prompts) -> str:
    languages = sorted({prompt.language for prompt in prompts.all()})
    waiting = [f"{prompt.language}/{prompt.name}" for prompt in prompts.all() if not prompt.approved]
    words = f"{len(prompts.all())} in {', '.join(languages)}"
    return words + (f"; not approved: {', '.join(waiting)}" if waiting else "")


def _tones(dialplan: Dialplan, prompts: Prompts, language: str) -> Finding:
    """What the treatments of the dialplan name must be in the catalogue; `language` is meant where they name none."""
    there = {prompt.language for prompt in prompts.all()}
    unknown = {rule.language for rule in dialplan.treatments.values() if rule.language} - there
    if unknown:
        words = f"{', '.join(sorted(unknown))}; there are {', '.join(sorted(there))}"
        return Finding("tones", False, f"treatments name languages that are not there: {words}")
    missing = {
        f"{name} ({rule.language or language})"
        for rule in dialplan.treatments.values()
        for name in (rule.announcement, rule.last_minute, rule.connecting)
        if name and prompts.find(name, str(rule.language)) is None
    }
    if missing:
        return Finding("tones", False, f"treatments name prompts that are not there: {', '.join(sorted(missing))}")
    return Finding("tones", True, "every prompt that a treatment names is there")


def _store(path: str) -> str:
    from softswitch.stores import migrations  # noqa: PLC0415 (Alembic: half a second that other commands need not wait)

    if not is_there(path):
        _can_be_made(Path(path))
        return f"{path} is not there yet: made when first used"
    revision = schema_revision(path)
    if revision is None or revision in migrations.known_revisions() - {REVISION}:
        return f"{path} is brought to schema {REVISION} when the switch starts"
    if revision != REVISION:
        raise migrations.newer_schema(path, revision)
    provisioning = Provisioning(sqlite_engine(path))
    try:
        numbers, bindings = provisioning.list_numbers(page_size=1).total, provisioning.bindings(page_size=1).total
    finally:
        provisioning.close()
    return f"{path}: {numbers} numbers, {bindings} bindings"


def _can_be_made(path: Path) -> None:
    """Where nothing is yet, the nearest folder above must take it; raises StoreError."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise StoreError(f"{path} can't be made: {above} is no directory")
    if not os.access(above, os.W_OK | os.X_OK):
        raise StoreError(f"{path} can't be made: {above} can't be written by this user")


def _recordings(config: Config, dialplan: Dialplan) -> str:
    """How long they are kept; raises ConfigError where that is said of an app that is not there."""
    own, path = dialplan.recording_keep_days, config.store.path
    if own and Path(path).exists() and schema_revision(path) == REVISION:
        apps = app_keys(path)
        if missing := [repr(name) for name in own if name not in apps]:
            there = f"there are {', '.join(apps)}" if apps else "there is none"
            raise ConfigError("dialplans: app", f"expected apps of the store, not {', '.join(missing)}; {there}")
    words = [f"{name}: {_days(days)}" for name, days in own.items()]
    return "; ".join([f"kept {_days(config.recording.keep_days)}", *words])


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"
