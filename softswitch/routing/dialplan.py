"""The dialplan: number classes, trunks, routes, bars, treatments, apps: read from `dialplans/*.toml`, frozen records.

Called by app.py (load, reload on SIGHUP), `softswitch check` and resolve.py. Reading is all or nothing: a new Dialplan
or a ConfigError that names every wrong key of every file. Matching never does I/O.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from softswitch.errors import ConfigError
from softswitch.interfaces import Mode, Target
from softswitch.routing.fields import RECORD, AppKey, Count, Days, Flag, Name, Number, Prefix, Seconds
from softswitch.routing.numbers import INTERNATIONAL, UNKNOWN, NumberClass, NumberPlan, NumberRules
from softswitch.routing.trunk import Trunk
from softswitch.routing.trunks import Source, sources_of, target_at, trunk_at

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """One trunk of a route; `ring_s` overrides the trunk's."""

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    trunk: Name
    ring_s: Seconds | None = None


def _target(value: object) -> object:
    return {"trunk": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One `[[route]]`: callees of these numbers, prefixes or classes (none given: all) leave by `targets`.

    `from_trunks` narrows it to calls that came in by these trunks; `treatment` names a `[treatment.…]` table.
    """

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    name: Name
    targets: tuple[Annotated[RouteTarget, BeforeValidator(_target)], ...]
    numbers: frozenset[Number] = frozenset()
    prefixes: tuple[Prefix, ...] = ()
    classes: frozenset[str] = frozenset()
    from_trunks: frozenset[str] = frozenset()
    treatment: Name | None = None

    @property
    def takes_every_callee(self) -> bool:
        """Whether it names no numbers at all."""
        return not (self.numbers or self.prefixes or self.classes)

    def hides(self, later: RouteEntry) -> bool:
        """Whether no call that could take `later` gets past this one."""
        same_trunks = not self.from_trunks or (bool(later.from_trunks) and later.from_trunks <= self.from_trunks)
        return self.takes_every_callee and same_trunks

    def matches(self, callee: str, callee_class: str, trunk: str | None) -> bool:
        """Whether a call to `callee` that came in by `trunk` takes this route."""
        if self.from_trunks and trunk not in self.from_trunks:
            return False
        if self.takes_every_callee:
            return True
        return callee in self.numbers or callee_class in self.classes or callee.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class TreatmentRule:
    """One `[treatment.…]`: what it sets; None leaves it to the wider table (route, then mode, then default).

    Tones are prompt names, "" is none; the `language` "" is `prompts.language`. `max_duration_s` caps what bindings ask
    for, 0 is no cap.
    """

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    announcement: str | None = None
    announcement_mandatory: Flag | None = None
    record: Flag | None = None
    stereo: Flag | None = None
    language: str | None = None
    max_duration_s: Count | None = None
    last_minute: str | None = None
    connecting: str | None = None

    def over(self, wider: TreatmentRule) -> TreatmentRule:
        """This rule with its gaps filled from a wider one."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(wider, **{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, slots=True)
class AppRule:
    """One `[[app]]`: what holds for the calls of the app whose key is `name`; None leaves it to the whole switch."""

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    name: AppKey
    recording_keep_days: Days | None = None  # 0: for ever


BUILT_IN_CLASSES = (INTERNATIONAL, UNKNOWN)
BUILT_IN_TREATMENT = TreatmentRule(
    announcement="",
    announcement_mandatory=False,
    record=False,
    stereo=False,
    language="",
    max_duration_s=0,
    last_minute="last_minute",
    connecting="connecting",
)


@dataclass(frozen=True, slots=True)
class Barring:
    """The `[barring]` table: calls that are refused whatever is bound. Prefixes and numbers are E.164."""

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    caller_prefixes: tuple[Prefix, ...] = ()  # 7500
    callee_prefixes: tuple[Prefix, ...] = ()  # 7500
    callers: frozenset[Number] = frozenset()  # black list, 7005
    callees: frozenset[Number] = frozenset()  # black list, 7004
    international_callers: Flag = True  # 8042
    international_callees: Flag = True  # 8043


@dataclass(frozen=True, slots=True)
class Dialplan:
    """All files together, checked; never changed, only replaced as a whole."""

    numbers: NumberRules
    trunks: Mapping[str, Trunk] = field(default_factory=dict)
    routes: tuple[RouteEntry, ...] = ()
    barring: Barring = Barring()
    treatments: Mapping[tuple[Mode, str | None], TreatmentRule] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    recording_keep_days: Mapping[str, int] = field(default_factory=dict)  # of apps that have their own
    without_effect: tuple[str, ...] = ()  # what is said in vain, each with file and key, for `softswitch check`
    targets: Mapping[str, Target] = field(init=False, compare=False, repr=False)  # by trunk, without any numbers

    def __post_init__(self) -> None:
        """Made here, since most of a target is the same for every call."""
        object.__setattr__(self, "targets", {name: target_at(trunk) for name, trunk in self.trunks.items()})

    def route_for(self, callee: str, callee_class: str, trunk: str | None = None) -> RouteEntry | None:
        """The first route, in the order of the files, that matches."""
        for entry in self.routes:
            if entry.matches(callee, callee_class, trunk):
                return entry
        return None

    def treatment_for(self, mode: Mode, name: str | None = None) -> TreatmentRule:
        """The treatment of a mode on a route that names `name`, without gaps."""
        return self.treatments.get((mode, name), BUILT_IN_TREATMENT)

    def trunk_of(self, source_ip: str, source_port: int, transport: str) -> Trunk | None:
        """The trunk that sends from this address and port by this transport, None for a stranger."""
        return trunk_at(self.sources, source_ip, source_port, transport)


def load_dialplans(directory: str | Path) -> Dialplan:
    """Read all `*.toml` of a directory; raises ConfigError and nothing else."""
    try:
        paths = list(Path(directory).glob("*.toml"))
    except OSError as error:
        raise ConfigError("dialplan.directory", f"{directory} cannot be read: {error.strerror}") from error
    files = {path.name: _text(path) for path in paths}
    if not files:
        raise ConfigError("dialplan.directory", f"{directory}: expected at least one *.toml file")
    return parse_dialplans(files)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("dialplan.directory", f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("dialplan.directory", f"expected UTF-8 in {path}: {error}") from error


def parse_dialplans(files: Mapping[str, str]) -> Dialplan:
    """Read dialplan texts, by file name, in the order of their names; raises ConfigError with all that is wrong."""
    reading = _Reading()
    for name in sorted(files):
        reading.read(name, files[name])
    if not reading.problems:  # else what a broken entry should have defined would be reported missing
        reading.check_references()
        reading.check_trunks()
    if reading.problems:
        place, message = reading.problems[0]
        more = "".join(f"\n{place}: {message}" for place, message in reading.problems[1:])
        raise ConfigError(place, message + more)
    return reading.dialplan()


class _Reading:
    """The records read so far, each with its place, and everything found wrong."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []
        self.plan: dict[str, tuple[str, NumberPlan]] = {}
        self.barring: dict[str, tuple[str, Barring]] = {}
        self.classes: dict[str, tuple[str, NumberClass]] = {}
        self.trunks: dict[str, tuple[str, Trunk]] = {}
        self.routes: dict[str, tuple[str, RouteEntry]] = {}
        self.treatments: dict[str, tuple[str, TreatmentRule]] = {}
        self.apps: dict[str, tuple[str, AppRule]] = {}
        self._tables: dict[str, Callable[[str, object], None]] = {
            "numbers": lambda place, value: self._one(place, value, NumberPlan, self.plan),
            "number_class": lambda place, value: self._list(place, value, NumberClass, self.classes),
            "trunk": lambda place, value: self._list(place, value, Trunk, self.trunks),
            "route": lambda place, value: self._list(place, value, RouteEntry, self.routes),
            "barring": lambda place, value: self._one(place, value, Barring, self.barring),
            "treatment": self._treatments,
            "app": lambda place, value: self._list(place, value, AppRule, self.apps),
        }

    def read(self, file: str, text: str) -> None:
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.problems.append((file, f"expected TOML: {error}"))
            return
        for key, value in tables.items():
            place = f"{file}: {key}"
            if key in self._tables:
                self._tables[key](place, value)
            else:
                self.problems.append((place, _unknown(key, self._tables)))

    def dialplan(self) -> Dialplan:
        trunks = {name: trunk for name, (_, trunk) in self.trunks.items()}
        return Dialplan(
            numbers=NumberRules(self.plan["numbers"][1], tuple(rule for _, rule in self.classes.values())),
            trunks=trunks,
            routes=tuple(entry for _, entry in self.routes.values()),
            barring=self.barring["barring"][1] if self.barring else Barring(),
            treatments=self._layers(),
            sources=sources_of(trunks.values()),
            recording_keep_days={
                name: rule.recording_keep_days
                for name, (_, rule) in self.apps.items()
                if rule.recording_keep_days is not None
            },
            without_effect=tuple(f"{place}: {words}" for place, words in self._without_effect()),
        )

    def check_references(self) -> None:
        """Every trunk, class and treatment that is named exists, and there is one number plan."""
        if not self.plan:
            self.problems.append(("dialplans", "expected a [numbers] table in one of the files"))
        classes = {*self.classes, *BUILT_IN_CLASSES}
        for place, rule in self.classes.values():
            if rule.name in BUILT_IN_CLASSES:
                self.problems.append((place, f"expected a name of its own: '{rule.name}' is built in"))
            for key in ("lengths", "prefixes"):
                if not getattr(rule, key):
                    self.problems.append((f"{place}.{key}", "expected at least one, or the class has no number"))
        for place, entry in self.routes.values():
            if not entry.targets:
                self.problems.append((f"{place}.targets", "expected at least one trunk"))
            for index, target in enumerate(entry.targets):
                self._known(f"{place}.targets[{index}]", "trunk", target.trunk, self.trunks)
            for name in sorted(entry.from_trunks):
                self._known(f"{place}.from_trunks", "trunk", name, self.trunks)
            for name in sorted(entry.classes):
                self._known(f"{place}.classes", "number class", name, classes)
            if entry.treatment is not None:
                self._known(f"{place}.treatment", "treatment", entry.treatment, self.treatments)

    def check_trunks(self) -> None:
        """The keys of each go together, and no address speaks for two trunks."""
        owners: dict[tuple[object, int | None], str] = {}
        for place, trunk in self.trunks.values():
            self.problems += [(f"{place}.{key}", words) for key, words in trunk.problems()]
            for source in sources_of([trunk]):
                owner = owners.setdefault((source.network, source.port), trunk.name)
                if owner != trunk.name:
                    self.problems.append(
                        (f"{place}.sources", f"expected a network of its own: trunk '{owner}' has {source.network} too")
                    )

    def _without_effect(self) -> Iterator[tuple[str, str]]:
        """What is right by itself and changes nothing, which nobody can have meant."""
        entries = list(self.routes.values())
        for index, (place, entry) in enumerate(entries):
            before = next((earlier.name for _, earlier in entries[:index] if earlier.hides(entry)), None)
            if before is not None:
                yield place, f"no call gets there, route '{before}' before it takes them all"
        named = {"default", *Mode, *(entry.treatment for _, entry in entries)}
        for name, (place, _) in self.treatments.items():
            if name not in named:
                yield place, "no route names this treatment"
        for place, trunk in self.trunks.values():
            for key in ("codecs", "srtp_suites", "auth_algorithms"):
                listed = getattr(trunk, key)
                for name in sorted({name for name in listed if listed.count(name) > 1}):
                    yield f"{place}.{key}", f"'{name}' stands there more than once"

    def _one(self, place: str, value: object, record: type[_T], into: dict[str, tuple[str, _T]]) -> None:
        key = place.rpartition(" ")[2]
        if key in into:
            self.problems.append((place, f"expected once, is also in {into[key][0].partition(':')[0]}"))
        elif (found := self._check(place, value, record)) is not None:
            into[key] = (place, found)

    def _list(self, place: str, value: object, record: type[_T], into: dict[str, tuple[str, _T]]) -> None:
        if not isinstance(value, list):
            self.problems.append((place, f"expected [[{place.rpartition(' ')[2]}]] with double brackets"))
            return
        for index, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            where = f"{place}[{name if isinstance(name, str) else index}]"
            found = self._check(where, item, record)
            if isinstance(name, str) and name in into:
                self.problems.append((where, f"expected a name of its own, is also at {into[name][0]}"))
            elif isinstance(name, str) and found is not None:
                into[name] = (where, found)

    def _treatments(self, place: str, value: object) -> None:
        if not isinstance(value, dict):
            self.problems.append((place, "expected tables such as [treatment.default]"))
            return
        for name, table in value.items():
            where = f"{place}.{name}"
            close = next((one for one in ("default", *Mode) if one != name and one.lower() == name.lower()), None)
            if close is not None:
                self.problems.append((where, f"expected [treatment.{close}], as it is written"))
            elif name in self.treatments:
                self.problems.append((where, f"expected once, is also at {self.treatments[name][0]}"))
            elif (found := self._check(where, table, TreatmentRule)) is not None:
                self.treatments[name] = (where, found)

    def _layers(self) -> dict[tuple[Mode, str | None], TreatmentRule]:
        """Every (mode, treatment of a route) with its gaps filled: built-in, default, mode, route."""
        rules = {name: rule for name, (_, rule) in self.treatments.items()}
        nothing = TreatmentRule()
        default = rules.get("default", nothing).over(BUILT_IN_TREATMENT)
        layers: dict[tuple[Mode, str | None], TreatmentRule] = {}
        for mode in Mode:
            layers[mode, None] = rules.get(mode.value, nothing).over(default)
            for name, rule in rules.items():
                layers[mode, name] = rule.over(layers[mode, None])
        return layers

    def _check(self, place: str, value: object, record: type[_T]) -> _T | None:
        try:
            return _ADAPTERS[record].validate_python(value)  # type: ignore[no-any-return]
        except ValidationError as error:
            self.problems += [_problem(place, dict(detail), record) for detail in error.errors()]
            return None

    def _known(self, place: str, kind: str, name: str, known: Iterable[str]) -> None:
        if name not in (names := list(known)):
            self.problems.append(
                (place, f"expected a {kind} of the dialplan, there is no '{name}'{_close(name, names)}")
            )


_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    record: TypeAdapter(record)
    for record in (NumberPlan, NumberClass, Trunk, RouteEntry, Barring, TreatmentRule, AppRule)
}


def _problem(place: str, detail: dict[str, Any], record: type) -> tuple[str, str]:
    """Place and words of one pydantic error."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    key = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "unexpected_keyword_argument":
        table: Any = RouteTarget if "targets" in detail["loc"] else record
        return place + path, _unknown(key, [f.name for f in dataclasses.fields(table)])
    if detail["type"] == "missing":
        return place + path, "expected, but missing"
    if detail["type"].startswith("dataclass"):
        return place + path, f"expected a table, not {detail['input']!r}"
    if detail["type"] in ("tuple_type", "frozen_set_type"):
        return place + path, f"expected a list in brackets, not {detail['input']!r}"
    words = detail["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if "password" in key:
        return place + path, words  # what stands there is nobody's business
    return place + path, f"{words}, not {detail['input']!r}"


def _unknown(key: str, known: Iterable[str]) -> str:
    names = list(known)
    return f"unknown key{_close(key, names)}; expected one of {', '.join(names)}"


def _close(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
