"""TLS contexts: who must show a certificate, what is refused, and files that change (RFC 3261 26.3.1, RFC 5922)."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest

from softswitch.errors import ConfigError
from softswitch.sip.tls import ClientCertificates, Tls, TlsFiles, subject_names
from tests.support.certificates import Authority


def test_without_a_certificate_we_can_only_call() -> None:
    tls = Tls(TlsFiles())
    assert tls.server is None
    assert tls.client.check_hostname
    assert tls.client.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("clients", "mode"),
    [("none", ssl.CERT_NONE), ("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)],
)
def test_clients_show_certificates_as_the_setting_says(
    tmp_path: Path, clients: ClientCertificates, mode: ssl.VerifyMode
) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("own", "IP:127.0.0.1")
    tls = Tls(TlsFiles(own.certificate, own.key, authority.file, clients))
    assert tls.server is not None
    assert tls.server.verify_mode is mode
    assert {tls.server.minimum_version, tls.client.minimum_version} == {ssl.TLSVersion.TLSv1_2}


def test_files_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, other = authority.issue("own", "IP:127.0.0.1"), authority.issue("other", "IP:127.0.0.1")
    with pytest.raises(ConfigError, match=r"sip\.tls_certificate.*own\.pem"):
        Tls(TlsFiles(own.certificate, other.key))
    with pytest.raises(ConfigError, match=r"sip\.tls_authorities.*nowhere"):
        Tls(TlsFiles(authorities=str(tmp_path / "nowhere")))


def test_of_further_certificates_a_broken_one_is_named(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("own", "IP:127.0.0.1")
    with pytest.raises(ConfigError, match=r"sip\.tls_names\.b\.example: can't use nowhere"):
        Tls(TlsFiles(own.certificate, own.key, names={"b.example": "nowhere"}))


def test_what_another_has_read_anew_is_taken_and_a_broken_file_leaves_the_old(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, new = authority.issue("own", "IP:127.0.0.1"), authority.issue("new", "IP:127.0.0.1")
    files = TlsFiles(own.certificate, own.key, authority.file)
    tls = Tls(files)
    before = tls.server
    shutil.copy(new.certificate, own.certificate)
    with pytest.raises(ConfigError):
        Tls(files)
    assert tls.server is before
    shutil.copy(new.key, own.key)
    anew = Tls(files)
    tls.follow(anew)
    assert (tls.client, tls.server) == (anew.client, anew.server)


def test_a_certificate_is_for_the_names_of_its_subject_alternatives_alone() -> None:
    """RFC 5922 7.1."""
    certificate = {
        "subject": ((("commonName", "cn.example"),),),
        "subjectAltName": (
            ("DNS", "SBC.example"),
            ("DNS", "*.example"),
            ("URI", "sip:carrier.example"),
            ("URI", "https://web.example"),
            ("IP Address", "192.0.2.1"),
            ("IP Address", "2001:DB8:0:0:0:0:0:1\n"),
            ("email", "a@mail.example"),
        ),
    }
    names = frozenset({"sbc.example", "*.example", "carrier.example", "192.0.2.1", "2001:db8::1"})
    assert subject_names(certificate) == names
    assert subject_names({"subject": ()}) == frozenset()
    assert subject_names({}) is None and subject_names(None) is None
    strange = {"subjectAltName": (("IP Address", "<invalid>"), ("DNS", "sip.example"))}  # five bytes, as ssl tells it
    assert subject_names(strange) == frozenset({"sip.example"})
