"""Frames and messages of the media protocol survive the wire, and nothing else passes for them."""

from __future__ import annotations

import math

import pytest

from media import protocol

COMMANDS: list[protocol.Command] = [
    protocol.Hello(),
    protocol.OpenEndpoint(1, 20000),
    protocol.ConfigureEndpoint(1, "127.0.0.1", 4000, 8, 101, 102, sending=False, receiving=False, nat=True),
    protocol.CloseEndpoint(1),
    protocol.Connect(1, 2, digits=False),
    protocol.Disconnect(1, 2),
    protocol.Play(3, (1, 2), ("a.wav", "b.wav"), loop=True, mix=True),
    protocol.StopPlay(3),
    protocol.Record(4, "r.wav", 1, 2, stereo=True, voices=True, elapsed_s=1.5),
    protocol.Voices(4),
    protocol.CloseRecording(4),
    protocol.Ping(),
]
EVENTS: list[protocol.Event] = [
    protocol.Welcome(1, "127.0.0.1", 60.0),
    protocol.EndpointOpened(1, "127.0.0.1", 20000, resumed=True),
    protocol.EndpointFailed(1, "no port"),
    protocol.EndpointClosed(1, 2, 3, 4, 5, 6.0, 7, 8.0, 9.0, 10, 11, True),
    protocol.Digit(1, "#"),
    protocol.Silence(1, True),
    protocol.Played(3, (protocol.Report(10, 20, 30, True, 1),)),
    protocol.Recorded(4, 1.0, 8058, "00", True),
    protocol.RecordingMoved(4, "r-2.wav"),
    protocol.Truncated(4),
    protocol.Pong(),
    protocol.Totals(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    protocol.Refused("Play", "why"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_come_out_as_they_went_in(command: protocol.Command) -> None:
    (body,) = protocol.FrameBuffer().feed(protocol.encode(command))
    assert protocol.decode_command(body) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_come_out_as_they_went_in(event: protocol.Event) -> None:
    (body,) = protocol.FrameBuffer().feed(protocol.encode(event))
    assert protocol.decode_event(body) == event


@pytest.mark.parametrize("elapsed_s", [-1.0, math.nan, math.inf, 1e300])
def test_a_recording_goes_on_after_no_time_that_is_impossible(elapsed_s: float) -> None:
    (body,) = protocol.FrameBuffer().feed(protocol.encode(protocol.Record(1, "call.wav", 1, 2, elapsed_s=elapsed_s)))
    with pytest.raises(protocol.ProtocolError, match="elapsed_s"):
        protocol.decode_command(body)


def test_frames_are_found_however_the_stream_is_cut() -> None:
    stream = b"".join(protocol.encode(command) for command in COMMANDS)
    for size in (1, 3, 7, 1000):
        buffer = protocol.FrameBuffer()
        bodies = [body for at in range(0, len(stream), size) for body in buffer.feed(stream[at : at + size])]
        assert [protocol.decode_command(body) for body in bodies] == COMMANDS


def test_a_frame_beyond_the_limit_is_an_error() -> None:
    with pytest.raises(protocol.ProtocolError, match="at most"):
        list(protocol.FrameBuffer().feed(b"\x7f\xff\xff\xff"))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa4type\xa3Foo", protocol.encode(COMMANDS[0])[4:-3]])
def test_what_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_command(body)
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_event(body)
