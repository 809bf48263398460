"""Reads `sipp_scenarios/*/expect.toml`: what is bound, who calls, and what must have happened when the call is over.

Called by world.py (who needs which number), runner.py (what to start) and test_scenarios.py (what to look at). The keys
are explained in `sipp_scenarios/README.md`; an unknown one is an error.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

SCENARIOS = Path(__file__).resolve().parents[2] / "sipp_scenarios"
SILENT = "silent"  # in the place of a file: a target that takes whatever comes and never answers

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class BindingPart:
    """`[binding]`: what X is bound to. The rest of `options` goes to the store's BindingOptions."""

    __pydantic_config__ = STRICT

    mode: str
    x_class: str = "mobile"  # or "700"
    a_class: str = "mobile"  # or "fixed"
    temporary_callee: str = ""  # AX
    latest_caller: str = ""  # AXE: who last called A
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallPart:
    """`[call]`: who dials, whose phone is at the other end, which files play the targets of the route, in order."""

    __pydantic_config__ = STRICT

    caller: str
    callee: str
    callees: tuple[str, ...] = ("uas.xml",)
    reached: bool = True  # False: nothing at all may arrive at any target
    stranger: bool = False  # the caller's address is in no trunk of the dialplan
    transport: Literal["udp", "tcp", "tls"] = "udp"  # of the caller
    nat: bool = False  # the caller calls the listener that tells another address than its own
    calls: int = 1  # one after the other
    takes: tuple[int, ...] = ()  # how many of them each target gets; none said: all
    lasts_s: float = 0.0  # of a long scenario: it waits for a clock that can't be shortened
    ipv6: bool | Literal["caller", "callee"] = False  # signalling goes by [::1]: all of it, or that of one side
    digest: bool = False  # the caller's trunk must prove `caller` and `secret`

    @property
    def by_ipv6(self) -> tuple[bool, bool]:
        """Whether the caller's signalling goes by [::1], and the targets'."""
        return self.ipv6 in (True, "caller"), self.ipv6 in (True, "callee")


@dataclass(frozen=True, slots=True)
class TrunkPart:
    """`[trunk]`: clocks and transport of the targets, and whether we have an account (`us`, `secret`) there."""

    __pydantic_config__ = STRICT

    ring_s: float = 20.0
    connect_s: float = 5.0
    account: bool = False
    transport: Literal["udp", "tcp", "tls"] = "udp"
    domain: bool = False  # one trunk, whose name leads to all targets in their order (SRV)
    naptr: bool = False  # and also to their transport, which the trunk leaves to DNS
    redirects: bool = False  # a target may send calls to any other (`redirect_hosts`)
    options: Mapping[str, Any] = field(default_factory=dict)  # further keys of the dialplan's [[trunk]]


@dataclass(frozen=True, slots=True)
class RelayPart:
    """`[relay]`: what happens to the connection of `side` on its way, and what must be seen of it."""

    __pydantic_config__ = STRICT

    side: Literal["caller", "callee"]
    drop_after: str = ""  # a method: the connection ends with the first request of it, and is opened anew
    ping: bool = False  # CRLF CRLF at its beginning, which must be answered
    certificate: bool = True  # with TLS: shows one of its own
    long: bool = False  # takes by TCP what is too long for UDP, which SIPp listens on
    connections: int = 1


@dataclass(frozen=True, slots=True)
class MediaPart:
    """`[media]`: what the phones send, and what they must hear, in this order (other things may follow)."""

    __pydantic_config__ = STRICT

    talk: bool = False
    keys: tuple[str, ...] = ()  # by RFC 4733, each at the next "enter_extension"
    tones: bool = False  # by tones in the audio instead
    caller_hears: tuple[str, ...] = ()
    callee_hears: tuple[str, ...] = ()
    caller_hears_at_least: Mapping[str, int] = field(default_factory=dict)  # packets
    caller_hears_at_most: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """`[[seen]]`: a message that one side received.

    `times` counts different messages, `at_least` and `at_most` count retransmissions too; `contains` is looked for in
    `header`, else in the whole message; `lacks` must stand there in none of them.
    """

    __pydantic_config__ = STRICT

    by: str
    message: str
    cseq: str = ""
    header: str = ""
    contains: str = ""
    lacks: str = ""
    times: int | None = None
    at_least: int = 1
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class CdrPart:
    """`[cdr]`: `fields` are those of `interfaces.Cdr`; the rest is worked out from its times."""

    __pydantic_config__ = STRICT

    none: bool = False
    records: int = 0  # of a scenario whose SIPp makes several calls at once; 0: as many as `calls`
    answered: bool | None = None
    talk_s: float | None = None
    talk_tolerance_s: float = 0.1
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One folder of `sipp_scenarios/`."""

    __pydantic_config__ = STRICT

    name: str
    files: str  # the folder of its XML files
    about: str
    binding: BindingPart
    call: CallPart
    cdr: CdrPart
    trunk: TrunkPart = TrunkPart()
    caller_trunk: Mapping[str, Any] = field(default_factory=dict)  # the caller's own [[trunk]], where it has keys
    media: MediaPart = MediaPart()
    relay: RelayPart | None = None
    seen: tuple[Seen, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its XML files stand."""
        return SCENARIOS / self.files

    @property
    def records(self) -> int:
        """How many CDRs of its X there must be."""
        return 0 if self.cdr.none else self.cdr.records or self.call.calls


_SCENARIO = TypeAdapter(Scenario)


def load_scenarios() -> list[Scenario]:
    """Every folder that holds an expect.toml, by name, each followed by what it is also run over."""
    return [one for path in sorted(SCENARIOS.glob("*/expect.toml")) for one in load(path.parent)]


def load(folder: Path) -> list[Scenario]:
    """The scenario in `folder`, and its variants."""
    tables = tomllib.loads((folder / "expect.toml").read_text(encoding="utf-8"))
    over = tables.pop("also_over", ())
    return [_scenario(folder.name, copy.deepcopy(tables)), *(_variant(folder.name, tables, one) for one in over)]


def _variant(name: str, tables: Mapping[str, Any], over: str) -> Scenario:
    """The same messages over another transport, or by IPv6."""
    changed = copy.deepcopy(dict(tables))
    if over == "ipv6":
        changed["call"]["ipv6"] = True
    else:
        changed["call"]["transport"] = over
        changed["trunk"] = {**changed.get("trunk", {}), "transport": over}
    return _scenario(name, changed, f"{name}_over_{over}")


def _scenario(folder: str, tables: dict[str, Any], name: str = "") -> Scenario:
    call = tables["call"]
    tables["call"] = {"caller": call.pop("from"), "callee": call.pop("to"), **call}
    _gather(tables["binding"], BindingPart, "options")
    _gather(tables["cdr"], CdrPart, "fields")
    _gather(tables.setdefault("trunk", {}), TrunkPart, "options")
    return _SCENARIO.validate_python({"name": name or folder, "files": folder, **tables})


def _gather(table: dict[str, Any], part: type, into: str) -> None:
    """Move the keys that are not of `part` into its mapping `into`."""
    own = getattr(part, "__dataclass_fields__")  # noqa: B009 - dataclasses have no typed way to name their fields
    table[into] = {name: table.pop(name) for name in list(table) if name not in own}
