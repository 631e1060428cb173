"""The meaning of an answer about consent. No answer is `unknown`, neither given nor refused."""

from __future__ import annotations

import re
from typing import Final, Literal

from app.matching.text import as_text, fold, is_unresolved
from app.matching.words import words

KNOWN_PURPOSES: Final = ("process", "email_marketing", "phone", "profiling", "partners")
PURPOSE_LENGTH: Final = 60
_PURPOSE: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{PURPOSE_LENGTH - 1}}}")
ConsentState = Literal["given", "refused", "withdrawn", "unknown"]
_YES: Final = words("yes")
_NO: Final = words("no")
_REFUSAL_STARTS: Final = tuple(start + " " for start in words("refusal_starts"))
_SENTENCE_WORDS: Final = 3
_MAX_ANSWER: Final = 2_000
_MAX_BOXES: Final = 100


def is_purpose(word: str) -> bool:
    """Whether a word can be the purpose of a consent: snake_case, at most 60 characters."""
    return _PURPOSE.fullmatch(word) is not None


def read_consent(answer: object) -> ConsentState:
    """given, refused or unknown, from a boolean, a word in seven languages, or the sentence that was agreed to.

    A list is that of the ticked boxes: given when any of them means consent, unknown when empty.
    """
    if isinstance(answer, list | tuple):
        states = [read_consent(member) for member in answer[:_MAX_BOXES]]
        return next((state for state in ("given", "refused") if state in states), "unknown")
    if isinstance(answer, dict):
        return "unknown"
    text = as_text(answer)[:_MAX_ANSWER]
    words = fold(text)
    if not words or is_unresolved(text):
        return "unknown"
    if words in _NO or words.startswith(_REFUSAL_STARTS):
        return "refused"
    return "given" if words in _YES or words.count(" ") + 1 >= _SENTENCE_WORDS else "unknown"
