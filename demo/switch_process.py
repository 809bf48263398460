"""Runs `softswitch serve` as a child on loopback ports of its own and reads what it leaves behind.

Called by the demo's story and by `tests/support/switch.py`. It never imports the switch: whatever it knows, it knows
from the command line, the health page and the CDR file, as an operator would.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

LOOPBACK = "127.0.0.1"
POLL_S = 0.05
HTTP_S = 30.0  # a machine may be busy; who answers does not wait
LONGEST_SOCKET_PATH = 100
PORTS = range(6200, 10000)  # SIPp looks for its media's from 6000 on, and ends where one of the pair is taken
RTP_PORTS = range(10000, 30000, 1000)
REPOSITORY = Path(__file__).resolve().parent.parent

# The child asks the kernel to end it with its parent, then becomes the switch: a killed demo leaves nothing running.
_END_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.execv(sys.executable, [sys.executable, '-m', 'softswitch', *sys.argv[1:]])"
)

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is nobody's business
_PORTS = itertools.cycle(random.sample(PORTS, len(PORTS)))

T = TypeVar("T")
Settings = Mapping[str, Mapping[str, object]]


class SwitchFailed(Exception):
    """The switch did not start, answer or stop as it should; the message ends with the last lines of its log."""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM, host: str = LOOPBACK) -> int:
    """A port of `host` that nobody uses at this moment; for this process never the same again.

    It lies below those that the kernel gives to whoever asks for any: what is bound to it only later is not taken
    by a passer-by until then.
    """
    for port in itertools.islice(_PORTS, len(PORTS)):
        if is_free(port, kind, host):
            return port
    raise OSError(f"no free port in {PORTS.start}-{PORTS.stop - 1} on {host}")


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_DGRAM, host: str = LOOPBACK) -> bool:
    """Whether nobody uses this port of `host` at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def toml(settings: Settings) -> str:
    """TOML text of one level of tables; JSON writes strings, numbers, booleans and lists as TOML does."""
    blocks = []
    for table, keys in settings.items():
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
        blocks.append("\n".join([f"[{table}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def some_rtp_ports() -> str:
    """One of twenty ranges, so that switches side by side seldom look for ports in the same one; none that another
    program has taken as a whole, as far as some of its ports tell."""
    for first in random.sample(RTP_PORTS, len(RTP_PORTS)):
        if all(is_free(port) for port in range(first, first + RTP_PORTS.step, RTP_PORTS.step // 20)):
            break
    return f"{first}-{first + RTP_PORTS.step - 1}"


def wait_until(look: Callable[[], T | None], timeout_s: float) -> T | None:
    """What `look` returns as soon as it returns something true, or its last word after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return found


class SwitchProcess:
    """One switch in `folder`: its configuration, dialplan, database, CDR file, recordings and log.

    `dialplan` is the text of the file with trunks and routes; the numbers of mainland China stand beside it.
    `settings` are configuration tables laid over the defaults of this class, key by key.
    """

    def __init__(self, folder: Path, *, dialplan: str, settings: Settings | None = None) -> None:
        self.folder = folder
        self.sip_port = free_port()
        self.http_port = free_port(socket.SOCK_STREAM)
        self.config = folder / "softswitch.toml"
        self.cdr_file = folder / "cdr.jsonl"
        self.log_file = folder / "switch.log"
        self.recordings = folder / "recordings"
        self.prompts = REPOSITORY / "prompts"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "dialplans").mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "dialplans" / "10-china.toml", folder / "dialplans")
        self.dialplan_file = folder / "dialplans" / "20-loopback.toml"
        self.dialplan_file.write_text(dialplan, encoding="utf-8")
        self.config.write_text(toml(self._settings(settings or {})), encoding="utf-8")

    def _settings(self, over: Settings) -> dict[str, dict[str, object]]:
        """The configuration of a switch that keeps to its folder and to loopback."""
        tables: dict[str, dict[str, object]] = {
            "sip": {"listen": [f"{LOOPBACK}:{self.sip_port}"]},
            "media": {"socket": str(self._socket_file()), "ports": some_rtp_ports()},
            "store": {"url": f"sqlite:///{self.folder.resolve() / 'softswitch.db'}"},
            "dialplan": {"directory": str(self.dialplan_file.parent)},
            "prompts": {"directory": str(self.prompts), "language": "zh-CN"},
            "recording": {"directory": str(self.recordings)},
            "cdr": {"file": str(self.cdr_file)},
            "ops": {"listen": f"{LOOPBACK}:{self.http_port}"},
            "call": {"drain_s": 3.0},
            "limits": {"max_lag_s": 0},  # the tests' own work on a small machine is no overload
        }
        for table, keys in over.items():
            tables.setdefault(table, {}).update(keys)
        return tables

    def _socket_file(self) -> Path:
        """A Unix socket's path may have 107 bytes: deep folders get theirs under the temporary directory."""
        wanted = self.folder.resolve() / "media.sock"
        if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
            return wanted
        return Path(tempfile.mkdtemp(prefix="softswitch-")) / "media.sock"

    # The command line

    def cli(self, *arguments: str) -> str:
        """Standard output of `softswitch <arguments>` against this switch's configuration."""
        done = subprocess.run(
            [sys.executable, "-m", "softswitch", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise SwitchFailed(f"softswitch {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def cli_json(self, *arguments: str) -> Any:
        """What `softswitch <arguments> --json` says."""
        return json.loads(self.cli(*arguments, "--json"))

    # Starting and stopping

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_s: float = 60.0) -> None:
        """Start serving and return once the switch says that it is ready."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _END_WITH_PARENT, "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        wait_until(lambda: self.ready() or self._process_ended(), timeout_s)
        if self._process_ended() or not self.ready():
            what = "ended before it was ready" if self._process_ended() else f"was not ready within {timeout_s:.0f} s"
            self.stop()
            raise SwitchFailed(f"the switch {what}\n{self.log_tail()}")

    def stop(self, timeout_s: float = 60.0) -> int:
        """Ask the switch to end (SIGTERM) and return its exit status; one that does not end in time is killed."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the serving process a signal (SIGHUP: read the dialplan again)."""
        if self._process is None:
            raise SwitchFailed("the switch is not running")
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Process id of `softswitch serve`, 0 while it is not running."""
        return self._process.pid if self._process else 0

    def _process_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    # What it tells

    def ready(self) -> bool:
        """Whether /health/ready answers 200."""
        try:
            return bool(self.http("/health/ready"))
        except OSError:
            return False

    def http(self, path: str) -> str:
        """Body of a page of the switch's own HTTP port; raises OSError where it is not there or not well."""
        with _DIRECT.open(f"http://{LOOPBACK}:{self.http_port}{path}", timeout=HTTP_S) as answer:
            return str(answer.read().decode()) or "ok"

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples that carry all `labels`; 0 where there is none."""
        total = 0.0
        for line in self.http("/metrics").splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
                total += float(value)
        return total

    def cdrs(self) -> list[dict[str, Any]]:
        """Every call detail record written so far, oldest first."""
        if not self.cdr_file.exists():
            return []
        whole_lines = self.cdr_file.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole_lines.splitlines()]

    def wait_for_cdrs(self, count: int, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """All records once there are at least `count`."""
        if not wait_until(lambda: len(self.cdrs()) >= count, timeout_s):
            raise SwitchFailed(f"{count} CDRs expected, {len(self.cdrs())} written\n{self.log_tail()}")
        return self.cdrs()

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of the switch's log."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
