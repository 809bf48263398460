"""SIP messages are read out of pjsua's log: both ways, with their times, in order."""

from __future__ import annotations

from pathlib import Path

from demo.phone_log import messages, read_logs

SENT = """\
11:37:20.480           pjsua_core.c  .....TX 342 bytes Request msg ACK/cseq=1 (tdta0x5) to UDP 127.0.0.1:5060:
ACK sip:x@127.0.0.1:5060 SIP/2.0
CSeq: 1 ACK


--end msg--
11:37:20.483           conference.c !.Added port 1 (sip:x@127.0.0.1), port count=2
"""
RECEIVED = """\
11:37:19.100           pjsua_core.c !.RX 383 bytes Response msg 200/INVITE/cseq=1 (rdata0x5) from UDP 127.0.0.1:5060:
SIP/2.0 200 OK
CSeq: 1 INVITE

v=0

--end msg--
"""


def test_messages_sent_and_received_are_told_apart() -> None:
    sent, received = messages(SENT + RECEIVED, 31000)
    assert (sent.source, sent.destination) == (("127.0.0.1", 31000), ("127.0.0.1", 5060))
    assert (received.source, received.destination) == (("127.0.0.1", 5060), ("127.0.0.1", 31000))
    assert sent.is_sip
    assert received.payload.startswith(b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n")
    assert round(sent.at - received.at, 3) == 1.38


def test_several_logs_are_one_story_and_a_missing_one_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(SENT)
    (tmp_path / "b.log").write_text(RECEIVED)
    told = read_logs([(tmp_path / "a.log", 31000), (tmp_path / "b.log", 31001), (tmp_path / "none.log", 31002)])
    assert [packet.payload[:3] for packet in told] == [b"SIP", b"ACK"]
