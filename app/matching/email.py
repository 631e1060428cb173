"""E-mail addresses: parsing what was typed into a display form and a comparison key."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

from app.matching.mailboxes import is_role_mailbox
from app.matching.no_identity import is_placeholder_address
from app.matching.text import plain
from app.matching.words import words

MAX_EMAIL: Final = 254
NOT_AN_EMAIL: Final = "this is not an e-mail address, such as anna@example.com"
_MAX_TYPED: Final = 2_000
# What separates the addresses of one cell. Blanks, tabs and line breaks alone do not: a piece between them may be a
# part of an address.
_SEPARATORS: Final = re.compile(r"[,;|、<>()\[\]]+|: ")
_OTHER_BLANK: Final = re.compile(r"[^\S ]")  # which was never a plus
_CONNECTING: Final = words("connecting") | frozenset("/&+-")
_MAX_PLUSES: Final = 2  # that a form lost of one address; among more blanks are words
_SENTENCE: Final = words("around_addresses")
_TRAILING: Final = "\"'`.,;:!?"
_LINK: Final = "mailto:"
_LEADING: Final = "\"'`"
# The common case, checked fast; anything else (other scripts, rare characters) is checked by the library.
_DOT_ATOM: Final = re.compile(r"[A-Za-z0-9_+%&'-]+(?:\.[A-Za-z0-9_+%&'-]+)*")
_PLAIN_DOMAIN: Final = re.compile(r"(?=.{1,251}\Z)(?:(?=[^.]{1,63}\.)[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,63}")
_SPECIAL_USE: Final = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)


@dataclass(frozen=True, slots=True)
class Email:
    """One valid address. `display` is lower-cased with a Unicode domain; `key` has the domain in ASCII (IDNA)."""

    display: str
    key: str
    domain: str

    @property
    def is_role(self) -> bool:
        """Whether the mailbox belongs to a function, such as sales@ or biuro@, not to a person."""
        return is_role_mailbox(self.key.partition("@")[0])

    @property
    def is_placeholder(self) -> bool:
        """Whether it was typed in place of an address (noemail@noemail.com) and reaches nobody."""
        return is_placeholder_address(self.key.partition("@")[0], self.domain)


def read_emails(typed: str, *, plus_is_blank: bool = False) -> tuple[Email, ...]:
    """The valid addresses of one cell in the order typed, each once. No network; never raises.

    `plus_is_blank`: the text is of a form, in which a plus that was not encoded arrives as a blank. A form that has
    encoded one plus has encoded all, and a blank behind an @ was never a plus.
    """
    found: dict[str, Email] = {}
    text = plain(typed[:_MAX_TYPED])
    plus_is_blank = plus_is_blank and "+" not in text
    # Not by a pattern: `\s*@` takes quadratic time for a long run of spaces.
    local, *hosts = text.split("@")
    for host in hosts:
        may_be_plus = plus_is_blank and host[:1].strip() != ""
        local = f"{local if may_be_plus else local.rstrip()}@{host.lstrip()}"
    for piece in _SEPARATORS.split(local):
        was_plus = plus_is_blank and not _OTHER_BLANK.search(piece.strip())
        for email in _read_piece(piece.split(), was_plus, is_first=not found):
            found.setdefault(email.key, email)
    return tuple(found.values())


def names_nobody(typed: str) -> bool:
    """Whether a cell without the address of anybody holds a placeholder, valid as an address or not: `test@test`."""
    text = plain(typed[:_MAX_TYPED]).lower()
    pieces = [piece.strip(_LEADING + _TRAILING) for piece in _SEPARATORS.sub(" ", text).split()]
    parts = [piece.removeprefix("mailto:").split("@") for piece in pieces if len(piece) <= MAX_EMAIL]
    return any(len(part) == 2 and all(part) and is_placeholder_address(*part) for part in parts)


def _read_piece(parts: list[str], plus_is_blank: bool, *, is_first: bool) -> list[Email]:
    """The addresses of what blanks alone part: each part is one, or all are one whose pluses became blanks.

    A word that connects addresses has to follow one: `a b@x.com` was `a+b@x.com`.
    """
    start = 1 if is_first and parts and parts[0].isalpha() else 0
    named = parts[:start] + [part for part in parts[start:] if part.casefold() not in _CONNECTING]
    found = [email for part in named if "@" in part and (email := read_email(part))]
    if len(found) == len(named):
        return found
    whole = read_email("+".join(parts)) if plus_is_blank and _may_have_lost_pluses(parts) else None
    return [whole] if whole else []


def _may_have_lost_pluses(parts: list[str]) -> bool:
    """Whether blanks may have been pluses: few, and not between words or a name and an address, `Ana Pop pop@…`."""
    typed = [part.strip(_LEADING + _TRAILING) for part in parts]
    if len(typed) > 2 and all(len(part) > 1 and part.istitle() for part in typed[:-1]):
        return False
    *before, last = map(str.casefold, typed)
    local = last.partition("@")[0]
    is_name = any(len(part) > 1 and (part in local or (len(local) > 1 and local in part)) for part in before)
    return len(before) <= _MAX_PLUSES and not is_name and _SENTENCE.isdisjoint(before)


@lru_cache(maxsize=512)
def read_email(typed: str) -> Email | None:
    """One address, or None when it is not valid."""
    address = _bare(plain(typed))
    while address.lower().startswith(_LINK):
        address = _bare(address[len(_LINK) :].partition("?")[0])
    if not address or len(address) > MAX_EMAIL:
        return None
    local, _, host = address.rpartition("@")
    domains = read_domain(host)
    if domains is None or len(local) > 64 or not (_DOT_ATOM.fullmatch(local) or _is_local(local)):
        return None
    local = unicodedata.normalize("NFC", local.lower())
    ascii_domain, shown_domain = domains
    key = f"{local}@{ascii_domain}"
    return Email(f"{local}@{shown_domain}", key, ascii_domain) if len(key) <= MAX_EMAIL else None


def _bare(text: str) -> str:
    """The text without blanks, quotation marks and the marks at the end of a sentence around it."""
    return text.strip().lstrip(_LEADING).rstrip(_TRAILING).strip()


@lru_cache(maxsize=1024)
def read_domain(host: str) -> tuple[str, str] | None:
    """The domain in ASCII and in its display form, or None when it is not valid."""
    lowered = host.lower()
    is_plain = _PLAIN_DOMAIN.fullmatch(lowered) and not f".{lowered}".endswith(_SPECIAL_USE)
    return (lowered, lowered) if is_plain else read_domain_by_library(host)


def read_domain_by_library(host: str) -> tuple[str, str] | None:
    """The same for any domain, at ten times the cost."""
    try:
        valid = validate_email(f"x@{host}", check_deliverability=False)
    except ValueError:
        return None
    return (valid.ascii_domain or valid.domain).lower(), unicodedata.normalize("NFC", valid.domain.lower())


def _is_local(local: str) -> bool:
    try:
        return validate_email(f"{local}@example.com", check_deliverability=False) is not None
    except ValueError:
        return False
