"""Telephone numbers: from what a trunk writes to E.164, and back to what a trunk wants to read.

ITU-T E.164, RFC 3966 (tel URI, `ext`, `isub`, `phone-context`), RFC 3261 19.1.1 (user part). Called by resolve.py,
trunks.py and the command line; decides by the dialplan's rules alone, never asks a store and never raises for bad text.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote

from msgspec import Struct
from pydantic import ConfigDict

from softswitch.routing.fields import RECORD, Count, Digits, Flag, Length, MaybeDigits, Name

FIXED = "fixed"
INTERNATIONAL = "international"
UNKNOWN = "unknown"

_LONGEST = 32  # digits; E.164 allows 15, an extension or a technical prefix may stand beside them
_SEPARATORS = str.maketrans("", "", "-.() /\u00a0\t")  # RFC 3966 visual-separator, and what people paste
_SCHEME = re.compile(r"\s*(sips?|tel):", re.IGNORECASE)
_HOST = re.compile(r"@[^;?]*")


class NumberForm(enum.StrEnum):
    """How a trunk writes numbers."""

    E164 = "e164"  # +8613800000001
    E164_DIGITS = "e164-digits"  # 8613800000001
    NATIONAL = "national"  # 13800000001, 075528880001, 0012125550001


@dataclass(frozen=True, slots=True)
class NumberClass:
    """A class of national numbers, told by the first digits and the length without country code and national prefix.

    `extension_digits`: so many digits may follow the number in what is dialled (0: none may). `show_extension`: X and E
    are shown as one number (700 numbers). `national_prefix`: the national form starts with it (fixed lines).
    """

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    name: Name
    lengths: tuple[Length, ...]
    prefixes: tuple[Digits, ...] = ("",)
    extension_digits: Count = 0
    show_extension: Flag = False
    national_prefix: Flag = False


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """The `[numbers]` table of the dialplan: what the country's numbers start with."""

    __pydantic_config__: ClassVar[ConfigDict] = RECORD

    country_code: Digits
    national_prefix: MaybeDigits = "0"
    international_prefixes: tuple[Digits, ...] = ("00",)


@dataclass(frozen=True, slots=True)
class NumberRules:
    """The number plan and its classes, in the order in which they are tried."""

    plan: NumberPlan
    classes: tuple[NumberClass, ...] = ()

    def national_class(self, national: str, *, more: bool = False) -> NumberClass | None:
        """The class of a number without country code; with `more` also where extension digits follow it."""
        for rule in self.classes:
            if not national.startswith(rule.prefixes):
                continue
            if len(national) in rule.lengths:
                return rule
            if more and any(len(national) - extra in rule.lengths for extra in range(1, rule.extension_digits + 1)):
                return rule
        return None

    def own(self, number: str) -> str | None:
        """The part after the own country code of an E.164 number, None where it is another country's."""
        code = "+" + self.plan.country_code
        return number[len(code) :] if number.startswith(code) else None


class Dialled(Struct, frozen=True, gc=False):
    """What was dialled: E.164 `number` ("" where the text holds none) and the extension written beside it, if any."""

    number: str
    extension: str | None = None


def normalise(text: str, rules: NumberRules, form: NumberForm | None = None) -> Dialled:
    """Read a user part with its parameters, or a whole sip or tel URI, in any form that trunks write numbers in.

    `form` tells what digits without any sign of their country are; where it is not known they are guessed.
    """
    if text.removeprefix("+").isdigit():  # nearly always
        return Dialled(_e164(text, "", rules, form))
    user, parameters = _take_apart(text)
    written, _, keyed = user.partition(",")
    number = _e164(written.translate(_SEPARATORS), parameters.get("phone-context", ""), rules, form)
    if not keyed and not parameters:
        return Dialled(number)
    extension = _digits(keyed.replace(",", "").rstrip("#"))
    for name in ("ext", "isub"):
        extension = extension or _digits(parameters.get(name, ""))
    return Dialled(number, extension or None)


def classify(number: str, rules: NumberRules) -> str:
    """The name of the class of an E.164 number; `international` and `unknown` are for what no rule names."""
    national = rules.own(number)
    if national is None:
        return INTERNATIONAL if number else UNKNOWN
    rule = rules.national_class(national)
    return rule.name if rule else UNKNOWN


def splits(number: str, rules: NumberRules) -> Iterator[tuple[str, str | None]]:
    """The ways to read an E.164 number as X and an extension dialled behind it: the longest X first."""
    yield number, None
    national = rules.own(number)
    rule = rules.national_class(national, more=True) if national else None
    if national and rule:
        for extra in range(1, rule.extension_digits + 1):
            if len(national) - extra in rule.lengths:
                yield number[:-extra], number[-extra:]


def with_extension(x: str, extension: str | None, rules: NumberRules) -> str:
    """`x` as callees see it: X, or X and extension in one where the class of X is made for that (700 numbers)."""
    national = rules.own(x)
    rule = rules.national_class(national) if national and extension else None
    if rule is None or not rule.show_extension or len(f"{national}{extension}") not in rule.lengths:
        return x
    return f"{x}{extension}"


def to_form(number: str, form: NumberForm, rules: NumberRules) -> str:
    """An E.164 number as a trunk wants it written."""
    if form is NumberForm.E164 or not number:
        return number
    if form is NumberForm.E164_DIGITS:
        return number.removeprefix("+")
    national = rules.own(number)
    if national is None:
        return "".join(rules.plan.international_prefixes[:1]) + number.removeprefix("+")
    rule = rules.national_class(national)
    return rules.plan.national_prefix + national if rule and rule.national_prefix else national


def _take_apart(text: str) -> tuple[str, dict[str, str]]:
    """User part and lower-case parameters (of user and URI alike); the host is of no interest."""
    if "<" in text:
        text = text.partition("<")[2].partition(">")[0]
    scheme = _SCHEME.match(text)
    if scheme:
        # RFC 3261 19.1.1: a sip URI without @ has no user part, what is there is a host.
        if "@" not in text and scheme[1].lower() != "tel":
            return "", {}
        text = text[scheme.end() :]
    text = unquote(_HOST.sub("", text, count=1).partition("?")[0])
    user, *pairs = text.split(";")
    parts = (pair.partition("=") for pair in pairs)
    return user.strip(), {name.strip().lower(): value.strip() for name, _, value in parts}


def _digits(text: str) -> str:
    if not text.isdigit():
        text = text.translate(_SEPARATORS)
    return text if text.isascii() and text.isdigit() and len(text) <= _LONGEST else ""


def _e164(written: str, context: str, rules: NumberRules, form: NumberForm | None) -> str:
    digits = _digits(written.removeprefix("+"))
    if not digits:
        return ""
    if written.startswith("+") and not digits.startswith("0"):
        return _with_country(digits, rules)
    for prefix in rules.plan.international_prefixes:
        if digits.startswith(prefix):
            return _with_country(digits[len(prefix) :], rules)
    # RFC 3966 5.1.5: a local number is to be read behind its phone-context.
    area = _digits(context.removeprefix("+")) if context.startswith("+") else ""
    if area and area != rules.plan.country_code and not digits.startswith(area):
        return _with_country(area + digits, rules)
    if form is None:
        return _guess_country(digits, rules)
    return _with_country(rules.plan.country_code + digits if form is NumberForm.NATIONAL else digits, rules)


def _with_country(digits: str, rules: NumberRules) -> str:
    """E.164 of digits that start with a country code; `+86 0755…` loses its misplaced national prefix."""
    number = "+" + digits.lstrip("0")
    national = rules.own(number)
    if national is None:
        return number if len(number) > 1 else ""
    return f"+{rules.plan.country_code}{_plain(national, rules) or _before_extension(national, rules)}"


def _guess_country(digits: str, rules: NumberRules) -> str:
    """E.164 of digits without any sign of their country: the own code is put before them unless it is there already.

    Whole numbers are looked for before numbers with an extension behind them, else `8617000000001` and one digit more
    would pass for something national.
    """
    code = rules.plan.country_code
    rest = digits.removeprefix(code) if digits.startswith(code) else ""
    if plain := _plain(digits, rules):
        return f"+{code}{plain}"
    if rest and (_plain(rest, rules) or rules.national_class(rest, more=True)):
        return _with_country(digits, rules)
    national = digits.removeprefix(rules.plan.national_prefix)
    if rest and not rules.national_class(national, more=True):
        return _with_country(digits, rules)
    return _with_country(code + national, rules)


def _before_extension(national: str, rules: NumberRules) -> str:
    """The same for a number that extension digits follow."""
    without = national.removeprefix(rules.plan.national_prefix)
    return without if rules.national_class(without, more=True) else national


def _plain(national: str, rules: NumberRules) -> str:
    """The number without its national prefix where that makes it one of a known class, else ""."""
    if rules.national_class(national):
        return national
    without = national.removeprefix(rules.plan.national_prefix)
    return without if rules.national_class(without) else ""
