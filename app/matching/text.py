"""Text of answers: conversion, cleaning, folding for comparison, and detection of placeholders."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from app.matching.words import words

_MAX_INTEGER: Final = 2**63
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
# Blanks and control characters, among them the NUL with which some programs end a text.
_ENDS: Final = "".join(c for c in map(chr, range(0x3001)) if c.isspace() or unicodedata.category(c) == "Cc")
# Control characters that are no blanks, and those that Unicode calls default ignorable: marks of direction, of zero
# width and of variation, soft hyphens, tags, fillers. A person does not see them and does not type them on purpose.
_INVISIBLE: Final = re.compile(
    "[\x01-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_DOTTED_I: Final = re.compile("([iI])\u0307|\u0130")
# With its semicolon only: `?a=1&copy=2` in a web address is no entity.
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPED_AGAIN: Final = re.compile(
    r"&(?:amp(?:;|%3b))+(?=(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});)", re.IGNORECASE
)
_AMPERSAND: Final = re.compile(r"(?:&|%26)(?:(?:amp|#0*38|#x0*26)(?:;|%3b))+", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    r"[^\s&=#;?/]{1,100}(?:=|&(?:#0*61|#[xX]0*3[dD]|equals);)"
)  # the name of a parameter in a link
_FULL_STOPS: Final = str.maketrans("\u3002\uff61", "..")
_NOT_WORD: Final = re.compile(r"[^\w]+")
# Letters that Unicode does not decompose into a base letter and a mark.
_BASE_LETTERS: Final = str.maketrans(
    {"ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th"}
)
_UNRESOLVED: Final = re.compile(
    r"\{\{.*\}\}|\{[^{}]*\}|%%.*%%|\$\{.*\}|__[A-Z_]+__|\(not set\)|\(not provided\)"
    r"|null|undefined|none|n/a|\[object object\]",
    re.IGNORECASE | re.DOTALL,
)
_UNRESOLVED_STARTS: Final = frozenset("{%$_([nNuU")
_PLACEHOLDERS: Final = words("nothing")


def storable(text: str) -> str:
    """The text with NUL, which PostgreSQL rejects, and lone surrogates, which UTF-8 rejects, replaced by U+FFFD."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def without_nul_ends(text: str) -> str:
    """The text without NUL at its ends, nor blanks and control characters beside it."""
    return text.strip(_ENDS) if "\x00" in text else text


def is_storable(text: str) -> bool:
    """Whether the text holds neither NUL nor a lone surrogate."""
    return _UNSTORABLE.search(text) is None


def as_text(value: object) -> str:
    """One answer as stripped text; of a list the first that is not empty; "" for null and for objects."""
    if isinstance(value, str):
        is_plain = value.isascii() and value.isprintable()
        return (value if is_plain else _INVISIBLE.sub("", without_nul_ends(value))).strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if isinstance(value, list | tuple):
        return next((text for text in map(as_text, value) if text), "")
    return ""


def unescape(text: str) -> str:
    """The text with its HTML entities replaced, once: `Smith &amp; Sons` is `Smith & Sons`, `&amp;lt;` is `&lt;`."""
    return _ENTITY.sub(lambda entity: html.unescape(entity.group()), text) if "&" in text else text


def unescape_link(link: str) -> str:
    """The link with its HTML entities replaced, so that none cuts a value: `&amp;` separates two parameters only where
    `name=` follows, and is percent-encoded elsewhere, as are the signs `#`, `+` and `%`.

    An entity may have been escaped again (`&amp;amp;`), and an ampersand's semicolon encoded (`&amp%3B`).
    """
    link = _AMPERSAND.sub("&amp;", _ESCAPED_AGAIN.sub("&", link))

    def sign(entity: re.Match[str]) -> str:
        text = html.unescape(entity.group())
        is_separator = text == "&" and _PARAMETER.match(link, entity.end())
        return quote(text, safe="") if text in "&#+%" and not is_separator else text

    return _ENTITY.sub(sign, link) if "&" in link else link


def plain(text: str) -> str:
    """The text of an address or number in plain characters: `jane＠acme。com` is `jane@acme.com`.

    Characters that are another form of ASCII ones (full-width, small, styled) become these, an ideographic full stop
    becomes a point, a dotted capital I (İ) becomes I, and invisible marks are dropped.
    """
    if text.isascii() and text.isprintable():
        return text
    visible = _INVISIBLE.sub("", text).translate(_FULL_STOPS)
    return _DOTTED_I.sub(lambda letter: letter[1] or "I", "".join(map(_plain_character, visible)))


def _plain_character(character: str) -> str:
    form = unicodedata.normalize("NFKC", character)
    return form if form.isascii() else character


def fold(text: str) -> str:
    """Text for comparison: no case, accents or punctuation, single spaces. `Dyrektor – Łódź` is `dyrektor lodz`."""
    return _NOT_WORD.sub(" ", fold_letters(text)).replace("_", " ").strip()


def fold_letters(text: str) -> str:
    """The text without case and accents; punctuation is kept: `Zoë@Łódź.pl` is `zoe@lodz.pl`."""
    bare = text.casefold()
    if not bare.isascii():
        bare = _INVISIBLE.sub("", bare)
        bare = "".join(c for c in unicodedata.normalize("NFKD", bare) if not unicodedata.combining(c))
    return bare.translate(_BASE_LETTERS)


def collapse_spaces(text: str) -> str:
    """The text with every run of white space replaced by one space."""
    return " ".join(text.split())


def is_unresolved(text: str) -> bool:
    """Whether the text is an unresolved template or a null: `{{lead.Id}}`, `{campaign}`, `(not set)`, `null`."""
    bare = text.strip()
    return bare[:1] in _UNRESOLVED_STARTS and _UNRESOLVED.fullmatch(bare) is not None


def is_template(text: str) -> bool:
    """Whether the text is an unresolved template or another value that only a program writes."""
    return is_unresolved(text) and (not text.strip().isalpha() or text.strip().casefold() == "undefined")


def is_placeholder(text: str) -> bool:
    """Whether the answer is a placeholder for no answer: `N/A`, `-`, `test`, `unknown`."""
    return text.casefold().strip() in _PLACEHOLDERS or is_unresolved(text)


def storable_value(value: object) -> object:
    """A JSON value with all its strings, keys included, made storable; a number that no column holds becomes text."""
    if isinstance(value, str):
        return storable(without_nul_ends(value))
    if isinstance(value, Mapping):
        return {storable(str(key)): storable_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [storable_value(member) for member in value]
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return str(value)
    return value
