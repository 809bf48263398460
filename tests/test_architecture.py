"""The rules of the house: imports point down, protocol code knows no clock, files and functions stay small."""

from __future__ import annotations

import ast
import itertools
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("softswitch", "media", "demo")
LINE_CAP = 500
GENERATED = "softswitch/stores/migrations"

# What each part may import of the project, besides itself; everyone may import `interfaces` and `errors`.
MAY_IMPORT = {
    "softswitch.sip": set(),
    "softswitch.sdp": set(),
    "softswitch.routing": set(),
    "softswitch.stores": set(),
    "softswitch.cdr_sinks": set(),
    "softswitch.media_drivers": {"media"},
    "softswitch.call": {"softswitch.sip", "softswitch.sdp", "softswitch.routing"},
    "softswitch.interconnect": {"softswitch.sip", "softswitch.routing"},
    "softswitch.api": {"softswitch.call", "softswitch.routing", "softswitch.logs", "softswitch.tracing"},
    "softswitch.tracing": {"softswitch.sip"},
    "softswitch.prompts": {"media"},
    "softswitch.metrics": set(),
    "softswitch.logs": set(),
    "softswitch.retention": set(),
    "softswitch.filing": {"softswitch.call", "media"},
    "softswitch.reloading": {"media"},
    "softswitch.repair": {"media"},
    "softswitch.config": set(),
    "media": set(),
}
EVERYONES = {
    "softswitch.interfaces",
    "softswitch.media_interfaces",
    "softswitch.hosts",
    "softswitch.moments",
    "softswitch.recordings",
    "softswitch.errors",
}
COMPOSITION = (
    "softswitch/app.py",
    "softswitch/parts.py",
    "softswitch/serving.py",
    "softswitch/cli",
    "softswitch/__main__.py",
)

SANS_IO = ("softswitch/sip", "softswitch/sdp", "softswitch/routing")
AWARE = {
    "softswitch/sip/transport.py",
    "softswitch/sip/stream_transport.py",  # the TCP and TLS half of transport.py
    "softswitch/sip/connection.py",  # one connection of it, an asyncio.Protocol
    "softswitch/sip/tls.py",  # its certificates
    "softswitch/sip/resolver.py",
    "softswitch/sip/user_agent.py",
}
OUTSIDE_WORLD = {
    "asyncio",
    "socket",
    "ssl",
    "time",
    "random",
    "secrets",
    "select",
    "selectors",
    "threading",
    "uvloop",
    "datetime",
}
RNG_IS_HANDED_IN = {"softswitch/routing/resolve.py", "softswitch/routing/trunks.py"}  # the type random.Random only

BAD_WORDS = ("manager", "handler", "helper", "utils")
TESTED_ELSEWHERE = {
    "softswitch/__main__.py": "tests/test_cli.py",
    "softswitch/interfaces.py": "tests/call/test_b2bua.py",
    "softswitch/media_interfaces.py": "tests/media_drivers/test_contract.py",
    "softswitch/call/services.py": "tests/call/test_b2bua.py",
}


def python_files(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted(path for path in (ROOT / package).rglob("*.py") if GENERATED not in path.as_posix())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.startswith("softswitch") else module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize("path", list(python_files("softswitch", "media")), ids=name_of)
def test_imports_point_down_the_map(path: Path) -> None:
    if name_of(path).startswith(COMPOSITION):
        return
    module = name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    own = part_of(module)
    used = {part_of(name) for name in imports(path) if name.startswith(("softswitch.", "media"))}
    allowed = MAY_IMPORT.get(own, set()) | EVERYONES | {own}
    assert used - allowed == set(), f"{name_of(path)} may not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", list(python_files(*SANS_IO)), ids=name_of)
def test_protocol_and_decision_code_knows_no_clock_socket_or_chance(path: Path) -> None:
    if name_of(path) in AWARE:
        return
    forbidden = OUTSIDE_WORLD - ({"random"} if name_of(path) in RNG_IS_HANDED_IN else set())
    used = {name.split(".")[0] for name in imports(path)} & forbidden
    assert not used, f"{name_of(path)} must be told the time and handed its tokens, but imports {sorted(used)}"


@pytest.mark.parametrize("path", list(python_files("softswitch")), ids=name_of)
def test_events_of_the_log_are_one_word_in_snake_case(path: Path) -> None:
    """Whoever searches or counts log lines does so by them."""
    if "structlog.get_logger" not in path.read_text():
        return
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args)
    told = [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("log", "audit")
        and isinstance(call.args[0], ast.Constant)
    ]
    assert [event for event in told if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", str(event))] == []


def test_no_file_is_over_500_lines() -> None:
    sources = [*python_files(*PACKAGES, "tests"), *(ROOT / "media").rglob("*.[ch]")]
    long = {name_of(path): lines for path in sources if (lines := len(path.read_text().splitlines())) > LINE_CAP}
    assert not long


def test_functions_are_short() -> None:
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for path in python_files("softswitch", "media")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    assert statistics.median(lengths) <= 10
    assert lengths[int(len(lengths) * 0.9)] <= 35


@pytest.mark.parametrize("path", list(python_files("softswitch", "media")), ids=name_of)
def test_every_module_has_its_test_file(path: Path) -> None:
    name = name_of(path)
    if path.name == "__init__.py" or (path.name == "__main__.py" and name not in TESTED_ELSEWHERE):
        return
    inside = name.removeprefix("softswitch/")
    mirrored = Path("tests", inside).parent / f"test_{path.stem}.py"
    test = ROOT / TESTED_ELSEWHERE.get(name, mirrored)
    assert test.exists(), f"{name} has no {test.relative_to(ROOT)}"


def test_names_say_what_things_are() -> None:
    names = itertools.chain.from_iterable(
        (
            name_of(path),
            *(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)),
        )
        for path in python_files(*PACKAGES)
    )
    assert [name for name in names if any(word in name.lower() for word in BAD_WORDS)] == []


@pytest.mark.parametrize("path", list(python_files("softswitch", "media")), ids=name_of)
def test_modules_open_with_their_purpose(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{name_of(path)} has no docstring"
