"""Where a 3xx of a target may send us: nowhere, unless its trunk's `redirect_hosts` names the place.

RFC 3261 8.1.3.4 and 21.3. Called by `hunt.py`. Only the place changes: the number that is called stays ours, for nobody
but the one who is bound may be reached, and nothing else that the Contact says is copied. It sends nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from msgspec.structs import replace

from softswitch.errors import SipParseError
from softswitch.interfaces import Target
from softswitch.sip.addresses import DEFAULT_PORTS
from softswitch.sip.headers import NameAddr, parse_name_addr
from softswitch.sip.locating import is_numeric
from softswitch.sip.message import SipResponse
from softswitch.sip.uri import SipUri, parse_uri

MOST_PLACES = 8  # of one response: a call must not be tried all day, nor be a scan of somebody's ports
FOLLOWED = (300, 301, 302)  # 305 and 380 name no other place of the same service


def redirected(target: Target, response: SipResponse) -> list[Target]:
    """The targets that a response to `target` names, best first, those left out where its trunk may not send us."""
    if response.status not in FOLLOWED or not target.redirect_hosts:
        return []
    found = [one for text in response.headers.all("Contact") if (one := _read(target, text)) is not None]
    return [there for _, there in sorted(found, key=lambda one: one[0])][:MOST_PLACES]  # stable: equals as they stand


def _read(target: Target, text: str) -> tuple[float, Target] | None:
    """One Contact as its place in the order and the target there; None where we don't go.

    A `maddr` is the place to go, in the stead of the host (19.1.1), which the Request-URI keeps: both must be allowed.
    """
    try:
        contact = parse_name_addr(text)
        uri = parse_uri(contact.uri)
    except SipParseError:
        return None
    transport = "tls" if uri.scheme == "sips" else (uri.params.get("transport") or target.transport).lower()
    spoken = transport == target.transport or (transport in DEFAULT_PORTS and target.transport != "tls")
    hosts = {uri.host, uri.place}
    if not spoken or not _same_number(uri, target) or not all(allows(target.redirect_hosts, host) for host in hosts):
        return None
    port = uri.port or (DEFAULT_PORTS.get(transport, 5060) if is_numeric(uri.place) else 0)
    named = uri.host if len(hosts) > 1 else ""
    return -_preference(contact), replace(
        target, host=uri.place, port=port, transport=transport, uri_host=named, tls_name=named
    )


def _same_number(uri: SipUri, target: Target) -> bool:
    """Whether it is still the callee whom we would reach there; a host alone says nothing else."""
    return uri.user is None or uri.user.partition(";")[0].lstrip("+") == target.user.lstrip("+")


def allows(hosts: Sequence[str], host: str) -> bool:
    """Whether `host` is one of the names, or an address in one of the networks."""
    if not is_numeric(host):
        return host.lower() in {one.lower() for one in hosts}
    networks = [ipaddress.ip_network(one) for one in hosts if is_numeric(one.partition("/")[0])]
    return any(ipaddress.ip_address(host) in one for one in networks)


def _preference(contact: NameAddr) -> float:
    """The q parameter (20.10): 1 where there is none that can be read."""
    try:
        return min(max(float(contact.params.get("q") or 1), 0.0), 1.0)
    except ValueError:
        return 1.0
