"""Log lines: one a call event, as JSON or for the console, numbers masked unless asked otherwise."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from msgspec import structs

from softswitch.interfaces import Cdr, LegReport, Mode
from softswitch.logs import configure_logging, masked


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("+8613800001234", "+86138****1234"),
        ("8613800001234", "86138****1234"),
        ("075588880001", "0755****0001"),
        ("no route to +8613800001234 by trunk 2", "no route to +86138****1234 by trunk 2"),
        ("port 5060", "port 5060"),
        ("+86700123456781234", "+867001234****1234"),  # X and E of a 700 number in one
        ("86138 0000 1234", "86138 0000 1234"),
        ("<+86 138 0000 1234>", "<+86 138 **** 1234>"),
        ("138-0000-1234 or 138*0000_1234", "138-****-1234 or 138*****_1234"),
        ("5551234 and 12345678", "5****34 and 12****78"),
        ("13800001234-1712345678@h", "138****1234-17****5678@h"),
        ("192.168.100.200:5060", "192.168.100.200:5060"),
        ("until 2026-03-02T10:11:12.123456+08:00", "until 2026-03-02T10:11:12.123456+08:00"),
        ("2026-03-02 10:11:12Z, 20260302", "2026-03-02 10:11:12Z, 20****02"),
        ("550e8400-e29b-41d4-a716-44665544abcd@h", "550e8400-e29b-41d4-a716-44665544abcd@h"),
        ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-4466****0000"),
        ("12345678-1234-4567-8abc-abcdefabcdef", "12****78-123*-***7-8abc-abcdefabcdef"),
        ("138-0000-1234_20260302", "138-****-1234_20****02"),
        ("138-0000-1234-2026-03-02", "138-0***-****-****-03-02"),
        ("+8613800001234 2026-03-02", "+86138****1234 2026-03-02"),
        ("+86 (755) 8888-0001", "+86 (755) ****-0001"),
        ("", ""),
    ],
)
def test_numbers_are_masked_wherever_they_stand(shown: str, expected: str) -> None:
    assert masked(shown) == expected


def test_json_lines_carry_the_event_and_hide_the_numbers(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logging("info", "json")
    log = structlog.get_logger("test_json")
    log.info("call_routed", call_id="c1", x="+8617000000001", cdr={"caller": "+8613800001234", "a": 1})
    log.debug("not_shown")
    (line,) = capfdbinary.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["call_id"], event["level"]) == ("call_routed", "c1", "info")
    assert event["x"] == "+86170****0001"
    assert event["cdr"] == {"caller": "+86138****1234", "a": 1}


def test_numbers_are_hidden_wherever_a_line_has_them_and_what_is_no_number_stays(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """A record that stands whole in the log must still tell which call it is of, and where its recording lies."""
    configure_logging("info", "json")
    call_id, number = "f012345678901234567890ab", "+8613800001234"
    record = Cdr(call_id, caller=number, recording=f"/r/20260302/20260302000000_{call_id}.wav")
    leg = LegReport(sip_call_id=f"{number}-1@h")
    structlog.get_logger("test_whole").error(
        "cdr_not_stored",
        call_id=call_id,
        to=number,
        several=[number, 1],
        cdr=structs.asdict(structs.replace(record, a=leg)),
        path=record.recording,
        nobody=None,
    )
    told = capfdbinary.readouterr().err.decode()
    event = json.loads(told)
    assert "13800001234" not in told
    assert (event["to"], event["several"], event["nobody"]) == ("+86138****1234", ["+86138****1234", 1], None)
    assert event["cdr"]["a"]["sip_call_id"] == "+86138****1234-1@h"
    assert event["call_id"] == event["cdr"]["call_id"] == call_id
    assert event["path"] == event["cdr"]["recording"] == record.recording


def test_what_a_fault_tells_hides_the_numbers_too(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logging("info", "json")
    try:
        raise KeyError("+8613800001234")
    except KeyError:
        structlog.get_logger("test_fault").exception("cdr_not_made", known={"caller": "+8613800001234"})
    told = capfdbinary.readouterr().err.decode()
    assert "13800001234" not in told
    assert "KeyError: '+86138****1234'" in json.loads(told)["exception"]


def test_bytes_of_a_peer_that_were_no_utf8_cost_no_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logging.getLogger().handlers.clear()
    configure_logging("info", "json")
    structlog.get_logger("test_bytes").info("told", words="caf\udce9")
    logging.getLogger("softswitch.sip").warning("session %s", "caf\udce9")
    told, session = (json.loads(line) for line in capfdbinary.readouterr().err.splitlines())
    assert (told["words"], session["event"]) == ("caf\udce9", "session caf\udce9")


def test_a_line_says_its_fields_then_event_level_and_moment_and_numbers_stay_numbers(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    configure_logging("info", "json")
    structlog.get_logger("test_order").warning("told", mode=Mode.AXB, count=12345678, ratio=0.5, done=True)
    line = capfdbinary.readouterr().err
    fields = b'{"mode":"AXB","count":12345678,"ratio":0.5,"done":true,"event":"told","level":"warning","timestamp":"'
    assert line.startswith(fields)
    assert line.endswith(b'Z"}\n')


def test_masking_can_be_turned_off(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure_logging("info", "json", mask_numbers=False)
    structlog.get_logger("test_plain").info("call_routed", x="+8617000000001")
    assert json.loads(capfdbinary.readouterr().err)["x"] == "+8617000000001"


def test_what_the_standard_library_is_told_becomes_a_line_like_the_others(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    logging.getLogger().handlers.clear()
    configure_logging("info", "json")
    log = logging.getLogger("softswitch.sip.entrance")
    log.warning("turned away: %d from %s", 3, "+8613800001234")
    log.log(35, "odd level")
    logging.getLogger("uvicorn.error").info("Uvicorn running")
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    first, odd, last = (json.loads(line) for line in capfdbinary.readouterr().err.splitlines())
    assert (first["event"], first["level"]) == ("turned away: 3 from +86138****1234", "warning")
    assert first["logger"] == "softswitch.sip.entrance"
    assert (odd["event"], odd["level"]) == ("odd level", "warning")
    assert (last["event"], last["level"]) == ("Task exception was never retrieved", "error")
    assert "RuntimeError: boom" in last["exception"]


def test_what_the_standard_library_is_told_is_masked_no_more_than_the_rest(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    logging.getLogger().handlers.clear()
    configure_logging("info", "json", mask_numbers=False)
    logging.getLogger("softswitch.sip").error("from %s", "+8613800001234")
    assert json.loads(capfdbinary.readouterr().err)["event"] == "from +8613800001234"


def test_the_console_gets_words_and_colours_only_on_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "console")
    structlog.get_logger("test_console").debug("call_ended", failure=0)
    told = capfd.readouterr().err
    assert "call_ended" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_that_a_full_disk_does_not_take_ends_nobody_and_is_counted(style: str) -> None:
    program = f"""
import logging, structlog
from softswitch.logs import configure_logging, lines_lost
configure_logging("info", "{style}")
for _ in range(3000):
    structlog.get_logger().error("cdr_not_written", record="r" * 100)
logging.getLogger("softswitch.sip").warning("session ended")
print(lines_lost() > 0)
"""
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=False)
    assert ran.stdout == b"True\n"


def test_a_log_whose_reader_is_gone_ends_nobody() -> None:
    program = """
import structlog, sys
from softswitch.logs import configure_logging, lines_lost
configure_logging()
sys.stdin.read()
structlog.get_logger().error("cdr_not_written")
print(lines_lost() > 0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        process.stderr.close()
        assert process.communicate()[0] == b"True\n"
