"""What a search asks for: each of its words must be the beginning of a word of the lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.matching.text import fold, fold_letters

STORED_LENGTH: Final = 100  # characters of a word in the table `lead_words`


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a search, folded, in the ways it can be read.

    `anna-maria` is the beginning of an e-mail address, or of two words of a name: in a reading, each text must be the
    beginning of a word of the lead.
    """

    readings: tuple[tuple[str, ...], ...]

    @property
    def is_plain(self) -> bool:
        """Whether a word that begins with the term is all that is asked for."""
        return self.readings == ((self.readings[0][0],),) and len(self.readings[0][0]) <= STORED_LENGTH


def terms(search: str) -> list[Term]:
    """The words of a search, each once."""
    # Twice: the form without accents may have capitals, as № becomes No.
    return list(dict.fromkeys(_term(word) for word in fold_letters(fold_letters(search)).split()))


def _term(word: str) -> Term:
    word = word.lstrip("@") or word  # `@nordsoft.ro` asks for the domain
    parts = tuple(dict.fromkeys(fold(word).split()))
    if "@" in word or not parts or parts == (word,):
        return Term(((word,),))
    return Term(((word,), parts))
