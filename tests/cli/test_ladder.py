"""The ladder shows every message in its lane, its direction and its order."""

from __future__ import annotations

from softswitch.cli.ladder import draw, rungs
from tests.tracing.messages import call, text, traced


def test_rows_stand_in_their_lane_and_point_the_way_the_message_went() -> None:
    assert [(row.lane, row.rightwards, row.label, row.times) for row in rungs(call())] == [
        (0, True, "INVITE 17000000001 SDP", 1),
        (0, False, "100 Trying", 1),
        (1, True, "INVITE +8613900002345 SDP", 2),
        (1, False, "486 Busy Here", 1),
        (1, True, "2: INVITE +8613900002345 SDP", 1),
        (0, False, "200 OK (BYE) SDP sendonly", 1),
    ]


def test_requests_but_invite_are_named_alone() -> None:
    rows = rungs([traced(1.0, "0", text("BYE sip:+8613800001234@h SIP/2.0", "a", body="{}"))])
    assert [row.label for row in rows] == ["BYE"]


def test_a_response_without_cseq_is_still_shown() -> None:
    assert [row.label for row in rungs([traced(1.0, "0", b"SIP/2.0 200 OK\r\n\r\n")])] == ["200 OK"]


def test_a_drawn_ladder_fits_a_terminal_of_80_columns() -> None:
    lines = draw(rungs(call()), ("192.0.2.1:5060", "switch", "[2001:db8::2]:5060")).plain.splitlines()
    assert len(lines) == 7
    assert max(len(line) for line in lines) <= 80
    assert lines[0].split() == ["192.0.2.1:5060", "switch", "[2001:db8::2]:5060"]
    assert lines[1].startswith("   0.000 │")
    assert lines[2].index("◀") < lines[3].index("▶")
    assert "×2" in lines[3]
    assert lines[-1].startswith("   1.000 │◀")
