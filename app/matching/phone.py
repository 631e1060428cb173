"""Phone numbers: E.164 when valid. A region is never guessed from anything but a country."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberFormat

_MAX_TYPED: Final = 250
_SEPARATORS: Final = re.compile(
    r"[;|\n,]+|\s+/\s*|\s*/\s+|(?<=\d{5})/(?=[+0]\d{4})|\s+(?:or|lub|sau|oder|или)\s+", re.IGNORECASE
)
_SCIENTIFIC: Final = re.compile(r"[+-]?\d+[.,]?\d*[eE][+-]?\d+")
_TRUNK_PREFIX: Final = re.compile(r"\(\s*0\s*\)")


@dataclass(frozen=True, slots=True)
class Phone:
    """One valid number in E.164, and its extension if it had one."""

    e164: str
    extension: str | None = None


def read_phones(typed: str, regions: Iterable[str | None]) -> tuple[Phone, ...]:
    """The valid numbers of one cell in the order typed, each once; national ones are tried in the regions in order.

    Never raises. Scientific notation (`1,2E+11`, written by spreadsheets) has lost digits and is not a number.
    """
    wanted = tuple(dict.fromkeys(region for region in regions if region)) or (None,)
    text = typed[:_MAX_TYPED].strip().lstrip("'’‘`=\"").strip()
    if text.lower().startswith(("tel:", "phone:", "callto:")):
        text = text.partition(":")[2].strip()
    if _SCIENTIFIC.fullmatch(text):
        return ()
    whole = _read(text, wanted)
    numbers = [whole] if whole else [_read(piece, wanted) for piece in _SEPARATORS.split(text)]
    return tuple({number.e164: number for number in reversed(numbers) if number}.values())[::-1]


def _read(text: str, regions: tuple[str | None, ...]) -> Phone | None:
    text = text.strip()
    if sum(c.isdigit() for c in text) < 5:
        return None
    if text.startswith(("+", "00")):
        text = _TRUNK_PREFIX.sub("", text)
        text = "+" + text[2:].lstrip() if text.startswith("00") else text
    return next((phone for region in regions if (phone := _valid(text, region))), None)


def _valid(text: str, region: str | None) -> Phone | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    extension = number.extension or None
    number.extension = None
    return Phone(phonenumbers.format_number(number, PhoneNumberFormat.E164), extension)
