"""Digest authentication as text and arithmetic: challenges, credentials, and the response that proves a password.

RFC 7616 3, RFC 8760 2, RFC 3261 22.4, RFC 2069 (a challenge without qop). Used by `digest_client` to answer challenges
and by `digest_server` to make and check them. It remembers nothing, and no password is in anything it returns.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from softswitch.errors import SipParseError
from softswitch.sip.grammar import LWS, is_token, quote, split_commas, unquote

SESSION = "-sess"  # ends the name of an algorithm whose A1 holds nonce and cnonce (RFC 7616 3.4.2)
# Strongest first; a challenge that names none means MD5 (RFC 7616 3.3).
ALGORITHMS = {
    f"{name}{kind}": hashed
    for name, hashed in (("SHA-512-256", "sha512_256"), ("SHA-256", "sha256"), ("MD5", "md5"))
    for kind in ("", SESSION)
}
_NAMES = {name.upper(): name for name in ALGORITHMS}
QUALITIES = ("auth", "auth-int")  # of protection, the one we like better first
# Where a challenge of this status stands, and where its answer goes (RFC 3261 22.2, 22.3).
FIELDS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}

_NONCE_COUNT = re.compile("[0-9a-fA-F]{8}")
_HEX = re.compile("[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Account:
    """Who somebody is to a realm."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate; `algorithm` is a key of ALGORITHMS, `qop` one of QUALITIES.

    `qop` is empty where the challenge names none, as in RFC 2069.
    """

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str = "auth"
    opaque: str | None = None
    stale: bool = False

    def __str__(self) -> str:
        return (
            f"Digest realm={quote(self.realm)}, nonce={quote(self.nonce)}, algorithm={self.algorithm}"
            + (f', qop="{self.qop}"' if self.qop else "")
            + ("" if self.opaque is None else f", opaque={quote(self.opaque)}")
            + (", stale=true" if self.stale else "")
        )

    @property
    def in_few_words(self) -> str:
        """Without the algorithm where that is MD5, which a challenge that names none means (RFC 7616 3.3)."""
        return str(self).replace(", algorithm=MD5,", ",", 1)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One Authorization or Proxy-Authorization; `count` and `cnonce` are 0 and "" without `qop`."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    count: int = 0
    cnonce: str = ""
    opaque: str | None = None
    qop: str = ""

    def __str__(self) -> str:
        return (
            f"Digest username={quote(self.username)}, realm={quote(self.realm)}, nonce={quote(self.nonce)}"
            f", uri={quote(self.uri)}, response={quote(self.response)}, algorithm={self.algorithm}"
            + (f", cnonce={quote(self.cnonce)}, qop={self.qop}, nc={self.count:08x}" if self.qop else "")
            + ("" if self.opaque is None else f", opaque={quote(self.opaque)}")
        )


def is_digest(text: str) -> bool:
    """Whether a challenge or credentials are of this scheme at all."""
    return text[:7].lower() in ("digest ", "digest\t")


def parse_challenge(text: str) -> Challenge:
    """Parse a challenge; raises SipParseError, also for an algorithm or quality of protection that is not ours."""
    params = _params(text)
    return Challenge(
        realm=_wanted(params, "realm"),
        nonce=_wanted(params, "nonce"),
        algorithm=_algorithm(params),
        qop=_best_quality(params.get("qop")),
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
    )


def parse_credentials(text: str) -> Credentials:
    """Parse credentials; raises SipParseError."""
    params = _params(text)
    response = _wanted(params, "response")
    if _HEX.fullmatch(response) is None:
        raise SipParseError(f"digest response: expected hexadecimal digits, got {response[:40]!r}")
    count, cnonce = 0, ""
    if "qop" in params:
        count, cnonce = _count(params), _wanted(params, "cnonce")
    return Credentials(
        username=_wanted(params, "username"),
        realm=_wanted(params, "realm"),
        nonce=_wanted(params, "nonce"),
        uri=_wanted(params, "uri"),
        response=response.lower(),
        algorithm=_algorithm(params),
        count=count,
        cnonce=cnonce,
        opaque=params.get("opaque"),
        qop="auth" if count else "",
    )


def strongest(texts: Iterable[str]) -> list[Challenge]:
    """The strongest challenge that we can answer of each realm; those we can't are passed over.

    RFC 8760 2.4 takes the topmost "unless a local policy dictates otherwise": ours is that nobody who can reorder
    headers makes us use MD5 where more was offered.
    """
    best: dict[str, Challenge] = {}
    ranks = list(ALGORITHMS)
    for text in texts:
        try:
            one = parse_challenge(text)
        except SipParseError:
            continue
        rival = best.get(one.realm)
        if rival is None or ranks.index(one.algorithm) < ranks.index(rival.algorithm):
            best[one.realm] = one
    return list(best.values())


def answer(
    challenge: Challenge,
    account: Account,
    method: str,
    uri: str,
    *,
    cnonce: str,
    count: int = 1,
    body: bytes = b"",
) -> Credentials:
    """The credentials that answer `challenge` for a request; `count` is how often its nonce has been used with this."""
    used, number = (cnonce, count) if challenge.qop else ("", 0)
    unproved = Credentials(
        account.username,
        challenge.realm,
        challenge.nonce,
        uri,
        "",
        challenge.algorithm,
        number,
        used,
        challenge.opaque,
        challenge.qop,
    )
    return replace(unproved, response=_response(unproved, account, method, body))


def proves(credentials: Credentials, account: Account, method: str) -> str:
    """The response that `credentials` would hold if whoever made them had the password of `account`."""
    return _response(credentials, account, method, b"")


def _response(one: Credentials, account: Account, method: str, body: bytes) -> str:
    """RFC 7616 3.4.1: KD(H(A1), nonce ":" nc ":" cnonce ":" qop ":" H(A2)); without qop RFC 2069 2.1.2."""

    def hashed(*parts: str) -> str:
        return _hashed(one.algorithm, ":".join(parts).encode("utf-8", "surrogateescape"))

    secret = hashed(account.username, one.realm, account.password)
    if one.algorithm.endswith(SESSION):
        secret = hashed(secret, one.nonce, one.cnonce)
    whole = (_hashed(one.algorithm, body),) if one.qop == "auth-int" else ()
    protection = (f"{one.count:08x}", one.cnonce, one.qop) if one.qop else ()
    return hashed(secret, one.nonce, *protection, hashed(method, one.uri, *whole))


def _hashed(algorithm: str, data: bytes) -> str:
    return hashlib.new(ALGORITHMS[algorithm], data, usedforsecurity=False).hexdigest()


def _params(text: str) -> dict[str, str]:
    """The comma-separated parameters behind `Digest`, unquoted, by name in lower case."""
    if not is_digest(text):
        raise SipParseError(f"expected the scheme Digest, got {text[:20]!r}")
    params: dict[str, str] = {}
    for element in split_commas(text[7:]):
        name, equals, value = element.partition("=")
        name, value = name.strip(LWS).lower(), value.strip(LWS)
        if not equals or not is_token(name):
            raise SipParseError(f"digest: expected name=value, got {element[:40]!r}")
        if name in params:
            raise SipParseError(f"digest: {name[:40]} stands twice")
        params[name] = unquote(value)
    return params


def _wanted(params: dict[str, str], name: str) -> str:
    if name not in params:
        raise SipParseError(f"digest: expected {name}")
    return params[name]


def _algorithm(params: dict[str, str]) -> str:
    name = _NAMES.get(params.get("algorithm", "MD5").upper())
    if name is None:
        raise SipParseError(
            f"digest algorithm: expected one of {', '.join(ALGORITHMS)}, got {params['algorithm'][:40]!r}"
        )
    if name.endswith(SESSION) and "qop" not in params:
        raise SipParseError(f"digest algorithm {name}: expected qop, for a cnonce stands only with that")
    return name


def _best_quality(qop: str | None) -> str:
    """The best quality of protection among those offered; empty where none is named (RFC 2069)."""
    if qop is None:
        return ""
    offered = {one.strip(LWS).lower() for one in qop.split(",")}
    for quality in QUALITIES:
        if quality in offered:
            return quality
    raise SipParseError(f"digest qop: expected auth or auth-int among {qop[:40]!r}")


def _count(params: dict[str, str]) -> int:
    """The nonce count of credentials with qop."""
    qop, text = params["qop"], params.get("nc", "")
    if qop.lower() != "auth":
        raise SipParseError(f"digest qop: expected auth, got {qop[:40]!r}")
    if _NONCE_COUNT.fullmatch(text) is None or not int(text, 16):
        raise SipParseError(f"digest nc: expected eight hexadecimal digits from 00000001, got {text[:40]!r}")
    return int(text, 16)
