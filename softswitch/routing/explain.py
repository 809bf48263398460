"""A decision in words, for `softswitch explain`: how it was reached, and what would happen.

Called by the command line with what a Resolver built with `explain=True` returned; prints nothing itself.
"""

from __future__ import annotations

from softswitch.errors import FAILURES
from softswitch.interfaces import Decision, NeedExtension, Rejection, Route, Target

NO_EXTENSION = (8022, 8033)  # of a caller who was asked for one: unknown, none keyed


def explain(decision: Decision, asked: NeedExtension | None = None, *, tries: int = 1) -> list[str]:
    """The steps, numbered, and the outcome; one line each. Numbers are not masked: whoever asks has typed them.

    `asked`: the caller was answered and asked for an extension first, as often as `tries` where it keys no good one.
    """
    steps = [f"{number}. {step}" for number, step in enumerate(decision.steps, 1)]
    if asked is None:
        return [*steps, *_outcome(decision)]
    end = _hang_up(decision, asked, tries) if isinstance(decision, Rejection) else _outcome(decision)
    return [*steps, *_outcome(asked), *end]


def _outcome(decision: Decision) -> list[str]:
    if isinstance(decision, Rejection):
        return _rejection(decision)
    if isinstance(decision, NeedExtension):
        return [f"=> Answer, play '{decision.prompt}' and collect {decision.digits} digits."]
    return _route(decision)


def _rejection(decision: Rejection) -> list[str]:
    failure = FAILURES[decision.failure_code]
    heard = f"the caller hears '{decision.tone}'" if decision.tone else "no tone"
    return [f"=> Refuse: {failure.code} {failure.words}; SIP {failure.status}, Q.850 {failure.cause}; {heard}."]


def _hang_up(decision: Rejection, asked: NeedExtension, tries: int) -> list[str]:
    """A refusal of a caller who was answered: there is no status any more."""
    failure, again = FAILURES[decision.failure_code], []
    if failure.code in NO_EXTENSION and tries > 1:
        told = f"play '{asked.invalid_prompt}' and " if decision.extension else ""
        again = [f"=> After that {told}ask again, {tries} times in all."]
    heard = f"the caller hears '{decision.tone or failure.progress_tone}', then BYE"
    return [*again, f"=> Hang up: {failure.code} {failure.words}; {heard}, Q.850 {failure.cause}."]


def _route(decision: Route) -> list[str]:
    lines = [f"=> Call {decision.callee} from {decision.display} (binding {decision.binding.id})."]
    for target in decision.targets:
        port = f":{target.port}" if target.port else ""  # else DNS tells it
        where = f"{target.user}@{target.host}{port} over {target.transport}"
        lines.append(f"   by {target.trunk}: {where}, {_shown(target)}, ringing {target.ring_s:g} s")
    return lines


def _shown(target: Target) -> str:
    """What the trunk reads of X, and what its callee does."""
    header = {"pai": "", "rpid": " (Remote-Party-ID)", "both": " (PAI and RPID)", "none": " (no assertion)"}
    words = f"showing {target.display}{header[target.identity]}"
    words += f" from {target.from_user}" if target.from_user else ""
    hidden = {"never": "", "caller": ", hidden where the caller asks for it", "always": ", hidden from the callee"}
    return words + hidden[target.privacy]
