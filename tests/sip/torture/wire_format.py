"""How the messages of RFC 4475 are written here: text with LF line ends, bytes with CRLF."""

from __future__ import annotations


def wire(text: str) -> bytes:
    """The message as it goes over the wire."""
    return text.replace("\n", "\r\n").encode()


def sdp(address: str, timing: str = "0 0") -> str:
    """The session description that most messages of the RFC carry."""
    return (
        f"v=0\no=mhandley 29739 7272939 IN IP4 {address}\ns=-\nc=IN IP4 {address}\nt={timing}\n"
        "m=audio 49217 RTP/AVP 0 12\nm=video 3227 RTP/AVP 31\na=rtpmap:31 LPC\n"
    )
