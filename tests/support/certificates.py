"""Certificates for the tests, made by the openssl command when asked for and never kept."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """A certificate authority of its own in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self.file = str(folder / f"{name}.pem")
        self._key = str(folder / f"{name}.key")
        extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
        _openssl("req", "-x509", *_KEY, "-subj", f"/CN={name}", *extensions, "-out", self.file, "-keyout", self._key)

    def issue(self, name: str, *subjects: str) -> Certificate:
        """A certificate named `name` for subjects such as "DNS:sbc.example" and "IP:127.0.0.1"."""
        base = self._folder / f"{self._name}-{name}"
        made = Certificate(f"{base}.pem", f"{base}.key")
        extensions = ["-addext", f"subjectAltName={','.join(subjects)}", "-addext", "basicConstraints=CA:FALSE"]
        signer = ["-CA", self.file, "-CAkey", self._key]
        files = ["-out", made.certificate, "-keyout", made.key]
        _openssl("req", "-x509", *_KEY, "-subj", f"/CN={name}", *extensions, *signer, *files)
        return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
