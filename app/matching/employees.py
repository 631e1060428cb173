"""The number of employees, from a number or a range as people and forms write it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from app.matching.text import fold, plain
from app.matching.words import words

MAX_EMPLOYEES: Final = 10_000_000
_APOSTROPHES: Final = "'’‘`´ʼ"
_UNITS: Final = {fold(word): 1_000 for word in words("thousands")} | {fold(word): 10**6 for word in words("millions")}
_DIGITS: Final = rf"(?<![\d.,])(\d{{1,3}}(?:[ .,{_APOSTROPHES}]\d{{3}})+(?!\d)|\d+(?:[.,]\d+)?)"
_NUMBER: Final = re.compile(rf"{_DIGITS}(?:\s*([^\W\d_]+))?")
# `1e3`, `2.5E+2`, `1 x 10^3`. A negative exponent is none of a number of people.
_EXPONENT: Final = re.compile(
    r"(?<![\w.,])(?:(\d{1,15}(?:[.,]\d{1,15})?)(?:e|\s*[x×*·]\s*10\s*\^\s*)|10\s*\^\s*)([-+−]?)(\d{1,2})(?![\w^])",
    re.IGNORECASE,
)
_RANGE_END: Final = re.compile(rf"\s*(?:[-–—−~]|to|bis|do|до|à|a|până la)\s*{_DIGITS}\s*([^\W\d_]+)", re.IGNORECASE)
_BELOW: Final = tuple(" " + fold(words_before) for words_before in words("below"))
_AT_LEAST: Final = tuple(" " + fold(words_before) for words_before in words("at_least"))
_BELOW_AFTER: Final = tuple(fold(words_after) for words_after in words("below_after"))


def read_employees(typed: str) -> int | None:
    """The number of employees; the lower end of a range (`51-200`, `500+`, `over 1k`).

    None where there is no number, and for a range of which only the upper end is known (`less than 50`).
    """
    text = _EXPONENT.sub(_written_out, plain(typed))
    match = _NUMBER.search(text)
    if match is None or _is_upper_end(text[: match.start()], text[match.end(1) :]):
        return None
    number, unit = match.group(1), _unit(match.group(2))
    if unit == 1 and (end := _RANGE_END.match(text, match.end(1))):
        unit = _unit(end.group(2))
        # `1-5k` is in thousands, `500-1k` is not.
        unit = unit if _count(number, unit) < _count(end.group(1), unit) else 1
    count = _count(number, unit)
    return count if count <= MAX_EMPLOYEES else None


def _written_out(exponent: re.Match[str]) -> str:
    number, sign, power = exponent.groups()
    if sign not in ("", "+"):
        return ""
    return str(int(Decimal((number or "1").replace(",", ".")).scaleb(int(power))))


def _is_upper_end(before: str, after: str) -> bool:
    if before.rstrip(" =").endswith(("<", "≤", "-")) or "≤" in before:
        return True
    folded = " " + fold(before)
    is_below = folded.endswith(_BELOW) and not folded.endswith(_AT_LEAST)
    return is_below or fold(after).startswith(_BELOW_AFTER)


def _unit(word: str | None) -> int:
    return _UNITS.get(fold(word or ""), 1)


def _count(number: str, unit: int) -> int:
    if unit > 1 and (decimal := re.fullmatch(r"(\d+)[.,](\d+)", number)):
        return int(float(f"{decimal[1]}.{decimal[2]}") * unit) if len(number) < 15 else MAX_EMPLOYEES + 1
    whole = number if re.search(r"\D\d{3}(?!\d)", number) else re.split(r"[.,]", number)[0]
    digits = re.sub(r"\D", "", whole)
    return int(digits) * unit if len(digits) <= 8 else MAX_EMPLOYEES + 1
