"""The UAS side of digest: challenges that carry their own age, and a bounded memory of what was used and guessed.

RFC 7616 3.3 and 5, RFC 8760 2.3, RFC 3261 22.4. Asked by the core about each INVITE of a source that must prove itself.
A challenge costs no memory; an unknown user, a wrong password and a wrong algorithm all get the same answer.
"""

from __future__ import annotations

import base64
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from softswitch.sip.digest import (
    ALGORITHMS,
    FIELDS,
    Account,
    Challenge,
    Credentials,
    is_digest,
    parse_credentials,
    proves,
)
from softswitch.sip.message import SipRequest

Verdict = Literal["accepted", "challenged", "stale", "wrong", "locked"]

ASKS, ANSWERS = FIELDS[401]
SIGNED_BY = 12  # bytes: nobody guesses 96 bits by asking, and a challenge must be short (see `stateless.py`)
WINDOW = 64  # counts of a nonce that may come out of order
REMEMBERED = 4096  # nonces in use, and sources that guessed wrong
FREE_GUESSES = 3  # wrong passwords of a source before it has to wait
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0  # doubled with each further one
FORGOTTEN_AFTER_S = 900.0
_STRENGTHS = list(ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Protected:
    """What a source must prove: the account, and the algorithms offered, the best first (RFC 8760 2.3)."""

    account: Account
    realm: str
    algorithms: Sequence[str] = ("SHA-256", "MD5")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request's credentials; `status` 0 lets it pass, else it is the answer, with these header lines.

    `lines` are all of them, and behind that what would do in their place where the answer must be shorter: of the
    algorithms the weakest, which everybody knows: who can't answer what it is asked would never get in.
    """

    verdict: Verdict
    status: int = 0
    lines: tuple[str, ...] = ("",)
    guesses: int = 0  # how many wrong ones there are of this source by now, no right one between them


class _Uses(NamedTuple):
    """The highest count that a nonce was used with, and which of those before: bit 0 is the highest itself."""

    highest: int = 0
    seen: int = 0

    def lacks(self, count: int) -> bool:
        """Of a count not above the highest: whether it is known not to have been used."""
        behind = self.highest - count
        return behind < WINDOW and not self.seen >> behind & 1

    def plus(self, count: int) -> _Uses:
        """The same with one more use; 0 uses the nonce up."""
        if not count:
            return _Uses(1 << 32, 1)
        if count <= self.highest:
            return _Uses(self.highest, self.seen | 1 << (self.highest - count))
        step = min(count - self.highest, WINDOW)
        return _Uses(count, (self.seen << step | 1) & ((1 << WINDOW) - 1))


_UNUSED = _Uses()


class Nonces:
    """Nonces that tell their age and whom they were made for, signed; and how often the live ones were used.

    `secret` is known to nobody else. A nonce whose count was forgotten for lack of room counts as stale, so that no
    count is ever taken twice.
    """

    def __init__(self, secret: bytes, lifetime_s: float, room: int = REMEMBERED) -> None:
        self._secret, self._lifetime_s, self._room = secret, lifetime_s, room
        self._used: OrderedDict[str, tuple[float, _Uses]] = OrderedDict()  # nonce: made at, counts that were used
        self._forgotten = float("-inf")  # unused nonces made up to here may have been used

    def make(self, salt: str, audience: str, now: float) -> str:
        """A nonce for `audience`; `salt` is a word that nobody can guess."""
        made = f"{int(now * 1000):x}.{salt}"
        return f"{made}.{self._signed(made, audience)}"

    def fresh(self, nonce: str, audience: str, now: float) -> bool:
        """Whether we made it, for this audience, and not too long ago."""
        made, _, signature = nonce.rpartition(".")
        expected = self._signed(made, audience).encode()
        if not hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), expected):
            return False
        return now - self._lifetime_s <= _made_at(nonce) <= now

    def use(self, nonce: str, count: int) -> bool:
        """Take a fresh nonce for the `count`-th time (0: the only time); False where that is not new.

        Counts may overtake each other on the way by as many as WINDOW, as calls that begin at once do over UDP.
        """
        made_at, uses = self._used.pop(nonce, (_made_at(nonce), _UNUSED))
        if uses is _UNUSED and made_at <= self._forgotten:
            return False
        new = uses.highest < count or (uses is _UNUSED if not count else uses.lacks(count))
        self._used[nonce] = made_at, uses.plus(count) if new else uses
        if len(self._used) > self._room:
            _, (forgotten, _) = self._used.popitem(last=False)
            self._forgotten = max(self._forgotten, forgotten)
        return new

    def _signed(self, made: str, audience: str) -> str:
        text = f"{made} {audience}".encode("utf-8", "surrogateescape")
        return base64.urlsafe_b64encode(hmac.digest(self._secret, text, "sha256")[:SIGNED_BY]).decode()


def _made_at(nonce: str) -> float:
    """Of a nonce whose signature holds."""
    return int(nonce.partition(".")[0], 16) / 1000


class Guesses:
    """Who guessed wrong, how often, and until when nothing more is heard of it."""

    def __init__(self, room: int = REMEMBERED) -> None:
        self._room = room
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # source: how often, when last

    def locked(self, source: str, now: float) -> bool:
        """Whether the source has to wait."""
        times, last = self._wrong.get(source, (0, 0.0))
        if times < FREE_GUESSES:
            return False
        return now < last + min(FIRST_WAIT_S * 2.0 ** min(times - FREE_GUESSES, 30), LONGEST_WAIT_S)

    def wrong(self, source: str, now: float) -> int:
        """One more; returns how many there are."""
        times, last = self._wrong.pop(source, (0, now))
        times = 1 if now - last > FORGOTTEN_AFTER_S else times + 1
        self._wrong[source] = times, now
        if len(self._wrong) > self._room:
            self._wrong.popitem(last=False)
        return times

    def right(self, source: str) -> None:
        """It knows the password."""
        self._wrong.pop(source, None)


class Challenger:
    """Decides whether a request proves what it must."""

    def __init__(self, secret: bytes, tokens: Callable[[], str], lifetime_s: float = 120.0) -> None:
        """`tokens` makes unguessable words."""
        self._nonces, self._guesses, self._tokens = Nonces(secret, lifetime_s), Guesses(), tokens

    def judge(self, request: SipRequest, source: str, protected: Protected, now: float) -> Outcome:
        """The outcome for a request from the address `source`; raises SipParseError where credentials are malformed.

        Only who answers a nonce that was sent to that address has guessed: nobody can lock out another by a forged
        source. A source that has to wait gets 403 without a look at what it proves.
        """
        given = _credentials(request, protected.realm)
        if given is None:
            return self._challenge("challenged", source, protected, now)
        if self._guesses.locked(source, now):
            return Outcome("locked", 403)
        audience = f"{source} {protected.realm}"
        if not self._nonces.fresh(given.nonce, audience, now):
            return self._challenge("stale", source, protected, now)
        expected = proves(given, protected.account, request.method) if given.algorithm in protected.algorithms else ""
        if not _same(given.response, expected) or not _same(given.username, protected.account.username):
            guesses = self._guesses.wrong(source, now)
            return replace(self._challenge("wrong", source, protected, now), guesses=guesses)
        if not self._nonces.use(given.nonce, given.count):
            return self._challenge("stale", source, protected, now)
        self._guesses.right(source)
        return Outcome("accepted")

    def _challenge(self, verdict: Verdict, source: str, protected: Protected, now: float) -> Outcome:
        nonce = self._nonces.make(self._tokens(), f"{source} {protected.realm}", now)
        stale = verdict == "stale"
        challenges = [Challenge(protected.realm, nonce, algorithm, stale=stale) for algorithm in protected.algorithms]
        known_to_all = max(challenges, key=lambda one: _STRENGTHS.index(one.algorithm))
        return Outcome(
            verdict,
            401,
            ("".join([f"{ASKS}: {one}\r\n" for one in challenges]), f"{ASKS}: {known_to_all.in_few_words}\r\n"),
        )


def _credentials(request: SipRequest, realm: str) -> Credentials | None:
    """Those for our realm; other realms' belong to other servers on the way (RFC 3261 22.3)."""
    for text in request.headers.all(ANSWERS):
        if is_digest(text) and (credentials := parse_credentials(text)).realm == realm:
            return credentials
    return None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape"))
