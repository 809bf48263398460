"""The switch between two Kamailios, and the calls that phones place through all three.

Called by conftest.py and test_kamailio.py. Calls follow one another; a call's own messages are those of Call-IDs that
began at a proxy since it was made, for a busy machine may bring a retransmission of the call before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demo.phone import Phone, PhoneEvent
from demo.switch_process import wait_until
from tests.interop.collector import Collector
from tests.interop.kamailio import Kamailio, Passed
from tests.interop.world import A, Line, Network, national
from tests.support.leaks import shows
from tests.support.stalls import Inexcusable
from tests.support.switch import RunningSwitch

SETTLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Rig:
    """What all tests share. `collector` gets traces of all calls; `tls` are the PEM files of all but the switch."""

    network: Network
    switch: RunningSwitch
    front: Kamailio
    behind: Kamailio
    collector: Collector
    tls: dict[str, str]

    def acks(self) -> int:
        """How many ACKs the switch received so far."""
        return int(self.switch.metric("softswitch_sip_messages_total", direction="in", method="ACK"))

    def cdr(self, line: Line, before: int) -> dict[str, Any]:
        """The first record through the X of a line after so many records of all lines, once it is written."""

        def look() -> dict[str, Any] | None:
            return next((cdr for cdr in self.switch.cdrs()[before:] if cdr["bindNum"] == line.x), None)

        found = wait_until(look, SETTLE_S)
        assert found, f"no CDR of a call through {line.x}\n{self.switch.log_tail()}"
        return found


class Call:
    """A call from `caller` by `line` to `callee`, through the proxy in front and the one behind."""

    def __init__(self, rig: Rig, line: Line, caller: Phone, callee: Phone) -> None:
        self.rig, self.line, self.caller, self.callee = rig, line, caller, callee
        self._cdrs_before = len(rig.switch.cdrs())
        self._front_before, self._behind_before = len(rig.front.passed()), len(rig.behind.passed())

    def dial(self) -> None:
        """A dials X at the proxy in front."""
        self.caller.call(f"sip:{national(self.line.x)}@{self.rig.front.address}:{self.line.door}")

    def ring(self) -> PhoneEvent:
        """A dials, B rings, A hears of it."""
        self.dial()
        incoming = self.callee.wait_for("incoming")
        self.callee.answer(180)
        self.caller.wait_for("ringing", status=180)
        return incoming

    def connect(self) -> PhoneEvent:
        """A dials, B rings and answers; both have media."""
        incoming = self.ring()
        self.answer()
        return incoming

    def answer(self) -> None:
        """B answers; both have media."""
        self.callee.answer(200)
        for phone in (self.callee, self.caller):
            phone.wait_for("answered")
            phone.wait_for("media", hearing=True)

    def over(self) -> dict[str, Any]:
        """Both phones know that it is over; its CDR."""
        for phone in (self.caller, self.callee):
            phone.wait_for("disconnected")
        return self.cdr()

    def cdr(self) -> dict[str, Any]:
        """The record of this call."""
        return self.rig.cdr(self.line, self._cdrs_before)

    def saw(self, proxy: Kamailio, *, source: str = "") -> list[Passed]:
        """Messages of this call that came to a proxy (from `source` alone, if it is given)."""
        passed = proxy.passed()[self._front_before if proxy is self.rig.front else self._behind_before :]
        ours = {one.call_id for one in passed if one.name == "INVITE" and not one.within_dialog}
        return [one for one in passed if one.call_id in ours and source in ("", one.source)]

    def proxy_before(self, phone: str) -> Kamailio:
        """The proxy between the switch and the phone at an address."""
        return self.rig.front if phone == self.rig.network.caller else self.rig.behind

    def later_requests(self, proxy: Kamailio, source: str) -> list[Passed]:
        """Those of them that are requests within the dialog."""
        return [one for one in self.saw(proxy, source=source) if not one.name.isdigit() and one.within_dialog]

    def wait_to_pass(self, proxy: Kamailio, name: str, source: str, *, method: str = "") -> Passed:
        """The latest message `name` (method, or status of `method`) that came to `proxy` from `source`."""

        def look() -> Passed | None:
            fits = [one for one in self.saw(proxy, source=source) if one.name == name and one.method.endswith(method)]
            return fits[-1] if fits else None

        found = wait_until(look, SETTLE_S)
        assert found, f"no {name} of {source} came to the proxy {proxy.name}"
        return found

    def hides_numbers(self) -> None:
        """Raises Inexcusable if a message of the switch shows the number of one side to the other."""
        switch = self.rig.network.switch
        sides = ((self.rig.front, self.line.b), (self.rig.behind, A))
        for proxy, number in sides:
            for one in self.saw(proxy, source=switch):
                if shows(number, one.text):
                    raise Inexcusable(one.text)
