"""The meaning of an answer about consent. No answer is `unknown`, neither given nor refused."""

from __future__ import annotations

from typing import Final, Literal

from app.matching.text import as_text, fold, is_unresolved
from app.matching.words import words

ConsentState = Literal["given", "refused", "withdrawn", "unknown"]
_YES: Final = words("yes")
_NO: Final = words("no")
_REFUSAL_STARTS: Final = tuple(start + " " for start in words("refusal_starts"))
_SENTENCE_WORDS: Final = 3
_MAX_ANSWER: Final = 2_000
_MAX_BOXES: Final = 100


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
