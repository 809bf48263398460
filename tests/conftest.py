"""How Hypothesis plays in this project, and how tests in real time hold on a machine that is busy with others.

`make test` draws the same examples each time: a red run is the fault of the change, and two runs tell the same. New
examples are looked for with `HYPOTHESIS_PROFILE=explore` (and by `make fuzz`). A busy machine is slow at any moment, so
no example has a deadline and none is too slow to make; what hangs is ended by the test's own bounds.

Tests of the switch with other programs go by the clock on the wall. One that failed while the machine stood still
(tests/support/stalls.py) is told again from the start, with a new switch, new proxies and new phones, at most ATTEMPTS
times. One that failed without a stall that was seen (a host need not tell that it took a processor) is told again once.
The end of the run names both, and why. The first failure counts where a number was shown to whom it may not
(Inexcusable), and where the switch did not end clean.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Generator

import pytest
import pytest_timeout
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from tests.support.stalls import STOOD_STILL, Inexcusable, StallWatch

BY_THE_CLOCK = [HealthCheck.too_slow]
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=BY_THE_CLOCK)
settings.register_profile(
    "explore", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=BY_THE_CLOCK
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

IN_REAL_TIME = ("interop", "phones", "real_time")  # markers
ATTEMPTS = 3
UNSEEN = 1  # of these may fail though no stall was seen
TOLD_AGAIN = pytest.StashKey[list[str]]()
FINAL = pytest.StashKey[bool]()
MADE = pytest.StashKey[dict[str, bool]]()  # of a module, by fixture: whether the machine stood still while it was made


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test in real time, again if need be; all others are left to pytest."""
    if not any(item.get_closest_marker(name) for name in IN_REAL_TIME):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _told(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _told(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """The reports of the first attempt that passed or whose failure counts, or of the last."""
    unseen = 0  # attempts that failed without a stall that was seen
    for _ in range(ATTEMPTS - 1):
        item.stash[STOOD_STILL] = None
        with StallWatch() as watch:
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = [report for report in reports if report.failed]
        if not failed or item.stash.get(FINAL, False):
            return reports
        excused = _excused(item, watch)
        unseen += not excused
        if unseen > UNSEEN or not _ended_clean(item):
            return reports
        why = "for the machine stood still" if excused else "though no stall was seen"
        item.config.stash.setdefault(TOLD_AGAIN, []).append(f"{why}: {item.nodeid}: {_in_short(failed[0])}")
        _let_go()
        _start_timeout_anew(item)
    return runtestprotocol(item, log=False, nextitem=nextitem)


def _excused(item: pytest.Item, watch: StallWatch) -> bool:
    """Whether the machine stood still while what failed was told, be it before this test began."""
    before = item.stash[STOOD_STILL]
    if before is not None:
        return before
    module = item.getparent(pytest.Module)
    made = module.stash.get(MADE, {}) if module else {}
    return watch.stood_still or any(made.get(name, False) for name in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Watch the making of what several tests of a module look at, such as the evidence of one call."""
    if fixturedef.scope != "module":
        return (yield)
    watch = StallWatch()
    try:
        with watch:
            return (yield)
    finally:
        request.node.stash.setdefault(MADE, {})[fixturedef.argname] = watch.stood_still


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember what no stall excuses."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(Inexcusable):
        item.stash[FINAL] = True
    return report


def _ended_clean(item: pytest.Item) -> bool:
    """End what lives longer than a test: what comes next starts anew. False where something could not end well."""
    try:
        item.session._setupstate.teardown_exact(None)
    except Exception:
        return False
    return True


def _let_go() -> None:
    """End what the failure left open, which the interpreter still holds: else it would be the next attempt's fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            if hasattr(sys, name):
                delattr(sys, name)
        gc.collect()


def _in_short(failed: pytest.TestReport) -> str:
    """What went wrong and where, without the source around it."""
    wrong = [line.removeprefix("E").strip() for line in failed.longreprtext.splitlines() if line.startswith("E ")]
    return " | ".join([failed.longreprtext.strip().splitlines()[-1], *wrong[:6]])


def _start_timeout_anew(item: pytest.Item) -> None:
    """Each attempt has the whole time."""
    item.ihook.pytest_timeout_cancel_timer(item=item)
    item.ihook.pytest_timeout_set_timer(item=item, settings=pytest_timeout._get_item_settings(item))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was told again: now and then is the machine's fault, always the same one is the switch's."""
    for line in config.stash.get(TOLD_AGAIN, []):
        terminalreporter.write_line(f"told again, {line}")
