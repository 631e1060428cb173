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
_SUFFIXES: Final = words("name_suffixes")
_DEGREES: Final = words("degrees")
_GENERATIONS: Final = frozenset({"jr", "jnr", "sr", "snr", "ii", "iii", "iv"})  # of these, what is no name of its own
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

    A word for nothing (`Null`, `Na`, `Test`) is a name beside another part that is one: some people are called so. A
    title or a degree is none.
    """
    given = Name(_given(first), _given(last), _given(full))
    titles = given.first if given.first and _is_title(given.first) else None
    given = _of_names(given)
    whole = None if given.full and _is_nothing(given.full) else given.full
    if not whole and all(_is_nothing(part) for part in (given.first, given.last) if part):
        return Name(salutation=titles)
    given = replace(given, full=whole)
    split = _of_names(split_name(given.full)) if given.full and not (given.first and given.last) else Name()
    first_name, last_name = given.first or split.first, given.last or split.last
    if given.last and not given.first and split.last is None and split.first == given.last:
        first_name = None
    whole = given.full if first_name or last_name else None
    whole = whole or (f"{first_name} {last_name}" if first_name and last_name else None)
    return Name(first_name, last_name, whole, titles or split.salutation)


def split_name(full: str) -> Name:
    """First and last name of a full name: `LAST, First M.`, particles (van der Berg), patronymics, titles, suffixes.

    A degree is part of neither. A name that begins with a small particle (`van Gogh`) is a last name.
    """
    words, titles = without_titles(full.split())
    if len(words) == 1 and _is_title(words[0]):
        return Name(full=full, salutation=" ".join([*titles, *words]))
    salutation = " ".join(titles) or None
    pieces = [kept for piece in " ".join(words).split(",") if (kept := _without_degrees(piece.split()))]
    suffixes = [word for piece in pieces[1:] if all(map(_is_suffix, piece)) for word in piece]
    named = [piece for place, piece in enumerate(pieces) if place == 0 or not all(map(_is_suffix, piece))]
    if len(named) > 1:
        given, _ = without_titles(", ".join(map(" ".join, named[1:])).split())
        if all(word.casefold() in _PARTICLES for word in given):  # `Cruz, de la`
            return Name(None, " ".join([*given, *named[0], *suffixes]), full, salutation)
        return Name(_without_initials(given), " ".join(named[0] + suffixes), full, salutation)
    words = [*named[0], *suffixes] if named else []
    if _is_last_name(words):
        return Name(None, " ".join(words), full, salutation)
    if len(words) <= 1:
        return Name(words[0] if words else None, None, full, salutation)
    if len(words) == 3 and _PATRONYMIC.fullmatch(words[2].casefold()):
        return Name(words[1], words[0], full, salutation)
    start = _last_name_at(words)
    return Name(_without_initials(words[:start]), " ".join(words[start:]), full, salutation)


def _is_last_name(words: list[str]) -> bool:
    """Whether all of it is a last name: one word with a generation (`Smith Jr.`), or one word after particles, which
    are small or several: `Van` alone is a first name too."""
    bare = [word for word in words if word.casefold().rstrip(".") not in _GENERATIONS]
    particles = len(bare) - 1
    if particles < 1:
        return bool(bare) and len(bare) < len(words)
    are_particles = all(word.casefold() in _PARTICLES for word in bare[:-1])
    return are_particles and (particles > 1 or (bare[0].islower() and bare[-1][:1].isupper()))


def _is_suffix(word: str) -> bool:
    return word.casefold().rstrip(".") in _SUFFIXES


def _is_degree(word: str) -> bool:
    return word.casefold().strip(",").rstrip(".") in _DEGREES


def _is_title(name: str) -> bool:
    return all(word.casefold() in _TITLES for word in name.split())


def _of_names(name: Name) -> Name:
    """The name without parts that hold titles or degrees alone."""
    first, last = (
        None if part and (_is_title(part) or all(map(_is_degree, part.split()))) else part
        for part in (name.first, name.last)
    )
    return replace(name, first=first, last=last)


def _without_degrees(words: list[str]) -> list[str]:
    kept = list(words)
    while kept and _is_degree(kept[-1]):
        kept.pop()
    return kept


def _last_name_at(words: list[str]) -> int:
    start = len(words) - 1
    while start > 1 and _is_suffix(words[start]):
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
    if all(word.rstrip(".") in _GENERATIONS for word in words):
        return True
    return name.casefold() in _NO_NAME or all(word in _NO_NAME or is_placeholder(word) for word in words)
