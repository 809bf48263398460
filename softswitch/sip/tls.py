"""TLS contexts from certificate files, made anew on request, so that certificates change without a restart.

RFC 3261 26.3.1, RFC 5922 7, RFC 8446. Called by app.py and the stream transport. Connections that are up keep what they
have; it opens none itself.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
            names.add(str(ipaddress.ip_address(str(value).strip())))
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate chain, its key, and whom we trust (empty: the system's authorities).

    `clients`: whether those who connect to us must show a certificate of a trusted authority.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    clients: ClientCertificates = "none"


class Tls:
    """The contexts in use. `client` checks the certificate of whom we call, and that it names the host we meant.

    `admits` tells whether who connects from a hop may be whom its certificate names (None: it has shown none).
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises ConfigError where a file can't be used."""
        self.admits: Callable[[Hop, frozenset[str] | None], bool] = lambda hop, names: True
        self._files = files
        self.client, self.server = self._contexts()

    def reload(self) -> None:
        """Read the files again for the connections to come; raises ConfigError and keeps what was there."""
        self.client, self.server = self._contexts()

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
        files = self._files
        client = self._context(ssl.PROTOCOL_TLS_CLIENT)
        if not files.certificate:
            return client, None
        server = self._context(ssl.PROTOCOL_TLS_SERVER)
        modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
        server.verify_mode = modes[files.clients]
        for context in (client, server):  # a server may want to see our certificate too
            try:
                context.load_cert_chain(files.certificate, files.key or None)
            except OSError as error:  # also what OpenSSL says
                raise ConfigError("sip.tls_certificate", f"can't use {files.certificate}: {error}") from error
        return client, server

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
