"""How the phones of bench_media.py speak beside plain PCMA: codecs and SRTP, as the load generator and we are told.

Used by bench_media.py only; never measures anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from media import _native
from softswitch.interfaces import Coding, RtpRemote, SrtpKeys

TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9, "opus": 96}
LENGTHS = {"AEAD_AES_256_GCM": 44, "AES_CM_128_HMAC_SHA1_80": 30}
KEY, OUR_KEY = bytes(range(44)), bytes(range(100, 144))


@dataclass(frozen=True, slots=True)
class Way:
    """A codec, and the SRTP suite that protects it ("": none)."""

    codec: str = "PCMA"
    suite: str = ""

    @property
    def payload_type(self) -> int:
        """Both ways."""
        return TYPES[self.codec]

    @property
    def known(self) -> bool:
        """Whether this build of the media core has it."""
        coded = self.codec in ("PCMA", "PCMU", *_native.CODECS)
        return coded and self.suite in ("", *_native.SRTP_SUITES)

    def phone(self, local: int, target: int) -> str:
        """The load generator's line of a phone that speaks so."""
        codec = "-" if self.codec in ("PCMA", "PCMU") else self.codec
        key = f"{self.suite} {KEY[: LENGTHS[self.suite]].hex()}" if self.suite else ""
        return f"{local} {target} {self.payload_type} {codec} {key}".rstrip()

    def remote(self, local: int) -> RtpRemote:
        """The same phone as its SDP would tell us of it."""
        keys = None
        if self.suite:
            length = LENGTHS[self.suite]
            keys = SrtpKeys(self.suite, OUR_KEY[:length], KEY[:length])
        coding = None if self.codec in ("PCMA", "PCMU") else Coding(self.codec, self.payload_type)
        return RtpRemote("127.0.0.1", local, self.payload_type, 101, srtp=keys, coding=coding)


PLAIN = Way()
Ways = tuple[Way, Way]  # of the two phones of a call

CODED: dict[str, Ways] = {
    "G.722": (Way("G722"), Way("G722")),
    "G.722 to PCMA": (Way("G722"), PLAIN),
    "Opus": (Way("opus"), Way("opus")),
    "Opus to PCMA": (Way("opus"), PLAIN),
    "AES-256-GCM": (Way(suite="AEAD_AES_256_GCM"),) * 2,
    "AES-CM-128": (Way(suite="AES_CM_128_HMAC_SHA1_80"),) * 2,
    "AES-CM-128 to plain": (Way(suite="AES_CM_128_HMAC_SHA1_80"), PLAIN),
}


def coded() -> dict[str, Ways]:
    """Those of CODED that this build of the media core has."""
    return {name: ways for name, ways in CODED.items() if all(way.known for way in ways)}
