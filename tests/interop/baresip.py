"""Debian's baresip as a phone, told what to do by its control connection.

Called by test_baresip.py. baresip's module ctrl_tcp takes commands and tells events as JSON in netstrings. The phone
needs no sound card: it says a WAV, and what it hears is kept by its module sndfile. RTP and connections leave it by the
address that the machine likes best, so its descriptions name that one (127.0.0.1) and not the phone's own. They offer
more than the switch takes: Opus, G.722, GSM and keys for SRTP, none of which may cost the call.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.interop.child import Child, ProgramFailed
from tests.support.programs import program

CONTROL_PORT = 4444
PATIENCE_S = 60.0

CONFIGURATION = """\
sip_listen {address}:5060
sip_certificate {folder}/certificate.pem
sip_cafile {authorities}
net_interface 127.0.0.1
audio_source aufile,{speak}
audio_player aubridge,nowhere
audio_alert aubridge,alerts
rtcp_mux yes
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
module_path /usr/lib/baresip/modules
module opus.so
module g722.so
module gsm.so
module g711.so
module srtp.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
statmode_default off
ctrl_tcp_listen {address}:{control_port}
snd_path {folder}
"""

_NETSTRING = re.compile(rb"(\d+):")


class Baresip:
    """`with Baresip(...) as phone:` is a phone at `address` until the block ends; TLS is on port 5061."""

    def __init__(
        self,
        user: str,
        address: str,
        folder: Path,
        speak: Path,
        tls: Mapping[str, str],
        *,
        password: str = "",
        encryption: str = "srtp",
    ) -> None:
        """`user` is who it is, `speak` the WAV it says; `tls` has the PEM files certificate, key and authorities.

        `password` is what it proves as "member" when it is asked. `encryption`: "srtp" offers keys beside plain RTP,
        "srtp-mand" speaks SRTP alone.
        """
        self.address, self._folder = address, folder
        folder.mkdir()
        certificate = Path(tls["certificate"]).read_text("ascii") + Path(tls["key"]).read_text("ascii")
        (folder / "certificate.pem").write_text(certificate, encoding="ascii")
        proof = f";auth_user=member;auth_pass={password}" if password else ""
        (folder / "accounts").write_text(
            f"<sip:{user}@{address}>;regint=0;mediaenc={encryption}{proof}\n", encoding="ascii"
        )
        filled = CONFIGURATION.format(
            address=address,
            folder=folder,
            authorities=tls["authorities"],
            speak=speak,
            control_port=CONTROL_PORT,
        )
        (folder / "config").write_text(filled, encoding="ascii")
        command = [program("baresip", "baresip-core"), "-4", "-s", "-f", str(folder)]
        self._child = Child(f"baresip {user}", command, folder / "baresip.log")
        self._control: socket.socket | None = None
        self._received = b""
        self._told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._child.__enter__()
        try:
            self._control = self._child.wait_for("control connection", self._connect)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control is not None:
            self._control.close()
        self._child.__exit__(kind, error, trace)

    def _connect(self) -> socket.socket | None:
        try:
            return socket.create_connection((self.address, CONTROL_PORT), timeout=0.1)
        except OSError:  # not there yet
            return None

    # Commands

    def dial(self, uri: str) -> None:
        """INVITE `uri`."""
        self._command("dial", uri)

    def accept(self) -> None:
        """Answer the call that rings."""
        self._command("accept")

    def hang_up(self) -> None:
        """End the call, whatever its state."""
        self._command("hangup")

    def hold(self) -> None:
        """Re-INVITE with sendonly."""
        self._command("hold")

    def resume(self) -> None:
        """Re-INVITE with sendrecv."""
        self._command("resume")

    def press(self, digit: str) -> None:
        """Send a digit (RFC 4733)."""
        self._command("sndcode", digit)

    def _command(self, command: str, parameter: str = "") -> None:
        assert self._control is not None
        text = json.dumps({"command": command, "params": parameter}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))

    # Events

    def wait_for(self, kind: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The first event of a `kind`, such as CALL_INCOMING, since the one that was last waited for."""
        deadline = time.monotonic() + timeout_s
        while (event := next((one for one in self._told if one.get("type") == kind), None)) is None:
            if time.monotonic() >= deadline:
                raise ProgramFailed(f"no {kind} of {self.address}; it said:\n{self._child.said()[-2000:]}")
            self._listen()
        del self._told[: self._told.index(event) + 1]
        return event

    def _listen(self) -> None:
        """Take what the control connection brings within a moment."""
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except TimeoutError:
            return
        if not data:
            raise ProgramFailed(f"{self.address} closed its control connection; it said:\n{self._child.said()[-2000:]}")
        self._received += data
        while (head := _NETSTRING.match(self._received)) and len(self._received) > (end := head.end() + int(head[1])):
            self._told.append(json.loads(self._received[head.end() : end]))
            self._received = self._received[end + 1 :]

    @property
    def heard(self) -> Path:
        """The recording of what it hears; a name that nothing has while there is none."""
        return next(self._folder.glob("dump-*-dec.wav"), self._folder / "nothing")

    def said(self) -> str:
        """Its log, with every SIP message that it sent and received."""
        return self._child.said()
