"""One `[[trunk]]` of the dialplan: everything that may be said of a peer, with its types, defaults and meaning.

Read by dialplan.py, chosen among by trunks.py, followed by the call layer (what is shown and taken), by `interconnect`
(checks, registrations, passwords) and by app.py. It decides nothing.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict

from softswitch.routing.fields import (
    NO_SECRET,
    RECORD,
    CheckedNetwork,
    CheckedSecret,
    Count,
    Expiry,
    Flag,
    Host,
    MaxPacketTime,
    MaybeDigits,
    MaybeHost,
    MaybePrefix,
    MaybeSeconds,
    Name,
    PacketTime,
    PassedHeader,
    Place,
    Port,
    Realm,
    Seconds,
    Word,
    one_of,
)
from softswitch.routing.numbers import NumberForm

SrtpSuite = Literal["AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]


class Login(NamedTuple):
    """A name and its password."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Trunk:
    """One `[[trunk]]` of the dialplan: a peer that we send calls to, take calls from, or both.

    `sources` and `source_ports`: who may send (no ports: any). `priority`: lower first; `weight`: share among equals,
    0 keeps the order of the route. `max_calls`, `calls_per_second`: 0 no limit. `large_by_tcp`: of a UDP trunk, whether
    it takes requests of more than 1300 bytes by TCP. Each key stands in docs/operations.md with what it does.
    """

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    name: Name
    host: Host
    port: Port = 0  # of an address: 5060, with TLS 5061; of a name: what DNS says
    transport: Literal["udp", "tcp", "tls", "auto"] = "udp"  # auto: what DNS says
    large_by_tcp: Flag = True
    uri_host: MaybeHost = ""  # host of its URIs, where calls are sent to another (an SBC, a proxy) than they are for
    tls_name: MaybeHost = ""  # that its certificate must name, in either direction; none: `host`
    redirect_hosts: tuple[Place, ...] = ()  # where a 3xx of it may send a call; none: it is refused
    sources: tuple[CheckedNetwork, ...] = ()
    source_ports: tuple[Port, ...] = ()

    # Media. `codec_order`: whose preference our offers follow. `ptime_ms` and `max_ptime_ms` (0: none) are what we ask
    # it to send; what it gets is what it asks for. `srtp`: whether its RTP must be SRTP with keys in its SDP, by one of
    # `srtp_suites`; where it is allowed the trunk's offers may be, ours are not. `nat`: its RTP may come from elsewhere
    # than its SDP says.
    codecs: tuple[Literal["PCMA", "PCMU", "G722", "opus"], ...] = ("PCMA", "PCMU")
    codec_order: Literal["caller", "trunk"] = "caller"
    ptime_ms: PacketTime = 20
    max_ptime_ms: MaxPacketTime = 0
    nat: Flag = False
    srtp: Literal["off", "allowed", "required"] = "off"
    srtp_suites: tuple[SrtpSuite, ...] = ("AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80")

    max_calls: Count = 0
    calls_per_second: Count = 0

    # Numbers towards it: the form, then `…_strip` taken off, then `…_prefix` put before. `to_form`: how To names the
    # callee, "as_dialled" being what stands in the Request-URI.
    number_form: NumberForm = NumberForm.E164
    number_strip: MaybeDigits = ""
    number_prefix: MaybeDigits = ""
    to_form: Annotated[NumberForm | Literal["as_dialled"], one_of("as_dialled", *NumberForm)] = "as_dialled"
    caller_id_form: NumberForm = NumberForm.E164
    caller_id_strip: MaybeDigits = ""
    caller_id_prefix: MaybeDigits = ""
    user_phone: Flag = False

    # Numbers from it: where it writes what is dialled; prefixes taken off, `number_add_in` put before what it dials,
    # and the form to read them in.
    dialled_in: Literal["request_uri", "to", "p_called_party_id"] = "request_uri"
    number_form_in: Annotated[NumberForm | Literal["any"], one_of("any", *NumberForm)] = "any"
    number_prefix_in: MaybeDigits = ""
    number_add_in: MaybePrefix = ""
    caller_id_prefix_in: MaybeDigits = ""

    # Identity (RFC 3323, RFC 3325). `trusted`: its P-Asserted-Identity or Remote-Party-ID tells the caller, else From.
    # `identity`: which header tells it X. `privacy`: whose calls hide X from the callee. `from_user`, `from_host`: what
    # From has instead of X and of our address.
    trusted: Flag = True
    identity: Literal["pai", "rpid", "both", "none"] = "pai"
    privacy: Literal["never", "caller", "always"] = "never"
    from_user: Word = ""
    from_host: MaybeHost = ""
    pass_headers: tuple[PassedHeader, ...] = ()  # from it, and to it

    priority: Count = 1
    weight: Count = 0
    ring_s: Seconds = 60.0
    connect_s: Seconds = 8.0

    # `username` and `password` are ours there, for whatever it challenges. `auth` "digest": its INVITEs must prove
    # `auth_username` and `auth_password` (where not given: ours) in `realm`.
    username: Word = ""
    password: CheckedSecret = NO_SECRET
    auth: Literal["sources", "digest"] = "sources"
    auth_username: Word = ""
    auth_password: CheckedSecret = NO_SECRET
    auth_algorithms: tuple[Literal["SHA-512-256", "SHA-256", "MD5"], ...] = ("SHA-256", "MD5")
    realm: Realm = "softswitch"

    # `health_s`: seconds between OPTIONS, 0 none. `register`: keep us registered there, `register_user` (`username`)
    # being the user part of our Contact.
    health_s: MaybeSeconds = 0.0
    register: Flag = False
    register_user: Word = ""
    register_expires_s: Expiry = 3600

    def problems(self) -> list[tuple[str, str]]:
        """What does not fit together, as (key, what was expected)."""
        found = []
        if bool(self.username) != bool(self.password.value):
            found.append(("password" if self.username else "username", "expected: username and password go together"))
        if bool(self.auth_username) != bool(self.auth_password.value):
            found.append(("auth_username", "expected: auth_username and auth_password go together"))
        if self.auth == "digest" and not (self.proves.username and self.auth_algorithms and self.sources):
            found.append(("auth", "expected with digest: sources, a username with its password, and an algorithm"))
        if not self.codecs:
            found.append(("codecs", "expected: one at least"))
        if self.srtp != "off" and not self.srtp_suites:
            found.append(("srtp_suites", "expected with srtp: one at least"))
        if 0 < self.max_ptime_ms < self.ptime_ms:
            found.append(("max_ptime_ms", "expected: no less than ptime_ms"))
        if self.register and not self.username:
            found.append(("register", "expected with it: username and password"))
        return found

    def lacks_srtp(self, suites: Collection[str]) -> bool:
        """Whether it wants SRTP and a media server with `suites` has none of what it takes."""
        return self.srtp != "off" and not set(self.srtp_suites) & set(suites)

    @property
    def keys_in_clear(self) -> bool:
        """Whether its signalling shows SRTP keys to whoever sees it pass."""
        return self.srtp != "off" and self.transport in ("udp", "tcp")

    @property
    def certified_name(self) -> str:
        """The domain that its certificate must name whichever of its addresses is reached; "": the address itself."""
        return self.tls_name or ("" if numeric(self.host) is not None else self.host)

    @property
    def proves(self) -> Login:
        """What its INVITEs must prove where `auth` is digest."""
        if self.auth_username:
            return Login(self.auth_username, self.auth_password.value)
        return Login(self.username, self.password.value)

    def __post_init__(self) -> None:
        """Fill in the port that goes with an address and its transport (RFC 3261 19.1.2)."""
        if not self.port and numeric(self.host) is not None:
            object.__setattr__(self, "port", 5061 if self.transport == "tls" else 5060)


@functools.lru_cache(1024)
def numeric(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is, None where it is a name."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


NO_TRUNK = Trunk("unknown", "unknown.invalid")  # stands for one that the dialplan does not have any more
