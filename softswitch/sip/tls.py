"""TLS contexts from certificate files, made anew on request, so that certificates change without a restart.

RFC 3261 26.3.1, RFC 5922 7, RFC 8446. Called by app.py and the stream transport. Connections that are up keep what they
have; it opens none itself.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from softswitch.errors import ConfigError
from softswitch.sip.addresses import Hop

ClientCertificates = Literal["none", "optional", "required"]


def subject_names(certificate: Mapping[str, Any] | None) -> frozenset[str] | None:
    """Domains and addresses, in lower case, that a checked certificate (as `ssl` tells it) is for; None without one.

    RFC 5922 7.1: those of its subjectAltName, of a URI what stands behind `sip:`. Wildcards stay what they are, for
    none may match in SIP (7.2).
    """
    if not certificate:
        return None
    names = set()
    for kind, value in certificate.get("subjectAltName", ()):
        scheme, _, rest = str(value).partition(":")
        if kind == "URI" and scheme.lower() == "sip":
            names.add(rest.lower())
        elif kind == "DNS":
            names.add(str(value).lower())
        elif kind == "IP Address":
            with contextlib.suppress(ValueError):  # "<invalid>": neither four bytes nor sixteen
                names.add(str(ipaddress.ip_address(str(value).strip())))
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate chain, its key, and whom we trust (empty: the system's authorities).

    `clients`: whether those who connect to us must show a certificate of a trusted authority. `names`: further
    certificates, each with its key in one file, by the domain that a caller asks for (RFC 6066 3).
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    clients: ClientCertificates = "none"
    names: Mapping[str, str] = field(default_factory=dict)


class Tls:
    """The contexts in use. `client` checks the certificate of whom we call, and that it names the host we meant.

    `admits` tells whether who connects from a hop may be whom its certificate names (None: it has shown none).
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises ConfigError where a file can't be used."""
        self.admits: Callable[[Hop, frozenset[str] | None], bool] = lambda hop, names: True
        self._files = files
        self.client, self.server = self._contexts()

    def follow(self, read_anew: Tls) -> None:
        """For the connections to come, use the files as another has read them meanwhile."""
        self.client, self.server = read_anew.client, read_anew.server

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
        files = self._files
        client = self._context(ssl.PROTOCOL_TLS_CLIENT)
        if not files.certificate:
            return client, None
        server = self._server("sip.tls_certificate", files.certificate, files.key)
        _load(client, "sip.tls_certificate", files.certificate, files.key)  # a server may want to see it too
        named = {name.lower(): self._server(f"sip.tls_names.{name}", file) for name, file in files.names.items()}
        if named:
            server.sni_callback = functools.partial(_choose, named)
        return client, server

    def _server(self, setting: str, certificate: str, key: str = "") -> ssl.SSLContext:
        server = self._context(ssl.PROTOCOL_TLS_SERVER)
        modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
        server.verify_mode = modes[self._files.clients]
        _load(server, setting, certificate, key)
        return server

    def _context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        if not self._files.authorities:
            context.load_default_certs()
            return context
        try:
            context.load_verify_locations(self._files.authorities)
        except OSError as error:
            raise ConfigError("sip.tls_authorities", f"can't use {self._files.authorities}: {error}") from error
        return context


def _load(context: ssl.SSLContext, setting: str, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:  # also what OpenSSL says
        raise ConfigError(setting, f"can't use {certificate}: {error}") from error


def _choose(
    named: Mapping[str, ssl.SSLContext], connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
) -> None:
    """Show the certificate of the name that was asked for; whoever asks for none, or for another, sees the first."""
    connection.context = named.get((name or "").lower(), context)
