"""The meaning of an answer about consent. No answer is `unknown`, neither given nor refused."""

from __future__ import annotations

import re
from typing import Final, Literal

from app.matching.text import as_text, fold, is_unresolved
from app.matching.words import phrases, words

KNOWN_PURPOSES: Final = ("process", "email_marketing", "phone", "profiling", "partners")
PURPOSE_LENGTH: Final = 60
_PURPOSE: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{PURPOSE_LENGTH - 1}}}")
ConsentState = Literal["given", "refused", "withdrawn", "unknown"]
_YES: Final = frozenset(map(fold, words("yes")))
_NO: Final = frozenset(map(fold, words("no")))
_REFUSALS: Final = phrases("refusals", fold)
_AGREEMENTS: Final = phrases("agreements", fold)
_DOUBTS: Final = phrases("doubts", fold)
_PROMOTION: Final = phrases("promotion", fold)
_CONTACT: Final = phrases("contact", fold)
_PROCESSING: Final = phrases("processing", fold)
_OWN_MATTERS: Final = phrases("own_matters", fold)
_AGREEING: Final = frozenset(map(fold, words("agreeing")))
_REFUSAL_LABELS: Final = tuple(fold(start) + " " for start in words("refusal_labels"))
_RIGHTS: Final = phrases("rights", fold)
_MAY: Final = phrases("may", fold)
_ENDINGS: Final = phrases("endings", fold)
_CLAUSE: Final = re.compile(r"[.,;:!?\n()。、，]+")
_QUESTION: Final = re.compile(r"[?？؟;]\s*$")
_EMPTY_BOX: Final = re.compile(r"\s*(?:[☐□▢]|\[\s*\]|\(\s*\))")
_MAX_ANSWER: Final = 2_000
_MAX_BOXES: Final = 100


def is_purpose(word: str) -> bool:
    """Whether a word can be the purpose of a consent: snake_case, at most 60 characters."""
    return _PURPOSE.fullmatch(word) is not None


def is_unticked(answer: object) -> bool:
    """Whether the answer is a word for no, as forms send it for a box that is not ticked."""
    return fold(as_text(answer)[:_MAX_ANSWER]) in _NO


def read_consent(answer: object, purpose: str) -> ConsentState:
    """given, refused or unknown, from a boolean, a word, or a sentence.

    A word or sentence that refuses anywhere refuses. Only a word for yes or a sentence of agreement gives consent, and
    no sentence that agrees to another matter than the purpose: to the terms of service, to a call about an order. A
    list is that of the ticked boxes: refused when a sentence among them refuses, else given when any of them does.
    """
    if isinstance(answer, list | tuple):
        boxes = answer[:_MAX_BOXES]
        states = [read_consent(box, purpose) for box in boxes if not is_unticked(box)]
        states += ["refused"] if not states and boxes else []
        return next((state for state in ("refused", "given") if state in states), "unknown")
    if isinstance(answer, dict):
        return "unknown"
    text = as_text(answer)[:_MAX_ANSWER]
    folded = fold(text)
    if not folded or is_unresolved(text) or _EMPTY_BOX.match(text):
        return "unknown"
    if folded in _YES:
        return "unknown" if text.rstrip().endswith(("?", "？", "؟")) else "given"
    if folded in _NO or _refuses(text):
        return "refused"
    return "given" if _agrees(text, folded, purpose) else "unknown"


def read_ticked(answer: object, purpose: str, label: str) -> ConsentState:
    """The meaning of a box with this label: ticking `Do not e-mail me` refuses, leaving it out says nothing."""
    state = read_consent(answer, purpose)
    if not fold(label).startswith(_REFUSAL_LABELS):
        return state
    return "refused" if state == "given" else "unknown"


def _refuses(text: str) -> bool:
    return any(_REFUSALS.search(clause) for clause in map(fold, _CLAUSE.split(text)) if not _tells_a_right(clause))


def _tells_a_right(clause: str) -> bool:
    """Whether a clause only mentions the right to withdraw the consent: `you can unsubscribe at any time`."""
    rest, endings = _ENDINGS.subn(" ", clause)
    return bool(endings and _RIGHTS.search(rest) and _MAY.search(rest)) and _REFUSALS.search(rest) is None


def _agrees(text: str, folded: str, purpose: str) -> bool:
    if _QUESTION.search(text) or _DOUBTS.search(folded):
        return False
    starts = fold(_CLAUSE.split(text, maxsplit=1)[0])
    agrees = starts in _YES or _AGREEMENTS.search(folded) is not None
    return agrees and (_is_about(folded, purpose) or not _says_more(folded))


def _is_about(sentence: str, purpose: str) -> bool:
    """Whether a sentence of agreement speaks of what the purpose allows."""
    if _PROMOTION.search(sentence) or (purpose == "process" and _PROCESSING.search(sentence)):
        return True
    is_named = purpose.replace("_", " ") in sentence
    return bool(is_named or _CONTACT.search(sentence)) and _OWN_MATTERS.search(sentence) is None


def _says_more(sentence: str) -> bool:
    """Whether it says anything beside the agreement itself and that it can be withdrawn."""
    for known in (_AGREEMENTS, _ENDINGS, _RIGHTS, _MAY):
        sentence = known.sub(" ", sentence)
    return any(word not in _AGREEING and word not in _YES for word in sentence.split())
