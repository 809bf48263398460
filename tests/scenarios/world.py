"""The world the scenarios live in: a number and an address for everybody, the dialplan, the prompts, the bindings.

Called by runner.py before the switch starts. Every scenario has numbers and addresses of its own, so that all of them
can run at once and nobody else's message can be mistaken for theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.switch_process import free_port
from softswitch.interfaces import App, CallbackRecord, Mode
from softswitch.sip.locating import SERVICES, SRV_PREFIXES
from softswitch.stores.provisioning import Provisioning, open_provisioning
from softswitch.stores.rules import BindingOptions
from softswitch.stores.sqlite import open_sqlite
from tests.scenarios.scenario import Scenario

EXTENSION = "1234"
PORT = 5060
RELAY_PORT = TLS_PORT = 5061
OUTSIDE = "203.0.113.7:5070"  # what peers of the listener behind NAT are told
LANGUAGE = "zh-CN"

# Every prompt is one A-law byte all over, so that a phone knows what it hears from any packet.
PROMPTS: Mapping[str, tuple[int, float]] = {  # name: (byte, seconds)
    "announcement": (0x21, 1.0),
    "no_binding": (0x22, 1.0),
    "enter_extension": (0x23, 0.8),
    "invalid_extension": (0x24, 0.4),
    "connecting": (0x25, 0.6),
    "powered_off": (0x26, 0.6),
    "last_minute": (0x27, 0.4),
    "ringback": (0x28, 0.4),
    "service_fault": (0x29, 0.4),
    "no_permission": (0x2A, 0.4),
}
VOICES: Mapping[str, int] = {"caller": 0x31, "callee": 0x32}
SOUNDS: Mapping[int, str] = {
    **{byte: name for name, (byte, _) in PROMPTS.items()},
    **{byte: name for name, byte in VOICES.items()},
}


@dataclass(frozen=True, slots=True)
class Place:
    """One scenario's numbers (E.164) and addresses."""

    scenario: Scenario
    index: int
    network: int  # second octet of this run's 127.x.0.0/16; strangers are in the one above
    ports: tuple[int, ...] = ()  # with IPv6, which has one loopback address only: of the caller, of each target

    @property
    def numbers(self) -> dict[str, str]:
        """Who has which number: a, b, c (neither of them), x; and the extension e."""
        n = f"{self.index:03d}"
        fixed, short = self.scenario.binding.a_class == "fixed", self.scenario.binding.x_class == "700"
        return {
            "a": f"+8610650{n}05" if fixed else f"+8613810{n}001",
            "b": f"+8613920{n}002",
            "c": f"+8613730{n}003",
            "x": f"+8670010000{n}" if short else f"+8617040{n}004",
            "e": EXTENSION,
        }

    def number(self, role: str) -> str:
        """The number of a, b, c or x."""
        return self.numbers[role]

    def filled(self, text: str) -> str:
        """`text` with {a}, {x}, {trunk_2} … in it replaced."""
        trunks = {f"trunk_{i + 1}": self.trunk(i) for i in range(len(self.targets))}
        return text.format(name=self.scenario.name, **self.numbers, **trunks)

    @property
    def caller_ip(self) -> str:
        """Where the caller's SIPp is."""
        network = self.network + 1 if self.scenario.call.stranger else self.network
        return self._address(network, 1)

    @property
    def targets(self) -> list[str]:
        """Addresses of the route's targets, in its order."""
        return [self._address(self.network, 2 + i) for i in range(len(self.scenario.call.callees))]

    def _address(self, network: int, host: int) -> str:
        """One of the 32 addresses of this place; 250 places in a row, and then the next 32 of each."""
        row, column = divmod(self.index - 1, 250)
        return f"127.{network}.{column + 1}.{32 * row + host}"

    @property
    def at(self) -> list[tuple[str, int]]:
        """Where the signalling of the caller is, and of each target."""
        caller, callee = self.scenario.call.by_ipv6
        six = [caller, *[callee] * len(self.targets)]
        ports = self.ports or [PORT] * len(six)
        addresses = zip((self.caller_ip, *self.targets), ports, six, strict=True)
        return [("[::1]", port) if by_ipv6 else (address, PORT) for address, port, by_ipv6 in addresses]

    @property
    def relayed(self) -> tuple[bool, ...]:
        """Whether a relay stands before the caller's SIPp, and before each target's."""
        call, trunk, relay = self.scenario.call, self.scenario.trunk, self.scenario.relay
        side = relay.side if relay is not None and not relay.long else ""
        caller = call.transport == "tls" or side == "caller"
        callee = trunk.transport == "tls" or side == "callee"
        return (caller, *[callee] * len(call.callees))

    @property
    def domain(self) -> str:
        """The name of the targets' trunk, where it has one."""
        return f"carrier-{self.index}.example"

    @property
    def zone(self) -> str:
        """What DNS says of it: the targets in their order (RFC 2782)."""
        if not self.scenario.trunk.domain:
            return ""
        transport, lines = self.scenario.trunk.transport, list[str]()
        service = f"{SRV_PREFIXES[transport]}{self.domain}."
        if self.scenario.trunk.naptr:
            kind = next(name for name, known in SERVICES.items() if known == transport)
            lines.append(f'{self.domain}. 300 IN NAPTR 10 10 "s" "{kind}" "" {service}')
        for number, (host, port) in enumerate(self.at[1:], 1):
            name, at = f"sbc-{number}.{self.domain}.", RELAY_PORT if self.relayed[number] else port
            lines.append(f"{service} 300 IN SRV {number} 0 {at} {name}")
            lines.append(f"{name} 300 IN {'AAAA' if ':' in host else 'A'} {host.strip('[]')}")
        return "\n".join(lines) + "\n"

    def trunk(self, target: int) -> str:
        """Name of the trunk to target number `target`."""
        return f"{self.scenario.name}-{min(target, self.trunks - 1) + 1}"

    @property
    def trunks(self) -> int:
        """How many trunks the route has: one where the other targets are found by way of the first."""
        part = self.scenario.trunk
        return 1 if part.domain or part.redirects else len(self.targets)


def reserve_network() -> tuple[int, socket.socket]:
    """A second octet of 127.x.0.0/16 that no other run uses, held by the returned socket."""
    for network in random.sample(range(16, 250, 2), 100):
        lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            lock.bind((f"127.{network}.255.1", 5060))
        except OSError:
            lock.close()
            continue
        return network, lock
    raise AssertionError("100 test runs at once on this machine?")


def switch_host(network: int) -> str:
    """The switch of this run, SIP and RTP; nobody else's port can be in the way."""
    return f"127.{network}.255.2"


def switch_address(network: int, port: int = PORT) -> str:
    """Where it takes SIP by IPv4."""
    return f"{switch_host(network)}:{port}"


def behind_nat(network: int) -> str:
    """The listener that tells OUTSIDE instead of its own address."""
    return f"127.{network}.255.3:{PORT}"


def has_ipv6() -> bool:
    """Whether this machine has ::1."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def free_ports6(count: int) -> tuple[int, ...]:
    """So many ports of ::1 that nobody uses at this moment, by UDP and TCP."""
    ports: list[int] = []
    while len(ports) < count:
        port = free_port(socket.SOCK_DGRAM, "::1")
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as tcp:
            tcp.bind(("::1", port))
            ports.append(port)
    return tuple(ports)


def dialplan(places: Sequence[Place]) -> str:
    """One trunk for all callers, and for each scenario its targets and a route to its callee."""
    network = places[0].network
    blocks = [
        f'[[trunk]]\nname = "callers"\nhost = "127.{network}.0.1"\nsources = ["127.{network}.0.0/16", "::1/128"]\n'
    ]
    for place in places:
        own = dict(place.scenario.caller_trunk)
        if place.scenario.call.digest:
            own |= {"auth": "digest", "auth_username": "caller", "auth_password": "secret"}
            own |= {"auth_algorithms": ["MD5"]}  # all that SIPp 3.6 knows
        if own:
            host, port = place.at[0]
            source = host.strip("[]")
            own |= {"name": f"{place.scenario.name}-caller", "host": source, "port": port, "sources": [source]}
            own |= (
                {"source_ports": [port]} if place.scenario.call.by_ipv6[0] else {}
            )  # all callers have that one address
            blocks.append(f"[[trunk]]\n{keys(own)}")
        trunks = [_trunk(place, target) for target in range(place.trunks)]
        blocks += trunks
        names = ", ".join(f'"{place.trunk(target)}"' for target in range(len(trunks)))
        blocks.append(
            f'[[route]]\nname = "{place.scenario.name}"\nnumbers = ["{place.number(place.scenario.call.callee)}"]\n'
            f"targets = [{names}]\n"
        )
    return "\n".join(blocks)


def _trunk(place: Place, target: int) -> str:
    """The trunk to one target, or to all of them by their domain."""
    part, (host, port) = place.scenario.trunk, place.at[target + 1]
    table: dict[str, object] = {"name": place.trunk(target), "host": place.domain if part.domain else host.strip("[]")}
    if not part.domain:
        table["port"] = RELAY_PORT if place.relayed[target + 1] else port
    transport = "auto" if part.naptr else part.transport
    table |= {"transport": transport, "ring_s": part.ring_s, "connect_s": part.connect_s}
    if part.account:
        table |= {"username": "us", "password": "secret"}
    if part.redirects:
        table["redirect_hosts"] = [one for one in place.targets if one != place.targets[target]]
    return f"[[trunk]]\n{keys({**table, **part.options})}"


def keys(table: Mapping[str, object]) -> str:
    """The entries as lines of TOML, whose texts, numbers, truths and lists are written as those of JSON."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def write_prompts(directory: Path) -> None:
    """The whole built-in set, short, each prompt one byte all over."""
    folder = directory / LANGUAGE
    folder.mkdir(parents=True)
    entries = []
    for name, (byte, seconds) in PROMPTS.items():
        samples = bytes([byte]) * round(seconds * 8000)
        header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 6, 1, 8000, 8000, 1, 8)
        data = b"WAVE" + header + struct.pack("<4sI", b"data", len(samples)) + samples
        (folder / f"{name}.wav").write_bytes(struct.pack("<4sI", b"RIFF", len(data)) + data)
        entries.append(f'[[prompt]]\nname = "{name}"\nfile = "{name}.wav"\n')
    (folder / "index.toml").write_text("\n".join(entries), encoding="utf-8")


def bind_all(database: str, places: Sequence[Place]) -> None:
    """Put every X into the pool and bind it as its scenario says."""
    store = open_provisioning(database)
    for place in places:
        _bind(store, place)
    store.close()
    asyncio.run(_remember_callers(database, places))


def _bind(store: Provisioning, place: Place) -> None:
    part, numbers = place.scenario.binding, place.numbers
    mode = Mode(part.mode)
    options = BindingOptions(**part.options)
    store.add_number(numbers["x"], App(f"{mode.value.lower()}-app", mode, len(EXTENSION)))
    if mode is Mode.AXB:
        store.bind_axb(numbers["x"], numbers["a"], numbers["b"], options)
    elif mode is Mode.AX:
        store.bind_ax(numbers["x"], numbers["a"], options)
        if part.temporary_callee:
            store.set_callee(place.filled(part.temporary_callee), x=numbers["x"], duration_s=600)
    else:
        store.bind_axe(numbers["x"], numbers["a"], EXTENSION, options)


async def _remember_callers(database: str, places: Sequence[Place]) -> None:
    store = open_sqlite(database)
    for place in places:
        if place.scenario.binding.latest_caller:
            caller = place.filled(place.scenario.binding.latest_caller)
            await store.remember_caller(CallbackRecord(place.number("x"), place.number("a"), caller, 1.0))
    store.close()
