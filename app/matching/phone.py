"""Phone numbers: E.164 when valid. A region is never guessed from anything but a country."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberFormat

from app.matching.text import plain
from app.matching.words import words

_MAX_TYPED: Final = 250
_MAX_EXTENSION: Final = 8
_SEPARATORS: Final = re.compile(
    r"[;|\n,、]+|\s+/\s*|\s*/\s+|(?<=\d{5})/(?=[+0]\d{4})|\s+(?:or|lub|sau|oder|или)\s+", re.IGNORECASE
)
# What spreadsheets write for a long number: `4,47912E+11`, which has lost digits, and `40722123456.0`.
_SCIENTIFIC: Final = re.compile(r"[+-]?\b\d+(?:[.,]\d*)?\s*(?:[eE]\s*[+-]?|[x*×]\s*10\s*\^\s*)\d{1,3}\b")
_DECIMALS: Final = re.compile(r"(?<=\d{6})[.,]0+$")
# In a form, where a plus that was not encoded is a blank: `( 40)721…` was `(+40)721…`, and `tel: 40721…` had a plus.
_LOST_PLUS: Final = re.compile(r"(?:\s|[^\d+]*(?:[(\['\"]\s|\s\s|[.:]\s(?=\d)))[^\d+]*(?=\d)")
# Ways to write the international prefix: `+`, `00`, `++`, `+ (`, `+00`, `00 `.
_INTERNATIONAL: Final = re.compile(r"(?:\+[\s()\[\].+-]*(?:00)?|00)[\s()\[\].+-]*")
_TRUNK_PREFIX: Final = re.compile(r"\(\s*0\s*\)")
_BEFORE_NUMBER: Final = re.compile(r"^(?:[^\d+]*[^\w+](?=[\d+])|[^\d+]+(?=\+))")
_EXTENSION: Final = re.compile(
    rf"[\s,;(]*(?:\b|(?<=\d))(?:{'|'.join(map(re.escape, sorted(words('phone_extensions'), key=len, reverse=True)))})"
    r"[\s.:=]*(\d{1,8})[\s)#]*$|[\s,;]*#\s*(\d{1,8})$",
    re.IGNORECASE,
)
_LETTER: Final = re.compile(r"[^\W\d_]")
# A word on the keypad, unless it is made of letters that are mistaken for digits.
_KEYPAD_WORD: Final = re.compile(r"(?![OIL]+\b)[A-Z]{3,}", re.IGNORECASE | re.ASCII)
_KEYPAD_CALLING_CODES: Final = frozenset(
    phonenumbers.country_code_for_region(region) for region in words("keypad_regions")
)


@dataclass(frozen=True, slots=True)
class Phone:
    """One valid number in E.164, and its extension if it had one."""

    e164: str
    extension: str | None = None


def read_phones(typed: str, regions: Iterable[str | None], *, plus_is_blank: bool = False) -> tuple[Phone, ...]:
    """The valid numbers of one cell in the order typed, each once; national ones are tried in the regions in order.

    Never raises. A number with a letter in it is none, unless the letters are a word on the keypad of a country that
    uses them: `1-800-FLOWERS`. `plus_is_blank`: the text is of a form, in which a plus that was not encoded arrives as
    a blank.
    """
    wanted = tuple(dict.fromkeys(region for region in regions if region)) or (None,)
    text = plain(typed[:_MAX_TYPED])
    has_lost = plus_is_blank and _LOST_PLUS.match(text) is not None
    text = _DECIMALS.sub("", _SCIENTIFIC.sub(" ", text).strip().lstrip("'’‘`=\"").strip())
    whole = _read_restored(text, wanted) if has_lost else _read(text, wanted)
    if whole:
        return (whole,)
    pieces = _SEPARATORS.split(text)
    lost = [has_lost or (plus_is_blank and _LOST_PLUS.match(piece[1:]) is not None) for piece in pieces]
    numbers = [
        _read_restored(piece, wanted) if is_lost else _read(piece, wanted)
        for piece, is_lost in zip(pieces, lost, strict=True)
    ]
    return tuple({number.e164: number for number in reversed(numbers) if number}.values())[::-1]


def _read_restored(text: str, regions: tuple[str | None, ...]) -> Phone | None:
    """The number with a plus before its first digit, where that is valid; else as it is."""
    digit = re.search(r"\d", text)
    return (_read(f"+{text[digit.start() :]}", regions) if digit else None) or _read(text, regions)


def _read(text: str, regions: tuple[str | None, ...]) -> Phone | None:
    text = _BEFORE_NUMBER.sub("", text.strip())
    extension = _EXTENSION.search(text)
    number = text[: extension.start()] if extension else text
    if sum(c.isdigit() for c in number) < (1 if _KEYPAD_WORD.search(number) else 5):
        return None
    if prefix := _INTERNATIONAL.match(number):
        number = "+" + _TRUNK_PREFIX.sub("", number[prefix.end() :])
    found = next((phone for region in regions if (phone := _valid(number, region))), None)
    return Phone(found.e164, extension.group(1) or extension.group(2)) if found and extension else found


def _valid(text: str, region: str | None) -> Phone | None:
    has_letters = _LETTER.search(text) is not None
    if has_letters and not _KEYPAD_WORD.search(text):
        return None
    digits = phonenumbers.convert_alpha_characters_in_number(text) if has_letters else text
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    if has_letters and number.country_code not in _KEYPAD_CALLING_CODES:
        return None
    extension, number.extension = number.extension or None, None
    if extension and len(extension) > _MAX_EXTENSION:
        return None  # another number: `030 1234567; 0722333444`
    return Phone(phonenumbers.format_number(number, PhoneNumberFormat.E164), extension)
