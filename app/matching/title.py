"""What a job title says of a person: seniority, role, and whether they head a department."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from app.matching.text import fold
from app.matching.words import phrases, ranked, words


def _pattern(listed: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_word, listed)))


def _word(word: str) -> str:
    """The pattern of an entry: `*` at an end leaves that end of the word open, alone it is one to three words."""
    start, end = "" if word.startswith("*") else r"\b", r"\w*" if word.endswith("*") else r"\b"
    return start + r"(?: \w+){1,3} ".join(re.escape(fold(part)) for part in word.split(" * ")) + end


_SENIORITY_PATTERNS: Final = tuple((value, _pattern(listed)) for value, listed in ranked("seniority"))
_ROLE_PATTERNS: Final = tuple((value, _pattern(listed)) for value, listed in ranked("role"))
_NO_TITLE: Final = phrases(fold, "no_title")
_HEADS: Final = _pattern(tuple(words("heads")))
_HEADS_LESS: Final = _pattern(tuple(words("heads_less")))


@lru_cache(maxsize=4096)
def seniority_of(title: str) -> str | None:
    """c_level, vp, director, manager (heads too) or individual, of a title in EN, RO, PL, RU or DE."""
    return _first(_SENIORITY_PATTERNS, _NO_TITLE.sub(" ", fold(title)))


@lru_cache(maxsize=4096)
def role_of(title: str) -> str | None:
    """it, finance, procurement, marketing, sales, operations, production, hr or legal, of a title."""
    return _first(_ROLE_PATTERNS, fold(title))


@lru_cache(maxsize=4096)
def heads_department(title: str) -> bool:
    """Whether the title is that of a manager who heads a department: Head of Sales, Vertriebsleiter, șef departament.

    A project manager or a team lead heads less than that.
    """
    folded = _HEADS_LESS.sub(" ", _NO_TITLE.sub(" ", fold(title)))
    return seniority_of(title) == "manager" and _HEADS.search(folded) is not None


def _first(patterns: tuple[tuple[str, re.Pattern[str]], ...], folded: str) -> str | None:
    return next((value for value, pattern in patterns if pattern.search(folded)), None)
