"""What is sent in place of an identity and names nobody: words for nothing, zeros, a network's pages, noemail@."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from app.matching.mailboxes import is_free_mail
from app.matching.text import fold, is_placeholder
from app.matching.words import entries, words

_TABLES: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("no_identity.toml").read_text("utf-8"))


def _entries(table: str, name: str) -> frozenset[str]:
    return frozenset(fold(entry) for entry in entries(_TABLES[table].get(name, "")))


_ANSWERS: Final = words("nothing") | words("nobody") | words("yes") | words("no")
# A `1` means yes to a question, but is the id of the first record.
_NONE: Final = {fold(word) for word in _ANSWERS if not word.isdigit()} | _entries("words", "none")
_NUMBERS: Final = _entries("words", "numbers")
_FILLER: Final = _entries("words", "filler")
_NETWORKS: Final = _entries("networks", "names")
_PAGES: Final = {network: _entries("pages", network) for network in _TABLES["pages"]}
_ANYWHERE, _FREE, _LOCAL, _DOMAIN, _NOWHERE, _PHRASES = (
    _entries("email", name) for name in ("anywhere", "free", "local", "domain", "nowhere", "phrases")
)
_FOR_TESTS: Final = tuple(f".{ending}" for ending in entries(_TABLES["email"]["for_tests"]))
_DOCUMENTATION: Final = frozenset(entries(_TABLES["email"]["documentation"]))
# Systems write small negative numbers, or nines behind a minus, for nothing and for a record that is not stored yet.
_NEGATIVE: Final = re.compile(r"[-\u2010-\u2015\u2212]\s*0*(?:\d{1,3}|(\d)\1*)(?:[.,]0*)?")
_ONE_DIGIT: Final = re.compile(r"(\d)\1{5,}")
_ZEROS: Final = re.compile(r"(?:0x)?0+|0+aaa")  # the latter is the 18-character form of a 15-character id of zeros
_UUID_OF_F: Final = re.compile(r"f{32}")
_TEMPLATE: Final = re.compile(r"\*\|.*\|\*|<[^<>]*>|[#$@%]\{.*\}|\[[^\[\]]*\]|%[^%]+%|:\w+|\$\w+", re.DOTALL)
_SAME_CHARACTER: Final = re.compile(r"(.)\1*")
_PAGE_ENDINGS: Final = (".php", ".html", ".htm", ".aspx", ".asp")
_NO_PLACE: Final = frozenset({"co", "com", "net", "org", "www"})


def is_no_id(typed: str) -> bool:
    """Whether an external id, or the key of a submission, stands for none: `0`, `-1`, `new`, `{{lead.Id}}`, `--`.

    A UUID of zeros or of `f` is none either, nor is a number of six or more equal digits, nor `null0`.
    """
    text = typed.strip()
    folded = fold(text)
    if not folded or folded.rstrip("0") in _NONE or is_placeholder(text) or _TEMPLATE.fullmatch(text):
        return True
    if _NEGATIVE.fullmatch(text) or _ONE_DIGIT.fullmatch(text) or folded in _NUMBERS:
        return True
    bare = folded.removeprefix("urn uuid").replace(" ", "")
    return bool(_ZEROS.fullmatch(bare) or _UUID_OF_F.fullmatch(bare))


def is_no_handle(network: str, handle: str) -> bool:
    """Whether a social handle names nobody: a page of the network, the network itself, a word for yes or nothing."""
    name = handle.lower().lstrip("@")
    for ending in _PAGE_ENDINGS:
        name = name.removesuffix(ending)
    folded = fold(name)
    if any(folded in names for names in (_PAGES["any"], _PAGES.get(network, ()), _NETWORKS, _FILLER)):
        return True
    return len(folded) < 2 or bool(_SAME_CHARACTER.fullmatch(folded)) or is_no_id(name)


@lru_cache(maxsize=512)
def is_placeholder_address(local: str, domain: str) -> bool:
    """Whether an address stands for none: `noemail@…`, `…@noemail.com`, or both of its parts do: `test@test.com`,
    `a@a.a`, also as one phrase: `not@available.com`.

    At a provider of free mail and at a domain of documentation fewer mailboxes do, because people and tests use others.
    """
    if domain.endswith(_FOR_TESTS):
        return False
    name = fold(local)
    bare, names = name.replace(" ", ""), {name, name.replace(" ", "")}
    place = _place(domain)
    if names & _ANYWHERE or bare.rstrip("0123456789") in _ANYWHERE or place in _NOWHERE:
        return True
    if not _PHRASES.isdisjoint((f"{name} {place}", fold(f"{local} {domain}"))):
        return True
    repeats_character = _is_repeated(bare)
    if place == bare and (repeats_character or bare.isdecimal() or names & (_LOCAL | _DOMAIN | _NONE)):
        return True
    if is_free_mail(domain):
        return bool(names & _FREE) or (repeats_character and len(bare) > 2)
    if domain in _DOCUMENTATION:
        return bool(names & _LOCAL) and len(bare) > 2
    stands_for_none = repeats_character or bool(names & _LOCAL)
    return stands_for_none and (place in _DOMAIN or _is_repeated(place))


def _is_repeated(text: str) -> bool:
    """Whether the text is one character repeated. Two letters may be the initials of somebody."""
    return bool(_SAME_CHARACTER.fullmatch(text)) and (len(text) != 2 or text.isdecimal())


def _place(domain: str) -> str:
    """The name that a domain was registered by: `test` of `test.co.uk` and of `test`."""
    labels = domain.split(".")
    named = [label for label in labels[:-1] if label not in _NO_PLACE]
    return fold(named[-1] if named else labels[0]).replace(" ", "")
