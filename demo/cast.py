"""Who is who in the demo and the phone tests: parties with their numbers and ports, and the dialplan that joins them.

Called by demo/stage.py. Every phone is a trunk of its own, known by its port, and reached by its exact number; so the
switch treats it as it would a carrier's trunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from demo.voices import Voice
from demo.wire import free_ports

RTP_PORTS = 8
PORTS_PER_PHONE = 1 + RTP_PORTS

# Invented numbers. X of each mode, and the extension that leads to the driver.
AXB_X, AXE_X, SHORT_X = "+8617000000001", "+8617000000002", "+8617000000003"
EXTENSION = "0421"


@dataclass(frozen=True, slots=True)
class Party:
    """One person with a phone."""

    name: str
    role: str
    number: str
    voice: Voice
    sip_port: int
    rtp_ports: range
    codec: str = ""  # the one that the phone speaks; empty: G.711

    @property
    def national(self) -> str:
        """The number as people write it: 13800000001."""
        return self.number.removeprefix("+86")


@dataclass(frozen=True, slots=True)
class Cast:
    """All parties, on a run of ports that nobody else uses."""

    driver: Party
    guest: Party
    stranger: Party
    ports: range

    @property
    def all(self) -> tuple[Party, ...]:
        """Everybody."""
        return (self.driver, self.guest, self.stranger)


def free_cast() -> Cast:
    """A cast on free ports."""
    ports = free_ports(3 * PORTS_PER_PHONE + 6)
    rtp = [ports[4] + index * RTP_PORTS for index in range(3)]  # even, as RFC 3550 11 asks

    def party(index: int, name: str, role: str, number: str, voice: Voice) -> Party:
        return Party(name, role, number, voice, ports[index], range(rtp[index], rtp[index] + RTP_PORTS))

    chinese = "cmn-latn-pinyin"
    return Cast(
        party(
            0, "A", "driver", "+8613800000001", Voice("您好，我是司机，已经到楼下了。", chinese, 30, (350.0, 3300.0))
        ),
        party(
            1, "B", "guest", "+8613900000002", Voice("好的，谢谢，我马上下来。", f"{chinese}+f4", 70, (3300.0, 350.0))
        ),
        party(
            2, "C", "stranger", "+8613700000009", Voice("喂，喂，请问是哪一位？", f"{chinese}+m3", 50, (500.0, 2000.0))
        ),
        ports,
    )


def dialplan(parties: Iterable[Party], extra: str = "") -> str:
    """Dialplan text: a trunk and a route for each party, the mandated announcement for all; `extra` goes behind it."""
    return "\n".join([*(_trunk_and_route(party) for party in parties), _TREATMENT, extra])


def _trunk_and_route(party: Party) -> str:
    return f"""
[[trunk]]
name = "{party.role}"
host = "127.0.0.1"
port = {party.sip_port}
sources = ["127.0.0.1/32"]
source_ports = [{party.sip_port}]
{f'codecs = ["{party.codec}"]' if party.codec else ""}

[[route]]
name = "to-{party.role}"
numbers = ["{party.number}"]
targets = ["{party.role}"]
"""


_TREATMENT = """
[treatment.default]
announcement = "announcement"
announcement_mandatory = true
"""
