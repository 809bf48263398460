"""The numbers, pools and dialplan that the routing tests share."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softswitch.interfaces import App, Binding, Decision, Mode, NeedExtension, PrivateNumber, Rejection, Route
from softswitch.routing.attempt import Attempt, Trace
from softswitch.routing.dialplan import Dialplan, parse_dialplans
from softswitch.routing.resolve import Resolver
from tests.support.memory_store import MemoryStore

NOW = 1_800_000_000.0

X, X2, X_700 = "+8617000000001", "+8617000000002", "+8670011234567"
A, B, C = "+8613800000001", "+8613800000002", "+8613900000003"
FIXED_LINE = "+8675528880001"
ABROAD = "+12125550001"

DIALPLANS = Path(__file__).parents[2] / "dialplans"
CHINA = (DIALPLANS / "10-china.toml").read_text(encoding="utf-8")
LAB = """
[[trunk]]
name = "lab"
host = "127.0.0.1"
port = 5090
sources = ["127.0.0.1/32"]
[[route]]
name = "everything"
targets = ["lab"]
"""
PROVING_TRUNK = """
[[trunk]]
name = "proving"
host = "10.0.0.9"
sources = ["10.0.0.9/32"]
auth = "digest"
auth_username = "them"
auth_password = "secret"
"""
RULES = parse_dialplans({"10.toml": CHINA}).numbers


def plan(text: str = LAB) -> Dialplan:
    """China's numbers and the tables in `text`."""
    return parse_dialplans({"10.toml": CHINA, "90.toml": text})


def app(mode: Mode, **options: Any) -> App:
    """An app of that mode."""
    return App(f"app-{mode}", mode, **options)


def axb(**options: Any) -> Binding:
    """A and B on X."""
    return Binding(**{"id": "axb-1", "app_key": "app-AXB", "mode": Mode.AXB, "x": X, "a": A, "b": B, **options})


def ax(**options: Any) -> Binding:
    """A's second number X."""
    return Binding(**{"id": "ax-1", "app_key": "app-AX", "mode": Mode.AX, "x": X, "a": A, **options})


def axe(**options: Any) -> Binding:
    """A behind X and 1234."""
    defaults = {"id": "axe-1", "app_key": "app-AXE", "mode": Mode.AXE, "x": X, "a": A, "extension": "1234"}
    return Binding(**{**defaults, **options})


def store(mode: Mode, *bindings: Binding, x: str = X, **options: Any) -> MemoryStore:
    """A store in which `x` belongs to an app of that mode."""
    return MemoryStore(numbers=[PrivateNumber(x, app(mode, **options))], bindings=bindings)


def attempt(mode: Mode, caller: str, *, extension: str | None = None, caller_class: str = "mobile") -> Attempt:
    """A call to X as a mode sees it."""
    return Attempt(app(mode), X, caller, caller_class, extension, NOW, Trace())


@dataclass
class Switchboard:
    """A Resolver at a fixed time over a store and a dialplan."""

    store: MemoryStore
    dialplan: Dialplan = field(default_factory=plan)
    explain: bool = False
    max_duration_s: int = 0

    def ask(self, dialled: str, caller: str, **more: Any) -> Decision:
        """The decision about one call."""
        rules: dict[str, Any] = {"explain": self.explain, "max_duration_s": self.max_duration_s}
        resolver = Resolver(self.store, lambda: self.dialplan, lambda: NOW, random.Random(1), **rules)
        return asyncio.run(resolver.resolve(dialled, caller, **more))

    def route(self, dialled: str, caller: str, **more: Any) -> Route:
        """The Route of a call that must have one."""
        decision = self.ask(dialled, caller, **more)
        assert isinstance(decision, Route), decision
        return decision

    def refused(self, dialled: str, caller: str, **more: Any) -> Rejection:
        """The Rejection of a call that must be refused."""
        decision = self.ask(dialled, caller, **more)
        assert isinstance(decision, Rejection), decision
        return decision

    def asked_for_extension(self, dialled: str, caller: str, **more: Any) -> NeedExtension:
        """The NeedExtension of a call that must be asked."""
        decision = self.ask(dialled, caller, **more)
        assert isinstance(decision, NeedExtension), decision
        return decision
