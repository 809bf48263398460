"""The five calls of the demo, each a scene that is played, and then checked.

Called by demo/__main__.py; the phone tests play calls of their own on the same stage. A scene returns what was seen; it
judges nothing itself: demo/checks.py does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from demo import checks
from demo.cast import AXB_X, AXE_X, EXTENSION, SHORT_X, Party
from demo.checks import Check
from demo.recognise import RATE
from demo.stage import Ear, Evidence, Stage

TALK_S = 5.0
MAXIMUM_S, WARNING_S = 9, 4.0
ACCURACY_S = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """A played call: its title, what it shows, its evidence and its checks."""

    title: str
    words: str
    evidence: Evidence
    checks: tuple[Check, ...]


def seed(stage: Stage) -> None:
    """Numbers and bindings, through the command line as an operator would."""
    cast, cli = stage.cast, stage.switch.cli
    cli("number", "add", AXB_X, SHORT_X, "--app", "courier", "--mode", "AXB")
    cli("number", "add", AXE_X, "--app", "shop", "--mode", "AXE", "--digits", str(len(EXTENSION)))
    driver, guest = cast.driver.number, cast.guest.number
    cli("bind", "axb", AXB_X, driver, guest, "--record")
    cli("bind", "axb", SHORT_X, driver, guest, "--max-duration", str(MAXIMUM_S))
    cli("bind", "axe", AXE_X, driver, "--extension", EXTENSION, "--record")


def _spoken(stage: Stage, prompt: str) -> float:
    return len(stage.prompt(prompt)) / RATE


def _both(evidence: Evidence) -> tuple[Ear, Ear]:
    assert evidence.callee is not None
    return evidence.caller, evidence.callee


def axb_forward(stage: Stage) -> Scene:
    """A calls X and reaches B."""
    a, b = stage.cast.driver, stage.cast.guest
    evidence = answered_call(stage, "1-axb-a-to-b", a, b)
    words = "A dials X. B rings and sees X, never A. Both hear the announcement, then each other; the call is recorded."
    facts = checks.cdr_says(
        evidence, mode="AXB", direction=1, callerNum=a.number, fwdDstNum=b.number, bindNum=AXB_X, ulFailReason=0
    )
    return Scene("AXB: A → X → B", words, evidence, (*talk_checks(stage, evidence), facts))


def axb_backward(stage: Stage) -> Scene:
    """B calls X and reaches A."""
    a, b = stage.cast.driver, stage.cast.guest
    evidence = answered_call(stage, "2-axb-b-to-a", b, a)
    words = "The same X the other way round: B dials it and A rings."
    facts = checks.cdr_says(evidence, mode="AXB", direction=0)
    return Scene("AXB: B → X → A", words, evidence, (*talk_checks(stage, evidence), facts))


def axe_extension(stage: Stage) -> Scene:
    """A stranger dials a shared X and keys the extension."""
    caller, callee = stage.cast.stranger, stage.cast.driver
    with stage.call("3-axe", caller, callee) as scene:
        scene.a.call(stage.uri(AXE_X))
        scene.a.wait_for("answered")
        scene.until_heard(scene.a, partial(checks.whole, prompt=stage.prompt("enter_extension")))
        scene.a.send_digits(EXTENSION)
        scene.b.wait_for("incoming")
        scene.until_heard(scene.a, partial(checks.whole, prompt=stage.prompt("connecting")))
        scene.b.answer(200)
        scene.b.wait_for("media", hearing=True)
        scene.talk(_spoken(stage, "announcement") + TALK_S)
        scene.end(scene.a)
    evidence = scene.evidence()
    words = f"A shared X: the caller is asked for the extension, keys {EXTENSION} and is put through."
    return Scene("AXE: C → X, extension → A", words, evidence, tuple(_axe_checks(stage, evidence)))


def _axe_checks(stage: Stage, evidence: Evidence) -> Iterable[Check]:
    caller, callee = _both(evidence)
    yield checks.heard_prompt(caller, "enter_extension", stage.prompt("enter_extension"))
    yield checks.heard_prompt(caller, "connecting", stage.prompt("connecting"))
    yield checks.cdr_says(evidence, mode="AXE", direction=0, extendNum=EXTENSION, ulFailReason=0)
    for ear in (caller, callee):
        yield checks.heard_prompt(ear, "announcement", stage.prompt("announcement"))
    yield from _voices(stage, evidence)
    yield from _wire_checks(stage, evidence, after_answer=(callee,))
    yield checks.recording_has_both_voices(evidence, stage)


def unknown_caller(stage: Stage) -> Scene:
    """Somebody who is not bound calls X."""
    caller = stage.cast.stranger
    with stage.call("4-unknown-caller", caller, None) as scene:
        scene.a.call(stage.uri(AXB_X))
        ended = scene.a.wait_for("disconnected")
    evidence = scene.evidence()
    refused = Check("C is refused with 404", ended["status"] == 404, f"{ended['status']} {ended['reason']}")
    found = (
        checks.heard_prompt(evidence.caller, "no_binding", stage.prompt("no_binding")),
        refused,
        checks.cdr_says(evidence, ulFailReason=8014, sip_status=404, answered_at=None),
    )
    words = "C is bound to nobody here: it hears why, as early media, and reaches no one."
    return Scene("A stranger calls X", words, evidence, found)


def cut_at_maximum(stage: Stage) -> Scene:
    """A call that reaches its maximum duration."""
    a, b = stage.cast.driver, stage.cast.guest
    with stage.call("5-maximum-duration", a, b) as scene:
        scene.connect(SHORT_X)
        scene.a.wait_for("disconnected")
        scene.b.wait_for("disconnected")
    evidence = scene.evidence()
    words = (
        f"This binding allows {MAXIMUM_S} s: a warning {WARNING_S:.0f} s before the end, mixed over the talk, then BYE."
    )
    return Scene("Cut at its maximum", words, evidence, tuple(_cut_checks(stage, evidence)))


def _cut_checks(stage: Stage, evidence: Evidence) -> Iterable[Check]:
    for ear in _both(evidence):
        yield checks.heard_prompt(ear, "last_minute", stage.prompt("last_minute"), sure=0.4)
    yield from _voices(stage, evidence)
    talked = checks.seconds(evidence.cdr, "answered_at", "ended_at") or 0.0
    exact = abs(talked - MAXIMUM_S) <= ACCURACY_S
    yield Check(f"it ends {MAXIMUM_S} s after the answer, ±{ACCURACY_S * 1000:.0f} ms", exact, f"{talked:.3f} s")
    yield checks.cdr_says(evidence, ulFailReason=8010, ended_by="switch")


SCENES: Sequence[Callable[[Stage], Scene]] = (axb_forward, axb_backward, axe_extension, unknown_caller, cut_at_maximum)


# What scenes share


def answered_call(stage: Stage, name: str, caller: Party, callee: Party, talk_s: float = TALK_S) -> Evidence:
    """`caller` dials the AXB X, `callee` answers, they talk for `talk_s`, the caller hangs up."""
    with stage.call(name, caller, callee) as scene:
        scene.connect(AXB_X)
        scene.talk(_spoken(stage, "announcement") + talk_s)
        scene.end(scene.a)
    return scene.evidence()


def talk_checks(stage: Stage, evidence: Evidence) -> Iterable[Check]:
    """All that must be true of an announced, recorded talk."""
    announcement = stage.prompt("announcement")
    sides = _both(evidence)
    for ear in sides:
        yield checks.heard_prompt(ear, "announcement", announcement)
    yield from _wire_checks(stage, evidence, after_answer=sides)
    for ear, other in (sides, sides[::-1]):
        name, chirp = other.party.name, other.party.voice.chirp()
        yield checks.no_voice_before_announcement_ends(ear, name, chirp, stage.sentences[name], announcement)
    yield from _voices(stage, evidence)
    chirps = {ear.party.name: ear.party.voice.chirp() for ear in sides}
    yield checks.recording_begins_with_announcement(evidence, announcement, chirps)
    yield checks.recording_has_both_voices(evidence, stage)
    yield checks.recording_is_complete(evidence)


def _voices(stage: Stage, evidence: Evidence) -> Iterable[Check]:
    """Speech both ways."""
    for ear, other in (_both(evidence), _both(evidence)[::-1]):
        yield checks.heard_voice(ear, other.party.name, stage.sentences[other.party.name])


def _wire_checks(stage: Stage, evidence: Evidence, *, after_answer: Sequence[Ear]) -> Iterable[Check]:
    """What the packets show; of RTP nothing where it may not be listened to."""
    yield checks.nobody_learns(evidence, _both(evidence))
    if stage.wire is None:
        return
    for ear in after_answer:
        yield checks.announced_from_first_packet(ear, stage.prompt_bytes("announcement"))
    for ear in _both(evidence):
        yield checks.continuous(ear)
