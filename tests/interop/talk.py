"""Two phones that talk through the switch: how a call begins, and whether each hears the other's tone."""

from __future__ import annotations

from pathlib import Path

from demo.phone import Phone
from demo.switch_process import wait_until
from tests.interop.baresip import Baresip
from tests.interop.rig import Rig
from tests.interop.tones import SAID, hears
from tests.interop.world import PORTS, Line, national

HEARING_S = 60.0


def dialled(rig: Rig, line: Line, transport: str = "udp") -> str:
    """The URI by which a phone dials `line`'s X."""
    return f"sip:{national(line.x)}@{rig.network.switch}:{PORTS[transport]}"


def begin(rig: Rig, line: Line, caller: Phone, callee: Phone) -> str:
    """`caller` calls X and `callee` answers; returns the INVITE as the callee got it."""
    caller.wait_for("ready")
    callee.wait_for("ready")
    caller.call(dialled(rig, line))
    incoming: str = callee.wait_for("incoming")["message"]
    callee.answer(200)
    for one in (caller, callee):
        one.wait_for("answered")
    return incoming


def hold_and_resume(caller: Phone) -> None:
    """Returns once it hears again."""
    caller.hold()
    caller.wait_for("media", hearing=False)
    caller.unhold()
    caller.wait_for("media", hearing=True)


def both_hear(caller: Path | Baresip, callee: Path | Baresip) -> None:
    """Each hears the other's tone, by what it recorded."""
    assert wait_until(lambda: hears(_recording(caller), SAID["callee"]), HEARING_S), "the caller hears nothing"
    assert wait_until(lambda: hears(_recording(callee), SAID["caller"]), HEARING_S), "the callee hears nothing"


def _recording(of: Path | Baresip) -> Path:
    return of.heard if isinstance(of, Baresip) else of
