"""Where everybody is in the interoperability tests, which numbers they have, and what the switch knows of them.

Called by conftest.py and the tests. All addresses are of one 127.x.0.0/16 that no other run uses. A line is a way that
calls take: an X of its own, whose B is reached by the trunks of the line; A is the same number everywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from softswitch.interfaces import App, Mode
from softswitch.stores.provisioning import open_provisioning

A = "+8613800000001"
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


@dataclass(frozen=True, slots=True)
class Line:
    """A way for calls: it begins at port `door` of the proxy in front and leaves by the first of `trunks` that can."""

    index: int
    trunks: tuple[str, ...]
    door: int = 5060

    @property
    def x(self) -> str:
        """The number that A dials."""
        return f"+861700000{self.index:04d}"

    @property
    def b(self) -> str:
        """Whom X leads to."""
        return f"+861390000{self.index:04d}"


LINES = {
    "udp": Line(1, ("behind-udp",)),
    "tcp": Line(2, ("behind-tcp",), 5070),
    "tls": Line(3, ("behind-tls",), 5071),
    "strict": Line(4, ("behind-strict",), 5072),
    "refused": Line(5, ("behind-refused", "callee")),
    "silent": Line(6, ("behind-silent", "callee")),
    "forked": Line(7, ("behind-forked",)),
    "challenged": Line(8, ("behind-challenged",)),
    "chained": Line(10, ("behind-chained",)),
    "straight": Line(9, ("callee",)),
    "phone-udp": Line(11, ("phone-udp",)),
    "phone-tcp": Line(12, ("phone-tcp",)),
    "phone-tls": Line(13, ("phone-tls",)),
    "phone-srtp": Line(14, ("phone-srtp",)),
    "baresip-srtp": Line(15, ("baresip-srtp",)),
    "g722": Line(16, ("phone-g722",)),
    "opus": Line(17, ("baresip-opus",)),
    "baresip-udp": Line(21, ("baresip-udp",)),
    "baresip-tcp": Line(22, ("baresip-tcp",)),
    "baresip-tls": Line(23, ("baresip-tls",)),
}


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses of one run; `octet` is the second of them all."""

    octet: int

    def at(self, place: str) -> str:
        """127.octet.3.4 for "3.4"."""
        return f"127.{self.octet}.{place}"

    @property
    def switch(self) -> str:
        """The switch: UDP and TCP on port 5060, TLS on 5061."""
        return self.at("255.2")

    @property
    def front(self) -> str:
        """The proxy in front of the switch."""
        return self.at("1.1")

    @property
    def behind(self) -> str:
        """The proxy behind the switch."""
        return self.at("1.2")

    @property
    def collector(self) -> str:
        """Who collects traces."""
        return self.at("1.3")

    @property
    def caller(self) -> str:
        """A's phone."""
        return self.at("2.1")

    @property
    def callee(self) -> str:
        """B's phone."""
        return self.at("2.2")

    @property
    def rival(self) -> str:
        """Another phone of B's, where the proxy forks."""
        return self.at("2.3")

    @property
    def nobody(self) -> str:
        """A place that takes whatever comes and never answers."""
        return self.at("2.4")

    def phone(self, side: str, transport: str) -> str:
        """A pjsua2 phone that talks to the switch itself; `side` is "caller" or "callee"."""
        return self.at(f"{3 if side == 'caller' else 4}.{[*PORTS].index(transport) + 1}")

    def baresip(self, transport: str) -> str:
        """A baresip."""
        return self.at(f"5.{[*PORTS].index(transport) + 1}")

    def srtp(self, side: str) -> str:
        """A phone that speaks SRTP, by UDP; `side` as of `phone`."""
        return self.at(f"7.{1 if side == 'caller' else 2}")

    @property
    def srtp_baresip(self) -> str:
        """A baresip that speaks SRTP, by UDP."""
        return self.at("7.3")

    def wideband(self, place: int) -> str:
        """A phone that speaks G.722 or Opus, by UDP: 1 and 2 pjsua2 that call and are called, 3 and 4 baresips."""
        return self.at(f"8.{place}")

    @property
    def member(self) -> str:
        """A phone that must prove a password when it calls."""
        return self.at("6.1")

    @property
    def old_member(self) -> str:
        """One that knows no digest but MD5, and gives up where another is offered as well."""
        return self.at("6.2")

    @property
    def debtor(self) -> str:
        """A trunk's address that owes a password and never shows it."""
        return self.at("6.3")

    @property
    def stranger(self) -> str:
        """Somebody who is no trunk."""
        return self.at("9.1")

    @property
    def parties(self) -> tuple[str, str, str]:
        """Everybody who sends requests to proxies."""
        return self.caller, self.switch, self.callee

    @property
    def with_tls(self) -> list[str]:
        """Everybody but the switch who has a certificate."""
        phones = [self.phone(side, "tls") for side in ("caller", "callee")]
        return [self.front, self.behind, *phones, self.baresip("tls")]

    def dialplan(self) -> str:
        """Every trunk and every route."""
        behind = f'host = "{self.behind}"\n'
        account = 'username = "us"\npassword = "secret"\n'
        # The last is where baresip connects from.
        phones = [f"{self.at('3.0')}/24", f"{self.at('5.0')}/24", "127.0.0.1"]
        old, debtor, srtp = self.old_member, self.debtor, self.srtp("caller")
        keys = 'srtp = "required"\nsrtp_suites = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]\n'
        proof = 'auth = "digest"\nauth_username = "member"\nauth_password = "secret"\n'
        trunks = {
            "front": f'host = "{self.front}"\nsources = ["{self.front}"]\n',
            "behind-udp": f"{behind}health_s = 3600\n",
            "behind-tcp": f'{behind}transport = "tcp"\nhealth_s = 3600\n',
            "behind-tls": f'{behind}transport = "tls"\nhealth_s = 3600\n',
            "behind-strict": f"{behind}port = 5072\n",
            "behind-refused": f"{behind}port = 5073\n",
            "behind-silent": f"{behind}port = 5074\n",
            "behind-forked": f"{behind}port = 5075\n",
            "behind-challenged": f"{behind}port = 5076\nregister = true\n{account}",
            "behind-chained": f"{behind}port = 5077\n",
            "callee": f'host = "{self.callee}"\n',
            "members": f'host = "{self.member}"\nsources = ["{self.member}"]\n{proof}',
            "old-members": f'host = "{old}"\nsources = ["{old}"]\n{proof}auth_algorithms = ["MD5"]\n',
            "debtors": f'host = "{debtor}"\nsources = ["{debtor}"]\n{proof}',
            "srtp-phones": f'host = "{srtp}"\nsources = ["{srtp}"]\n{keys}',
            "phone-srtp": f'host = "{self.srtp("callee")}"\nnumber_form = "national"\n{keys}',
            "baresip-srtp": f'host = "{self.srtp_baresip}"\nnumber_form = "national"\nsrtp = "required"\n',
            "g722-phones": f'host = "{self.wideband(1)}"\nsources = ["{self.wideband(1)}"]\ncodecs = ["G722"]\n',
            "phone-g722": f'host = "{self.wideband(2)}"\nnumber_form = "national"\ncodecs = ["G722"]\n',
            "opus-phones": f'host = "{self.wideband(3)}"\nsources = ["{self.wideband(3)}"]\ncodecs = ["opus"]\n',
            "baresip-opus": f'host = "{self.wideband(4)}"\nnumber_form = "national"\ncodecs = ["opus"]\n',
            "phones": f'host = "{self.at("3.1")}"\nsources = {json.dumps(phones)}\n',
        }
        for transport in PORTS:
            form = f'transport = "{transport}"\nnumber_form = "national"\n'
            trunks[f"phone-{transport}"] = f'host = "{self.phone("callee", transport)}"\n{form}'
            trunks[f"baresip-{transport}"] = f'host = "{self.baresip(transport)}"\n{form}'
        blocks = [f'[[trunk]]\nname = "{name}"\n{keys}' for name, keys in trunks.items()]
        blocks += [
            f'[[route]]\nname = "{name}"\nnumbers = ["{line.b}"]\ntargets = {json.dumps(line.trunks)}\n'
            for name, line in LINES.items()
        ]
        return "\n".join(blocks)


def bind_all(database: str) -> None:
    """Put every X into the pool and bind it."""
    store = open_provisioning(database)
    for line in LINES.values():
        store.add_number(line.x, App("interop", Mode.AXB))
        store.bind_axb(line.x, A, line.b)
    store.close()


def national(number: str) -> str:
    """As people dial it: without the +86."""
    return number.removeprefix("+86")
