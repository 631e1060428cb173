"""Names in the form in which they are compared: without case, accents, punctuation, titles, degrees and word order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from app.matching.names import read_name, without_titles
from app.matching.text import fold
from app.matching.words import generations, words

Comparison = Literal["same", "open", "other"]
_APOSTROPHES: Final = re.compile(r"['’‘ʼ`´]")
_DEGREES: Final = frozenset(map(fold, words("degrees")))
_GENERATION_OF: Final = {fold(spelling): form for form, spellings in generations().items() for spelling in spellings}
_GENERATION: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(_GENERATION_OF, key=len, reverse=True)))})\b")


@dataclass(frozen=True, slots=True)
class NameKey:
    """The words of a name. `generations` (Jr, Sr, II) and `initials` stand apart from the words of the two parts."""

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    generations: frozenset[str] = frozenset()
    initials: frozenset[str] = frozenset()

    @property
    def words(self) -> list[str]:
        """The words of both parts in one order, so that `Pop Andrei` is `Andrei Pop`."""
        return sorted(self.first + self.last)

    @property
    def is_whole(self) -> bool:
        """Whether there are a first and a last name."""
        return bool(self.first and self.last)


@lru_cache(maxsize=1024)
def name_key(first: str | None, last: str | None, full: str | None = None) -> NameKey:
    """The key of a name; parts that are missing are taken from the full name."""
    name = read_name(first or "", last or "", full or "")
    parts = [_folded(" ".join(without_titles((part or "").split())[0])) for part in (name.first, name.last)]
    whole = " ".join([*parts, _folded(name.full or "")])
    found = frozenset(_GENERATION_OF[match] for match in _GENERATION.findall(whole))
    return NameKey(*_parts(*parts), found, frozenset(filter(_is_initial, _GENERATION.sub(" ", whole).split())))


def compare(mine: NameKey, theirs: NameKey) -> Comparison:
    """`same`: both whole and equal. `open`: a part is missing, and the others agree. `other`: they contradict."""
    if mine.is_whole and theirs.is_whole:
        return "same" if _are_equal(mine, theirs) else "other"
    if mine.generations and theirs.generations and mine.generations != theirs.generations:
        return "other"
    if mine.is_whole or theirs.is_whole:
        part, whole = (theirs, mine) if mine.is_whole else (mine, theirs)
        return "open" if set(part.words) <= set(whole.words) else "other"
    are_alike = bool(mine.first) == bool(theirs.first) and bool(mine.words) == bool(theirs.words)
    return "other" if are_alike and not _are_equal(mine, theirs) else "open"


def same_name(mine: NameKey, theirs: NameKey) -> bool:
    """Whether both names have the same parts, or none, and these are equal."""
    return mine.is_whole == theirs.is_whole and _are_equal(mine, theirs)


def _are_equal(mine: NameKey, theirs: NameKey) -> bool:
    initials = mine.initials == theirs.initials or not mine.initials or not theirs.initials
    return mine.words == theirs.words and mine.generations == theirs.generations and initials


def _folded(text: str) -> str:
    return fold(_APOSTROPHES.sub("", text))


def _parts(first: str, last: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of both parts without degrees, generations and initials, unless a part has nothing else."""
    firsts, lasts = _words(first), _words(last)
    if last and not lasts and len(firsts) > 1:  # `Robert Hale d. J.`, of which the end was taken for the last name
        return firsts[:-1], firsts[-1:]
    return firsts or tuple(first.split()), lasts or tuple(last.split())


def _words(folded: str) -> tuple[str, ...]:
    bare = _GENERATION.sub(" ", folded).split()
    return tuple(word for word in bare if word not in _DEGREES and not _is_initial(word))


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.upper() != word
