"""The meaning of an answer about consent. No answer is `unknown`, neither given nor refused."""

from __future__ import annotations

import re
from typing import Final, Literal

from app.matching.text import as_text, fold, is_unresolved, unescape
from app.matching.words import phrases, words

KNOWN_PURPOSES: Final = ("process", "email_marketing", "phone", "profiling", "partners")
PURPOSE_LENGTH: Final = 60
_PURPOSE: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{PURPOSE_LENGTH - 1}}}")
ConsentState = Literal["given", "refused", "withdrawn", "unknown"]
StoredState = Literal[ConsentState, "pending"]  # pending: given by a form, and not yet confirmed by the person
_YES: Final = frozenset(map(fold, words("yes")))
_NO: Final = frozenset(map(fold, words("no")))
_UNTICKED_BY_FORMS: Final = frozenset({"0", "false", "off"})
_REFUSALS: Final = phrases(fold, "refusals")
_AGREEMENTS: Final = phrases(fold, "agreements")
_DOUBTS: Final = phrases(fold, "doubts")
_PROMOTION: Final = phrases(fold, "promotion")
_BY_EMAIL: Final = phrases(fold, "by_email")
_BY_PHONE: Final = phrases(fold, "by_phone")
_INFORMING: Final = phrases(fold, "informing")
_SHARING: Final = phrases(fold, "sharing")
_PROCESSING: Final = phrases(fold, "processing")
_BEFORE_NAMES: Final = frozenset(map(fold, words("before_names")))
_KNOWN: Final = phrases(
    fold,
    *("agreements", "yes", "endings", "rights", "may", "agreeing"),
    *("promotion", "by_email", "by_phone", "informing", "sharing"),
)
_REFUSAL_LABELS: Final = tuple(fold(start) + " " for start in words("refusal_labels"))
_RIGHTS: Final = phrases(fold, "rights")
_MAY: Final = phrases(fold, "may")
_ENDINGS: Final = phrases(fold, "endings")
_CLAUSE: Final = re.compile(r"[.,;:!?\n()。、，]+")
_QUESTION: Final = re.compile(r"[?？؟;]\s*$")
_WORD: Final = re.compile(r"\w+")
_EMPTY_BOX: Final = re.compile(r"\s*(?:[☐□▢]|\[\s*\]|\(\s*\))")
_MAX_ANSWER: Final = 2_000
_MAX_BOXES: Final = 100


def is_purpose(word: str) -> bool:
    """Whether a word can be the purpose of a consent: snake_case, at most 60 characters."""
    return _PURPOSE.fullmatch(word) is not None


def is_unticked(answer: object) -> bool:
    """Whether the answer is a word for no, as forms send it for a box that is not ticked."""
    return fold(as_text(answer)[:_MAX_ANSWER]) in _NO


def _is_said_no(answer: object) -> bool:
    return is_unticked(answer) and fold(as_text(answer)) not in _UNTICKED_BY_FORMS


def read_consent(answer: object, purpose: str) -> ConsentState:
    """given, refused or unknown, from a boolean, a word, or a sentence.

    A word or sentence that refuses anywhere refuses. Only a word for yes or a sentence of agreement gives consent, and
    no sentence that agrees to another matter than the purpose: to the terms of service, to a call about an order. A
    list is that of the ticked boxes: refused when a sentence among them refuses, else given when any of them does. What
    a form sends for a box that is not ticked (`0`, `false`, `off`) says nothing beside the value of the box, before it
    or after it, by the kind of form; a word that a person reads (`no`) beside a yes contradicts it: unknown.
    """
    if isinstance(answer, list | tuple):
        boxes = answer[:_MAX_BOXES]
        states = [read_consent(box, purpose) for box in boxes if not is_unticked(box)]
        if "given" in states and "refused" not in states and any(map(_is_said_no, boxes)):
            return "unknown"
        states += ["refused"] if not states and boxes else []
        return next((state for state in ("refused", "given") if state in states), "unknown")
    if isinstance(answer, dict):
        return "unknown"
    text = unescape(as_text(answer)[:_MAX_ANSWER])
    folded = fold(text)
    if not folded or is_unresolved(text) or _EMPTY_BOX.match(text):
        return "unknown"
    if folded in _YES:
        is_other = text.rstrip().endswith(("?", "？", "؟")) or (folded.isdigit() and folded != text)  # -1, (1)
        return "unknown" if is_other else "given"
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
    if starts not in _YES and _AGREEMENTS.search(folded) is None:
        return False
    if purpose == "process" and _PROCESSING.search(folded):
        return True
    named = purpose.replace("_", " ")
    rest = _KNOWN.sub(" ", folded.replace(named, " "))
    if purpose not in ("email_marketing", "phone"):
        rest = _PROCESSING.sub(" ", rest)
    says_no_more = not set(rest.split()) - _names(text)
    return says_no_more and (_is_for(folded, purpose) or named in folded or not _is_about_anything(folded))


def _names(text: str) -> set[str]:
    """The words that may be a company's name: those with a capital after a word such as `from`, folded."""
    found: set[str] = set()
    before = ""
    for word in _WORD.findall("" if text.isupper() else text):
        is_name = word[:1].isupper() and (fold(before) in _BEFORE_NAMES or fold(before) in found)
        found |= {fold(word)} if is_name else set()
        before = word
    return found


def _is_about_anything(sentence: str) -> bool:
    return any(topic.search(sentence) for topic in (_PROMOTION, _BY_EMAIL, _BY_PHONE, _INFORMING, _SHARING))


def _is_for(sentence: str, purpose: str) -> bool:
    """Whether a sentence of agreement, all of whose words are known, speaks of what the purpose allows."""
    email, phone = _BY_EMAIL.search(sentence), _BY_PHONE.search(sentence)
    asks_for_messages = bool(_PROMOTION.search(sentence) or _INFORMING.search(sentence))
    if purpose == "email_marketing":
        return bool(email) or (asks_for_messages and not phone)
    if purpose == "phone":
        return bool(phone) or (asks_for_messages and not email)
    if purpose == "process":
        return bool(email or phone or asks_for_messages)
    return _SHARING.search(sentence) is not None and purpose in ("partners", "profiling")
