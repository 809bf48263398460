"""Every folder of sipp_scenarios/ against a real switch: SIPp content, CDR right, nothing leaked or left."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from demo.switch_process import wait_until
from softswitch.interfaces import Cdr
from tests.scenarios.conftest import Batch
from tests.scenarios.runner import Outcome
from tests.scenarios.scenario import Seen, load_scenarios
from tests.scenarios.sipp import TracedMessage, messages
from tests.support.leaks import shows
from tests.support.stalls import Inexcusable

# The whole batch runs in the first test that asks for it.
pytestmark = [pytest.mark.sipp, pytest.mark.timeout(900)]

ALL_IN_USE = 7109  # failure code: a trunk's limit
ANY = 1_000_000  # packets: more than any scenario has
SETTLE_S = 60.0  # the store has a record before the file has, and both before the call is forgotten
CLOCK_TOLERANCE_S = 0.05  # SIPp notes a message a little after it came or before it went

NAMES = [scenario.name for scenario in load_scenarios()]


@pytest.mark.real_time
@pytest.mark.parametrize("name", NAMES)
def test_scenario(name: str, batch: Batch) -> None:
    if name not in batch.outcomes:
        pytest.skip("this machine has no ::1")
    outcome = batch.outcomes[name]
    assert not outcome.broken, outcome.broken
    problems = [*sipp_problems(outcome), *message_problems(outcome), *sound_problems(outcome)]
    problems += [*cdr_problems(outcome), *relay_problems(outcome)]
    if leaked := leaks(outcome):
        raise Inexcusable("\n".join([outcome.place.scenario.about, *leaked]))
    assert not problems, "\n".join([outcome.place.scenario.about, *problems, *batch.warnings(outcome)])


def test_no_call_is_left_when_all_are_over(batch: Batch) -> None:
    assert wait_until(lambda: json.loads(batch.switch.http("/calls")) == [], SETTLE_S)
    assert batch.switch.metric("softswitch_active_calls") == 0


def test_the_cdr_file_has_one_line_for_each_record_of_the_store(batch: Batch) -> None:
    stored = [cdr.call_id for outcome in batch.of_this_switch.values() for cdr in outcome.cdrs]
    wait_until(lambda: len([line for line in batch.switch.cdrs() if line["bindNum"]]) >= len(stored), SETTLE_S)
    lines = batch.switch.cdrs()
    assert sorted(line["call_id"] for line in lines if line["bindNum"]) == sorted(stored)
    assert {line["ulFailReason"] for line in lines if not line["bindNum"]} <= {ALL_IN_USE}  # refused before X was known


def test_no_call_crashed_and_the_leak_guard_never_had_to_help(batch: Batch) -> None:
    assert "call_crashed" not in batch.switch.log_file.read_text(encoding="utf-8")
    assert batch.switch.metric("softswitch_leak_guard_hits_total") == 0


def test_the_leak_check_finds_a_number_in_any_form() -> None:
    for text in ("+8613810001001", "13810001001", "0138-1000-1001", "138 1000 1001"):
        trace = f"{'-' * 47} now\nUDP message received [9] bytes :\n\nINVITE x SIP/2.0\nSubject: {text}\n\n"
        assert shows("+8613810001001", messages(trace)[0].text), text
    assert not shows("+8613810001001", "CSeq: 1381000\nX: 1001")


def test_a_call_may_last_over_midnight() -> None:
    entry = "{rule} {at}\nUDP message sent [9] bytes :\n\nBYE x SIP/2.0\n\n"
    stamps = ("2026-12-31 23:59:59.500000", "2027-01-01\t00:00:01.750000\t1798761601.750000")
    before, after = messages("".join(entry.format(rule="-" * 47, at=at) for at in stamps))
    assert after.at - before.at == 2.25


# What SIPp says


def sipp_problems(outcome: Outcome) -> list[str]:
    """SIPps that did not end with 0, and targets that got what they should not."""
    problems = [
        f"SIPp of the {side} ended with {code}: {outcome.errors[side]}"
        for side, code in outcome.exit_codes.items()
        if code != 0
    ]
    if not outcome.place.scenario.call.reached and outcome.at_silent_targets:
        problems.append(f"the callee was bothered: {outcome.at_silent_targets[0]!r}")
    return problems


# What the traces show


def message_problems(outcome: Outcome) -> list[str]:
    """Every `[[seen]]` that was not seen."""
    return [problem for seen in outcome.place.scenario.seen if (problem := _not_seen(seen, outcome))]


def _not_seen(seen: Seen, outcome: Outcome) -> str:
    wanted = outcome.place.filled(seen.contains)
    found = [message for message in outcome.received(seen.by) if _matches(message, seen)]
    different = len({message.text for message in found})
    if seen.times is not None and different != seen.times:
        return f"{seen.by} received {different} different {seen.message}, expected {seen.times}"
    if len(found) < seen.at_least or (seen.at_most is not None and len(found) > seen.at_most):
        return f"{seen.by} received {len(found)} {seen.message}, expected {seen.at_least} to {seen.at_most}"
    lacking = _unwanted(seen, outcome, found)
    if lacking:
        return lacking
    if found and wanted not in (found[0].header(seen.header) if seen.header else found[0].text):
        return f"{seen.by}: no {wanted!r} in {seen.header or 'the message'} of\n{found[0].text}"
    return ""


def _unwanted(seen: Seen, outcome: Outcome, found: Sequence[TracedMessage]) -> str:
    """What must not be there and is."""
    unwanted = outcome.place.filled(seen.lacks)
    for message in found if unwanted else ():
        if unwanted in (message.header(seen.header) if seen.header else message.text):
            return f"{seen.by}: {unwanted!r} in {seen.header or 'the message'} of\n{message.text}"
    return ""


def _matches(message: TracedMessage, seen: Seen) -> bool:
    return message.name == seen.message and message.header("CSeq").endswith(seen.cseq)


# What the phones heard


def sound_problems(outcome: Outcome) -> list[str]:
    """Phones that did not hear what they should, or not in that order."""
    media = outcome.place.scenario.media
    problems = []
    for side, expected in (("caller", media.caller_hears), ("callee", media.callee_hears)):
        order = [sound for sound in outcome.order_heard[side] if sound != "?"]
        if order[: len(expected)] != list(expected):
            problems.append(f"the {side} heard {order}, expected {list(expected)} first")
    heard = outcome.heard["caller"]
    for sound in media.caller_hears_at_least.keys() | media.caller_hears_at_most.keys():
        least, most = media.caller_hears_at_least.get(sound, 0), media.caller_hears_at_most.get(sound, ANY)
        if not least <= heard.get(sound, 0) <= most:
            problems.append(f"the caller heard {heard.get(sound, 0)} packets of {sound}, expected {least} to {most}")
    return problems


# What the CDR says


def cdr_problems(outcome: Outcome) -> list[str]:
    """What is wrong with the record, or that there is not exactly one."""
    if len(outcome.cdrs) != outcome.place.scenario.records:
        return [f"{len(outcome.cdrs)} CDRs"]
    return [problem for cdr in outcome.cdrs for problem in _record_problems(outcome, cdr)]


def _record_problems(outcome: Outcome, cdr: Cdr) -> list[str]:
    part, place = outcome.place.scenario.cdr, outcome.place
    problems = []
    for name, expected in _flat(part.fields).items():
        wanted = place.filled(expected) if isinstance(expected, str) else expected
        if (found := _field(cdr, name)) != wanted:
            problems.append(f"CDR {name} is {found!r}, expected {wanted!r}")
    if part.answered is not None and (cdr.answered_at is not None) != part.answered:
        problems.append(f"CDR answered_at is {cdr.answered_at}")
    if cdr.answered_at is not None and cdr.ended_at is not None and place.scenario.records == 1:
        problems += _talk_problems(outcome, cdr.ended_at - cdr.answered_at)
    return problems


def _talk_problems(outcome: Outcome, talk_s: float) -> list[str]:
    """A talk time that is not what it should be, or does not fit what SIPp saw.

    The switch says that the talk began between the callee's 200 and our ACK there, and that it ended between the first
    BYE on one side and the last on the other: how late a busy machine let the switch run makes no difference.
    """
    part = outcome.place.scenario.cdr
    callee = [message for side, messages in outcome.traced.items() if side != "caller" for message in messages]
    answered = next((one.at for one in callee if one.sent and one.name == "200"), 0.0)
    acks = [one.at for one in callee if not one.sent and one.name == "ACK" and one.at >= answered]
    byes = [one.at for messages in outcome.traced.values() for one in messages if one.name == "BYE"]
    least = min(byes, default=0.0) - acks[0] if acks else 0.0  # ours may go to another host than the 200 came from
    most = max(byes, default=0.0) - answered
    problems = []
    if not least - CLOCK_TOLERANCE_S <= talk_s <= most + CLOCK_TOLERANCE_S:
        problems.append(f"CDR has {talk_s:.3f} s of talk, SIPp saw {least:.3f} to {most:.3f}")
    if part.talk_s is not None and abs(talk_s - part.talk_s) > part.talk_tolerance_s:
        problems.append(f"CDR has {talk_s:.3f} s of talk, expected {part.talk_s} ± {part.talk_tolerance_s}")
    return problems


def _flat(fields: object, prefix: str = "") -> dict[str, object]:
    """`a.codec = …` of TOML is a table in a table; here it is one name again."""
    if not isinstance(fields, dict):
        return {prefix[:-1]: fields}
    return {name: value for key, inner in fields.items() for name, value in _flat(inner, f"{prefix}{key}.").items()}


def _field(cdr: object, name: str) -> object:
    for part in name.split("."):
        cdr = getattr(cdr, part)
    return cdr


# What became of the connections


def relay_problems(outcome: Outcome) -> list[str]:
    """A connection that was not opened, not answered, or not refused as it should."""
    part = outcome.place.scenario.relay
    if part is None:
        return []
    relay = outcome.relays[part.side]
    problems = []
    if relay.connections != part.connections:
        problems.append(f"{relay.connections} connections, expected {part.connections}")
    if part.ping and not relay.pongs:
        problems.append("the keep-alive was not answered")
    if not part.certificate and not relay.refused:
        problems.append("the connection without a certificate was not refused")
    return problems


# What nobody may see


def leaks(outcome: Outcome) -> list[str]:
    """Messages that show one side the number or an address of the other, in whatever form and place."""
    place = outcome.place
    parties = {role: place.number(role) for role in "abc"}
    problems = []
    for side in outcome.traced:
        caller = side == "caller"
        own = place.scenario.call.caller if caller else place.scenario.call.callee
        at = [f"{host}:{port}" if ":" in host else host for host, port in place.at]
        addresses = [*at[1:], *place.targets] if caller else [at[0], place.caller_ip]
        for message in outcome.received(side):
            secrets = [number for role, number in parties.items() if role != own and shows(number, message.text)]
            secrets += [address for address in addresses if address in message.text]
            if secrets:
                problems.append(f"the {side} could see {secrets} in\n{message.text}")
    return problems
