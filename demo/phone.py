"""A phone to script: starts `demo/phone_process.py`, gives it commands and waits for what it tells.

Called by the demo's story and the phone tests. Every wait has an end: a phone that stays silent raises PhoneFailed with
all that it did tell. Times (`at`) are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from demo.switch_process import LOOPBACK, REPOSITORY, free_port

PATIENCE_S = 60.0  # a machine may be busy; who passes does not wait


class PhoneFailed(Exception):
    """The phone ended, refused a command or did not tell in time what was waited for."""


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """What a phone is started with. Empty `speak` is silence; empty `hear` keeps nothing."""

    user: str
    address: str
    sip_port: int
    rtp_port: int
    speak: str = ""
    hear: str = ""
    log: str = ""
    transport: str = "udp"  # or tcp, tls
    tls: Mapping[str, str] = field(default_factory=dict)  # PEM files: certificate, key, authorities
    login: tuple[str, str] = ("", "")  # the name and password that it proves when it is asked
    reliable: bool = False  # whether it asks for PRACK where the caller knows it
    srtp: str = ""  # the one suite of RFC 4568 that it speaks; empty: plain RTP
    codec: str = ""  # the one that it speaks, as SDP names it; empty: PCMA, then PCMU


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """One thing a phone told: ready, incoming, ringing, answered, media, digit, received, refused, disconnected."""

    kind: str
    at: float
    facts: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


def header_values(message: str, name: str) -> list[str]:
    """The values of a header in a SIP message, in order; the name's letter case does not matter."""
    head = message.replace("\r\n", "\n").partition("\n\n")[0].split("\n")[1:]
    pairs = (line.partition(":") for line in head)
    return [value.strip() for key, _, value in pairs if key.strip().lower() == name.lower()]


class Phone:
    """One phone process. `with Phone(...) as phone:` hangs up and ends it with the block."""

    def __init__(
        self,
        name: str,
        *,
        address: str = LOOPBACK,
        sip_port: int = 0,
        rtp_port: int = 0,
        speak: Path | None = None,
        hear: Path | None = None,
        transport: str = "udp",
        tls: Mapping[str, str] | None = None,
        login: tuple[str, str] = ("", ""),
        reliable: bool = False,
        srtp: str = "",
        codec: str = "",
    ) -> None:
        """`name` is the user part of its own URI, `speak` the WAV it says once media is there, `hear` what it keeps.

        A phone of transport "tls" needs the PEM files `certificate`, `key` and `authorities` in `tls`. `login` is the
        name and the password that it proves to whoever asks. What a `reliable` phone says before its answer is repeated
        until PRACK (RFC 3262). With `srtp` it speaks that suite (RFC 4568) and nothing else, with `codec` that codec.
        """
        self.name = name
        self.sip_port = sip_port or free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
        self.heard = hear
        self.log = hear.with_suffix(".sip.log") if hear else None
        self._settings = PhoneSettings(
            user=name,
            address=address,
            sip_port=self.sip_port,
            rtp_port=rtp_port or free_port() // 2 * 2,
            speak=str(speak or ""),
            hear=str(hear or ""),
            log=str(self.log or ""),
            transport=transport,
            tls=dict(tls or {}),
            login=login,
            reliable=reliable,
            srtp=srtp,
            codec=codec,
        )
        self._complaints: TextIO | None = None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._told: list[PhoneEvent] = []
        self._waited_for: set[int] = set()
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process without waiting for it; `wait_for("ready")` waits."""
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demo.phone_process", json.dumps(asdict(self._settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            cwd=REPOSITORY,
        )
        self._reader = threading.Thread(target=self._read, name=f"phone {self.name}", daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """Hang up, close the recording and end the process."""
        process, self._process = self._process, None
        if process is None or self._reader is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # the phone ends with its standard input
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        process.stdout.close()
        if self._complaints:
            self._complaints.close()

    # Commands

    def call(self, uri: str, headers: Mapping[str, str] | None = None) -> None:
        """INVITE `uri`, with extra `headers`."""
        self._command("call", uri=uri, headers=dict(headers or {}))

    def answer(self, status: int = 200, after: float = 0.0) -> None:
        """Answer the incoming call with `status`, `after` seconds from now."""
        self._command("answer", status=status, after=after)

    def hang_up(self, status: int = 0, after: float = 0.0) -> None:
        """CANCEL, BYE or refuse with `status` (0: 603), whatever ends the call now."""
        self._command("hang_up", status=status, after=after)

    def send_digits(self, digits: str, after: float = 0.0) -> None:
        """Press keys (RFC 4733)."""
        self._command("send_digits", digits=digits, after=after)

    def hold(self, after: float = 0.0) -> None:
        """Re-INVITE with sendonly."""
        self._command("hold", after=after)

    def unhold(self, after: float = 0.0) -> None:
        """Re-INVITE with sendrecv."""
        self._command("unhold", after=after)

    # Events

    @property
    def told(self) -> list[PhoneEvent]:
        """Every event so far."""
        with self._news:
            return list(self._told)

    def in_short(self) -> str:
        """Every event so far in one line."""
        return ", ".join(_in_short(event) for event in self.told) or "nothing"

    def all(self, kind: str) -> list[PhoneEvent]:
        """Every event of a kind so far, waited for or not."""
        return [event for event in self.told if event.kind == kind]

    def wait_for(self, kind: str, timeout: float = PATIENCE_S, **facts: object) -> PhoneEvent:
        """The first event of `kind` that has these `facts` and that no wait has returned before."""
        deadline = time.monotonic() + timeout
        with self._news:
            while (event := self._take(kind, facts)) is None:
                if not self._news.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise PhoneFailed(self._complaint(kind, facts, f"in {timeout:g} s"))
                if self._told and self._told[-1].kind == "gone" and kind != "gone":
                    raise PhoneFailed(self._complaint(kind, facts, "before its process ended"))
            return event

    def _take(self, kind: str, facts: Mapping[str, object]) -> PhoneEvent | None:
        for place, event in enumerate(self._told):
            fits = event.kind == kind and all(event.facts.get(name) == value for name, value in facts.items())
            if fits and place not in self._waited_for:
                self._waited_for.add(place)
                return event
        return None

    def _complaint(self, kind: str, facts: Mapping[str, object], when: str) -> str:
        wanted = " ".join([kind, *(f"{name}={value}" for name, value in facts.items())])
        last_words = self._last_words()
        return f"phone {self.name} did not tell {wanted!r} {when}; it told: {self.in_short()} {last_words}".strip()

    def _last_words(self) -> str:
        """What it said on its standard error, without pjsua's own start-up lines."""
        if self._complaints is None or self._complaints.closed:
            return ""
        self._complaints.seek(0)
        lines = [line for line in self._complaints.read().splitlines() if not line[:2].isdigit()]
        return "\n".join(lines)[-800:]

    def _command(self, what: str, **arguments: object) -> None:
        if self._process is None or self._process.stdin is None:
            raise PhoneFailed(f"phone {self.name} is not running")
        try:
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PhoneFailed(f"phone {self.name} ended before it could {what}") from None

    def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            facts = json.loads(line)
            self._tell(PhoneEvent(facts.pop("event"), facts.pop("at"), facts))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)  # it may still be writing its last words
        self._tell(PhoneEvent("gone", time.monotonic()))

    def _tell(self, event: PhoneEvent) -> None:
        with self._news:
            self._told.append(event)
            self._news.notify_all()


def _in_short(event: PhoneEvent) -> str:
    """An event without whole messages, for one line of text."""
    facts = [f"{name}={value}" for name, value in event.facts.items() if name != "message"]
    first_line = str(event.facts.get("message", "")).partition("\r\n")[0]
    return " ".join([event.kind, *facts, *([first_line] if first_line else [])])
