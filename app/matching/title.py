"""What a job title says of a person: seniority, role and rank."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from app.matching.text import fold
from app.matching.words import phrases, ranked, words

RANKS: Final = ("c_level", "vp", "director", "head", "manager", "individual")


def _pattern(listed: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_word, listed)))


def _word(word: str) -> str:
    """The pattern of an entry: `*` at an end leaves that end of the word open, alone it is one to three words."""
    start, end = "" if word.startswith("*") else r"\b", r"\w*" if word.endswith("*") else r"\b"
    return start + r"(?: \w+){1,3} ".join(re.escape(fold(part)) for part in word.split(" * ")) + end


_SENIORITY_PATTERNS: Final = tuple((value, _pattern(listed)) for value, listed in ranked("seniority"))
_ROLE_PATTERNS: Final = tuple((value, _pattern(listed)) for value, listed in ranked("role"))
_RANKS_OF_OTHERS: Final = "|".join(sorted(words("ranks_of_others")))
_OF_OTHERS: Final = re.compile(
    rf"\b(?:(?:to|for) (?:the |our )?|(?:of|at|under) (?:the|our) )(?:{_RANKS_OF_OTHERS})\b"
    rf"|\b(?:{_RANKS_OF_OTHERS}) s \w"
)
_NO_TITLE: Final = phrases(fold, "no_title")
_DEPUTIES: Final = _pattern(tuple(words("deputies")))
_HEADS: Final = _pattern(tuple(words("heads")))
_HEADS_LESS: Final = _pattern(tuple(words("heads_less")))


@lru_cache(maxsize=4096)
def seniority_of(title: str) -> str | None:
    """c_level, vp, director, manager (heads too) or individual, of a title in EN, RO, PL, RU, DE, FR or ES.

    The deputy of somebody at the top is a vp, as a vice president is.
    """
    folded = _NO_TITLE.sub(" ", fold(title))
    found = "individual" if _OF_OTHERS.search(folded) else _first(_SENIORITY_PATTERNS, folded)
    return "vp" if found == "c_level" and _DEPUTIES.search(folded) else found


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


def rank_of(title: str | None, seniority: str | None) -> str | None:
    """One of RANKS: what somebody set as seniority, if it is one, else what the title says, with heads apart."""
    of_title = None
    if title:
        of_title = "head" if heads_department(title) else seniority_of(title)
    known = fold(seniority or "").replace(" ", "_")
    if known not in RANKS or (known == "manager" and of_title == "head"):
        return of_title
    return known


def _first(patterns: tuple[tuple[str, re.Pattern[str]], ...], folded: str) -> str | None:
    return next((value for value, pattern in patterns if pattern.search(folded)), None)
