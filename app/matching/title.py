"""Seniority and role derived from a job title; None if none of its words is in the table."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from app.matching.text import fold
from app.matching.words import ranked


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_word, words)))


def _word(word: str) -> str:
    start, end = "" if word.startswith("*") else r"\b", r"\w*" if word.endswith("*") else r"\b"
    return start + re.escape(fold(word)) + end


_SENIORITY_PATTERNS: Final = tuple((value, _pattern(words)) for value, words in ranked("seniority"))
_ROLE_PATTERNS: Final = tuple((value, _pattern(words)) for value, words in ranked("role"))


@lru_cache(maxsize=4096)
def seniority_of(title: str) -> str | None:
    """c_level, vp, director, manager (heads too) or individual, of a title in EN, RO, PL, RU or DE."""
    return _first(_SENIORITY_PATTERNS, fold(title))


@lru_cache(maxsize=4096)
def role_of(title: str) -> str | None:
    """it, finance, procurement, marketing, sales, operations, production, hr or legal, of a title."""
    return _first(_ROLE_PATTERNS, fold(title))


def _first(patterns: tuple[tuple[str, re.Pattern[str]], ...], folded: str) -> str | None:
    return next((value for value, pattern in patterns if pattern.search(folded)), None)
