"""The names by which a field of a form is found: without case, marks of required, prefixes and numbers.

A name that says that it is another person's (`friend_email`, `confirm-email`, `manager[email]`) is never shortened to
one of the person who filled in the form. The words that decide are in app/matching/words.toml.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from app.matching.text import fold
from app.matching.words import words

MAX_NAME: Final = 200
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")  # inputEmail
_SEPARATOR: Final = re.compile(r"(?<=\w)[.$](?=\w)")  # contact.email, ctl00$txtEmail
_CHOICE: Final = re.compile(r"[/|()]|\bor\b|\boder\b|\bou\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[a-z]?\d+")
_DIGITS: Final = "0123456789"
_VALUE: Final = {"value", "raw value"}  # fields[email][value]
_BEFORE: Final = words("before_field_names")
_AFTER: Final = words("after_field_names")
_WHOLE: Final = words("whole_field_names")
_OTHERS: Final = words("other_people")
# Names that mean the object around them: company[name] is no name of a person, consent[email] no address.
_OF_THE_OBJECT: Final = (
    ({"name", "title"}, words("named_things")),
    ({"email", "phone", "mobile", "telephone", "tel"}, words("permissions")),
)

# A name may offer a choice (`Company / Organization`): each part has to be a name of the same field.
Reading = tuple[str, ...]


@lru_cache(maxsize=8192)
def squeezed(name: str) -> str:
    """The name without case, accents, punctuation and blanks."""
    return fold(name[:MAX_NAME]).replace(" ", "")


@lru_cache(maxsize=8192)
def readings(path: tuple[str, ...]) -> tuple[tuple[Reading, ...], ...]:
    """What a field may be called, given the names of the objects around it and its own: as written first, then without
    the number at its end, then without all that says nothing about it. Empty for a field of another person."""
    *around, own = _parts(path)
    around_words = [word for name in around for word in _words(name)]
    if not _OTHERS.isdisjoint(around_words):
        return ()
    written = squeezed(own)
    joined = [((_bare(_words(name)) or squeezed(name)) + written,) for name in around[-1:]]  # name[first]
    if any(written in names and not objects.isdisjoint(around_words) for names, objects in _OF_THE_OBJECT):
        return (tuple(joined),)
    return ((written,), *joined), ((written.rstrip(_DIGITS),),), _shortened(own)


def _parts(path: tuple[str, ...]) -> list[str]:
    parts = [part for name in path for part in _SEPARATOR.split(name[:MAX_NAME])]
    return parts[:-1] if len(parts) > 1 and fold(parts[-1]) in _VALUE else parts


def _words(name: str) -> list[str]:
    return fold(_HUMP.sub(" ", name)).split()


def _shortened(name: str) -> tuple[Reading, ...]:
    if not _OTHERS.isdisjoint(_words(name)):
        return ()
    short = (_bare(_words(part)) for part in _CHOICE.split(name))
    choice = tuple(dict.fromkeys(part for part in short if part))
    whole = _bare(_words(name))
    return tuple(reading for reading in ((whole,), choice) if any(reading))


def _bare(found: list[str]) -> str:
    """The words without those that say nothing at their beginning and end, as one; "" if all are such."""
    while found and " ".join(found) not in _WHOLE:
        if found[-1] in _AFTER or found[-1].isdigit():
            found = found[:-1]
        elif found[0] in _BEFORE or _NUMBER.fullmatch(found[0]):
            found = found[1:]
        else:
            break
    return "".join(found).rstrip(_DIGITS)
