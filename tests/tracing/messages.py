"""Messages of a call through the switch, as a trace keeps them."""

from __future__ import annotations

from softswitch.tracing.trace import TracedMessage

CALLER, SWITCH, CALLEE = ("192.0.2.1", 5060), ("192.0.2.10", 5060), ("192.0.2.2", 5062)
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"


def text(start: str, leg: str, *, to: str = "<sip:x@h>", cseq: str = "1 INVITE", body: str = "") -> bytes:
    """A message's bytes."""
    head = f"{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:+8613800001234@h>;tag=a\r\nTo: {to}\r\n"
    return f"{head}Call-ID: {leg}\r\nCSeq: {cseq}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def invite(leg: str, number: str = "17000000001") -> bytes:
    """The INVITE that begins a leg."""
    return text(f"INVITE sip:{number}@192.0.2.10 SIP/2.0", leg, body=SDP)


def traced(at: float, leg: str, data: bytes, *, received: bool = True, transport: str = "udp") -> TracedMessage:
    """A message of the caller's leg "0", or of one of the callees'."""
    ends = (CALLER if leg == "0" else CALLEE), SWITCH
    source, destination = ends if received else ends[::-1]
    return TracedMessage(at, received, transport, source, destination, leg, data)


def call() -> list[TracedMessage]:
    """INVITE on both legs, once repeated, a refusal and a BYE."""
    outgoing = invite("b", "+8613900002345")
    return [
        traced(1000.0, "0", invite("a")),
        traced(1000.001, "0", text("SIP/2.0 100 Trying", "a"), received=False),
        traced(1000.01, "1", outgoing, received=False),
        traced(1000.51, "1", outgoing, received=False),
        traced(1000.6, "1", text("SIP/2.0 486 Busy Here", "b")),
        traced(1000.7, "2", invite("c", "+8613900002345"), received=False),
        traced(1001.0, "0", text("SIP/2.0 200 OK", "a", cseq="2 BYE", body="v=0\r\na=sendonly\r\n"), received=False),
    ]
