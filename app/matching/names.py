"""Names of people: a full name fills in only the parts that were not given."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from app.matching.text import collapse_spaces, is_placeholder, is_template
from app.matching.words import words

_PARTICLES: Final = words("particles")
_TITLES: Final = words("titles")
_SUFFIXES: Final = words("name_suffixes") | words("degrees")
_NO_NAME: Final = words("nobody")
_QUOTES: Final = ('"', "`")
_REPEATED_QUOTE: Final = re.compile(r"([\"`])\1+")
_QUOTED: Final = re.compile(r"\"(?:[^\"]|(?<=\s)\"[^\"]*\")*\"|`(?:[^`]|(?<=\s)`[^`]*`)*`")
_INITIAL: Final = re.compile(r"\w\.?")
_GENERATED_NAME: Final = re.compile(r"\w+ \w+ from .+")
_PATRONYMIC: Final = re.compile(r".+(?:ович|евич|ьич|овна|евна|ична|инична)")


@dataclass(frozen=True, slots=True)
class Name:
    """The parts of a name; each None when it was neither given nor found."""

    first: str | None = None
    last: str | None = None
    full: str | None = None
    salutation: str | None = None


@lru_cache(maxsize=512)
def read_name(first: str, last: str, full: str) -> Name:
    """The name of a person from three answers. Given parts win; the full name fills in missing ones.

    A word for nothing (`Null`, `Na`, `Test`) is a name beside another part that is one: some people are called so.
    """
    given = Name(_given(first), _given(last), _given(full))
    whole = None if given.full and _is_nothing(given.full) else given.full
    if not whole and all(_is_nothing(part) for part in (given.first, given.last) if part):
        return Name()
    given = replace(given, full=whole)
    split = split_name(given.full) if given.full and not (given.first and given.last) else Name()
    first_name, last_name = given.first or split.first, given.last or split.last
    if given.last and not given.first and split.last is None and split.first == given.last:
        first_name = None
    whole = given.full or (f"{first_name} {last_name}" if first_name and last_name else None)
    return Name(first_name, last_name, whole, split.salutation)


def split_name(full: str) -> Name:
    """First and last name of a full name: `LAST, First M.`, particles (van der Berg), patronymics, titles, suffixes."""
    words, titles = without_titles(full.split())
    salutation = " ".join(titles) or None
    text = " ".join(words)
    before, comma, after = text.partition(",")
    if comma and before.strip() and after.strip() and after.strip().casefold().rstrip(".") not in _SUFFIXES:
        given, _ = without_titles(after.split())
        return Name(_without_initials(given), before.strip(), full, salutation)
    words = text.replace(",", " ").split()
    if len(words) <= 1:
        return Name(words[0] if words else None, None, full, salutation)
    if len(words) == 3 and _PATRONYMIC.fullmatch(words[2].casefold()):
        return Name(words[1], words[0], full, salutation)
    start = _last_name_at(words)
    return Name(_without_initials(words[:start]), " ".join(words[start:]), full, salutation)


def _last_name_at(words: list[str]) -> int:
    start = len(words) - 1
    while start > 1 and words[start].casefold().rstrip(".") in _SUFFIXES:
        start -= 1
    while start > 1 and words[start - 1].casefold() in _PARTICLES:
        start -= 1
    return start


def without_titles(words: list[str]) -> tuple[list[str], list[str]]:
    count = 0
    while count < len(words) - 1 and words[count].casefold() in _TITLES:
        count += 1
    return words[count:], words[:count]


def _without_initials(words: list[str]) -> str | None:
    kept = [word for word in words[1:] if not _INITIAL.fullmatch(word)]
    return " ".join(words[:1] + kept) or None


def _given(typed: str) -> str | None:
    name = _without_quotes(collapse_spaces(typed))
    is_mark = is_template(name) or (is_placeholder(name) and not name.isalpha())
    if is_mark or _GENERATED_NAME.fullmatch(name):
        return None
    return name if any(c.isalpha() for c in name) else None


def _without_quotes(name: str) -> str:
    """The name without quotes around the whole or without a counterpart; those around a part stay: `Mo "Bo" Lee`."""
    if not any(mark in name for mark in _QUOTES):
        return name
    name = _REPEATED_QUOTE.sub(r"\1", name)
    while (mark := name[:1]) in _QUOTES and (name.count(mark) % 2 or _QUOTED.fullmatch(name)):
        name = name[1:].strip()
    while (mark := name[-1:]) in _QUOTES and name.count(mark) % 2:
        name = name[:-1].strip()
    return name


def _is_nothing(name: str) -> bool:
    words = name.casefold().split()
    return name.casefold() in _NO_NAME or all(word in _NO_NAME or is_placeholder(word) for word in words)
