"""What is fuzzed: functions of bytes that raise where the oracle "parsed, or SipParseError" is broken.

Used by `python -m tests.fuzz` (coverage-guided, by atheris, see `make fuzz`) and by test_targets, which runs each over
its seeds so that none rots.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable

from media.prompts import PromptError, read_prompt
from softswitch.errors import SipParseError
from softswitch.sdp.description import parse_description
from softswitch.sdp.offer_answer import accept_answer, answer, local_offer, parse_offer
from softswitch.sip.core import SipCore
from softswitch.sip.digest import Account, parse_challenge, parse_credentials, proves
from softswitch.sip.digest import answer as prove
from softswitch.sip.digest_server import Challenger, Protected
from softswitch.sip.endpoint import PendingResponse
from softswitch.sip.framing import PING, Framer
from softswitch.sip.grammar import split_commas, split_params
from softswitch.sip.headers import parse_cseq, parse_name_addr, parse_via
from softswitch.sip.message import Headers, SipRequest, SipResponse, parse_message, validate
from softswitch.sip.uri import parse_uri
from tests.sip.torture import rfc4475_invalid, rfc4475_semantics, rfc4475_valid, rfc5118
from tests.support.responses import make_response
from tests.support.sdp import written

Target = Callable[[bytes], None]

MESSAGES = tuple(
    torture.data
    for module in (rfc4475_valid, rfc4475_invalid, rfc4475_semantics, rfc5118)
    for torture in module.MESSAGES
)
BODIES = tuple(body for data in MESSAGES if (body := data.partition(b"\r\n\r\n")[2]).startswith(b"v=0"))
VALUES = tuple({line.partition(b":")[2].strip() for data in MESSAGES for line in data.split(b"\r\n") if b":" in line})
CREDENTIALS = (
    b'Digest realm="softswitch", nonce="1", algorithm=SHA-256, qop="auth,auth-int", opaque="o", stale=TRUE',
    b'Digest username="us", realm="softswitch", nonce="1.salt.00", uri="sip:x", response="0a", qop=auth, nc=00000001, '
    b'cnonce="c", algorithm=MD5',
)
_FORM = b"fmt \x12\0\0\0\x06\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\0\0"
WAVS = tuple(
    b"RIFF\x80\0\0\0WAVE" + chunks + b"data\x10\0\0\0" + bytes(range(16))
    for chunks in (_FORM, _FORM + b"fact\x04\0\0\0\x10\0\0\0", b"LIST\x03\0\0\0abc\0" + _FORM, b"")
)
_ACCOUNT = Account("us", "secret")
_PROTECTED = Protected(_ACCOUNT, "softswitch")
_OURS = local_offer("10.0.0.1", 4000, session_id=1, version=1)


def message(data: bytes) -> None:
    """A message is read whole, written, and read the same; so is a response to it."""
    try:
        parsed = parse_message(data)
    except SipParseError:
        return
    assert parse_message(parsed.encode()) == parsed
    with contextlib.suppress(SipParseError):
        validate(parsed)
    for name in ("via", "from_", "to", "cseq", "call_id", "contact", "max_forwards", "content_type"):
        with contextlib.suppress(SipParseError):
            getattr(parsed, name)
    for name, _ in parsed.headers:
        parsed.headers.all(name)
    if isinstance(parsed, SipRequest):
        response = make_response(parsed, 200, to_tag="x")
        assert parse_message(response.encode()) == response


def values(data: bytes) -> None:
    """Every kind of header value is read, written, and read the same."""
    text = data.decode("utf-8", "surrogateescape")
    split_commas(text)
    with contextlib.suppress(SipParseError):
        split_params(text)
    for parse in (parse_via, parse_name_addr, parse_cseq, parse_uri):
        with contextlib.suppress(SipParseError):
            value: object = parse(text)
            assert parse(str(value)) == value


def sdp(data: bytes) -> None:
    """A description is read, written, and read the same; as an offer it is answered with as many streams."""
    with contextlib.suppress(SipParseError):
        accept_answer(_OURS, data)
    try:
        description = parse_description(data)
    except SipParseError:
        return
    assert parse_description(written(description)) == description
    answered = answer(parse_offer(data), "10.0.0.1", 4002, session_id=1, version=1)
    if answered is not None:
        assert len(parse_description(answered.body).media) == len(description.media)


def framing(data: bytes) -> None:
    """A stream says the same in one piece and byte by byte; a message cut out of it is as long as it says."""
    whole = _frames([data])
    assert whole == _frames(data[at : at + 1] for at in range(len(data)))
    for frame in whole[0]:
        if frame != PING:
            with contextlib.suppress(SipParseError):
                assert frame.endswith(parse_message(frame).body)


def core(data: bytes) -> None:
    """The core raises nothing, answers only with responses, and forgets all."""
    now, serial = 0.0, itertools.count()
    endpoint = SipCore([("10.0.0.1", 5060)], lambda: f"t{next(serial)}", clock=lambda: now, new_response=_nobody_asks)
    for datagram in data.split(b"\n--\n")[:4]:
        endpoint.receive_datagram(datagram, ("192.0.2.77", 5099), now)
        for sent in endpoint.datagrams_to_send():
            assert isinstance(parse_message(sent.data), SipResponse)
        while endpoint.next_event() is not None:
            pass
    for session in list(endpoint.sessions.values()):
        session.hang_up()
    while (at := endpoint.next_deadline()) is not None:
        now = max(now, at)
        endpoint.handle_timers(now)
        endpoint.datagrams_to_send()
    assert not endpoint.transactions
    assert not endpoint.sessions


def digest(data: bytes) -> None:
    """Challenges and credentials are read, written, and read the same; nobody gets in with either."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(SipParseError):
        challenge = parse_challenge(text)
        assert parse_challenge(str(challenge)) == challenge
        proved = prove(challenge, _ACCOUNT, "INVITE", "sip:x", cnonce="c")
        assert parse_credentials(str(proved)) == proved
    with contextlib.suppress(SipParseError):
        credentials = parse_credentials(text)
        assert parse_credentials(str(credentials)) == credentials
        proves(credentials, _ACCOUNT, "INVITE")
    with contextlib.suppress(SipParseError):
        asked = SipRequest("INVITE", "sip:x", Headers([("Authorization", text)]))
        outcome = Challenger(b"secret", lambda: "salt").judge(asked, "192.0.2.1", _PROTECTED, 1.0)
        assert outcome.status in (401, 403)


def wav(data: bytes) -> None:
    """A prompt is whole audio out of its file, or refused with the reason; nothing else."""
    with contextlib.suppress(PromptError):
        audio = read_prompt("prompt.wav", data)
        assert audio.samples
        assert audio.samples in data
        assert audio.duration_s == len(audio.samples) / 8000


TARGETS: dict[str, tuple[Target, tuple[bytes, ...]]] = {
    "message": (message, MESSAGES),
    "values": (values, VALUES),
    "digest": (digest, (*CREDENTIALS, *VALUES)),
    "sdp": (sdp, BODIES),
    "framing": (framing, (*MESSAGES, b"\r\n\r\n".join(MESSAGES))),
    "wav": (wav, WAVS),
    "core": (core, (*MESSAGES, b"\n--\n".join(MESSAGES[:4]))),
}


def _frames(pieces: Iterable[bytes]) -> tuple[list[bytes], bool]:
    """The messages of a stream, and whether it can be followed to its end."""
    framer, frames = Framer(), []
    try:
        for piece in pieces:
            for frame in framer.feed(piece):
                frames.append(frame)
    except SipParseError:
        return frames, False
    return frames, True


def _nobody_asks() -> PendingResponse:
    raise AssertionError("no request of ours was expected")
