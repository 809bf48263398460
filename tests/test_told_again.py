"""What is told again and what is not: tests/conftest.py in a run of its own, on a machine that seems to stand still."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stalls import StallWatch, waited_for_processors_s

ROOT = Path(__file__).resolve().parent.parent
STORIES = """
import os, socket, subprocess
import pytest
from tests.support.stalls import STOOD_STILL, Inexcusable
BEGUN = []

@pytest.fixture(scope="session", autouse=True)
def switch():
    BEGUN.append("switch")
    yield

def stall():
    script = "kill -STOP $0; until grep -q '^State:.[Tt]' /proc/$0/status; do :; done; sleep 0.3; kill -CONT $0"
    subprocess.run(["sh", "-c", script, str(os.getpid())], check=True)

@pytest.mark.real_time
def test_unlucky():
    BEGUN.append("unlucky")
    if BEGUN.count("unlucky") < 2:
        left_open = socket.socket()
        stall()
        pytest.fail("no answer")
    assert BEGUN.count("switch") == 2

@pytest.mark.real_time
def test_unlucky_before_it_began(request):
    BEGUN.append("batch")
    if BEGUN.count("batch") < 2:
        request.node.stash[STOOD_STILL] = True
        pytest.fail("no answer either")

@pytest.fixture(scope="module")
def heard():
    BEGUN.append("heard")
    if BEGUN.count("heard") < 2:
        stall()
    return BEGUN.count("heard")

@pytest.mark.real_time
def test_one_who_looks(heard):
    pass

@pytest.mark.real_time
def test_another_who_looks(heard):
    assert heard == 2

@pytest.mark.real_time
def test_unlucky_unseen():
    BEGUN.append("unseen")
    assert BEGUN.count("unseen") == 2, "no answer while all went on"

@pytest.mark.real_time
def test_unlucky_unseen_and_seen():
    BEGUN.append("both")
    if BEGUN.count("both") == 2:
        stall()
    assert BEGUN.count("both") == 3, "wrong twice"

@pytest.mark.real_time
def test_wrong_unseen():
    BEGUN.append("wrong unseen")
    assert BEGUN.count("wrong unseen") == 3, "wrong twice while all went on"

@pytest.mark.real_time
def test_wrong_before_it_began(request):
    request.node.stash[STOOD_STILL] = False
    stall()
    pytest.fail("no answer while all went on")

@pytest.mark.real_time
def test_wrong():
    BEGUN.append("wrong")
    stall()
    assert BEGUN.count("wrong") == 4, "wrong three times"

@pytest.mark.real_time
def test_leak():
    BEGUN.append("leak")
    stall()
    if BEGUN.count("leak") < 2:
        raise Inexcusable("a number was shown")

def test_of_virtual_time():
    BEGUN.append("virtual")
    stall()
    assert BEGUN.count("virtual") == 2
"""


@pytest.mark.real_time  # where the machine stands still, it excuses what is told here as wrong
def test_what_failed_once_is_told_again_and_what_is_wrong_stays_wrong(tmp_path: Path) -> None:
    stories = tmp_path / "test_stories.py"
    stories.write_text(STORIES)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(stories)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, check=False)
    told = finished.stdout
    failed = [line.split()[1].rpartition(":")[2] for line in told.splitlines() if line.startswith("FAILED")]
    wrong = ["test_wrong_unseen", "test_wrong_before_it_began", "test_wrong"]
    assert failed == [*wrong, "test_leak", "test_of_virtual_time"], told
    again = [line.partition(": ") for line in told.splitlines() if line.startswith("told again, ")]
    named = [(why.removeprefix("told again, "), rest.partition("::")[2].partition(":")[0]) for why, _, rest in again]
    seen, unseen = "for the machine stood still", "though no stall was seen"
    assert named == [
        *((seen, name) for name in ("test_unlucky", "test_unlucky_before_it_began", "test_another_who_looks")),
        (unseen, "test_unlucky_unseen"),
        (unseen, "test_unlucky_unseen_and_seen"),
        (seen, "test_unlucky_unseen_and_seen"),
        (unseen, "test_wrong_unseen"),
        (unseen, "test_wrong_before_it_began"),
        (seen, "test_wrong"),
        (seen, "test_wrong"),
    ]
    assert finished.stderr == ""  # what the unlucky one left open is nobody's fault


def test_a_watch_tells_a_machine_that_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = 10.0
    monkeypatch.setattr("tests.support.stalls.waited_for_processors_s", lambda: waited)
    monkeypatch.setattr("tests.support.stalls.LATE_S", 3600.0)
    for more, still in ((0.0, False), (9999.0, True)):
        with StallWatch() as watch:
            waited += more
        assert watch.stood_still is still


def test_a_stall_is_that_of_the_stories_that_were_told_meanwhile() -> None:
    watch = StallWatch()
    watch._waited = [(0.0, 5.0), (10.0, 5.0), (20.0, 9.0), (30.0, 9.0)]
    watch._late = [(25.0, 25.5)]
    spans = [(1.0, 9.0), (9.0, 11.0), (12.0, 18.0), (21.0, 24.0), (21.0, 25.2), (25.4, 29.0), (26.0, 29.0)]
    assert [watch.stood_still_within(*span) for span in spans] == [False, True, True, False, True, True, False]


def test_what_the_kernel_does_not_tell_counts_nothing(tmp_path: Path) -> None:
    assert waited_for_processors_s(tmp_path) == 0
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 300 0 0\ncpu0 1 2 3 4 5 6 7 300 0 0\n")
    assert waited_for_processors_s(tmp_path) == 300 / os.sysconf("SC_CLK_TCK")
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "cpu").write_text("some avg10=1.00 avg60=1.00 avg300=1.00 total=2500000\nfull total=9\n")
    assert waited_for_processors_s(tmp_path) == 2.5 + 300 / os.sysconf("SC_CLK_TCK")
