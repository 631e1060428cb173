"""Whether two leads without a common identity may be one person, how likely, and why (ingestion.md, section 5).

Never enough to merge them: that is for people to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from rapidfuzz import fuzz, process

from app.matching.company import company_key, is_of_many
from app.matching.identity import Reason
from app.matching.mailboxes import is_free_mail
from app.matching.name_key import NameKey, name_key
from app.matching.person import Person
from app.matching.text import fold
from app.matching.words import words

NAME_RATIO: Final = 90
COMPANY_RATIO: Final = 92
LETTERS: Final = 3  # of a name and of a company, by which leads are looked up
MOST_COMPARED: Final = 50  # leads, with each arrival
EXACT: Final = ("e ", "n ")  # what keys begin with that make two leads alike by themselves
_PLUS_TAGS: Final = words("plus_tags")
_DOTLESS: Final = words("dotless")

# How likely each reason makes it that two leads are one person, in percent. `name_company` is as high as the names are
# equal.
SCORES: Final[Mapping[Reason, int]] = {
    "external": 97,
    "email": 97,
    "phone": 90,
    "social": 90,
    "domain": 60,
    "email_alike": 95,
    "name_company": 90,
    "name_city": 80,
    "phone_other_email": 75,
    "phone_shared": 70,
    "phone_other_name": 55,
    "email_other_name": 55,
    "external_other_person": 50,
    "social_other_person": 50,
    "organization": 40,
}


COMPARED: Final = ("first_name", "last_name", "full_name", "company", "domain")


@dataclass(frozen=True)
class Subject:
    """What is compared of a lead or an arrival."""

    name: NameKey
    company: str
    domain: str | None
    emails: tuple[str, ...]
    city: str

    @classmethod
    def of(cls, fields: Mapping[str, Any], emails: Iterable[str], custom: Mapping[str, Any]) -> Subject:
        """`emails`: the addresses as they are compared; the city is a custom field."""
        city = custom.get("city")
        return _subject(
            *(fields.get(name) for name in COMPARED), city if isinstance(city, str) else None, tuple(emails)
        )

    @classmethod
    def of_person(cls, person: Person, custom: Mapping[str, Any]) -> Subject:
        emails = (one.value for one in person.identities if one.kind == "email" and not one.shared)
        return cls.of(person.fields, emails, {**person.custom, **custom})

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys that it shares with all subjects that are like it, but for errors in the first letters."""
        starts = {part[0][:LETTERS] for part in (self.name.first, self.name.last) if part}
        firms = [f"c {self.company[:LETTERS]}"] * bool(self.company) + [f"d {self.domain}"] * bool(self.domain)
        found = {f"{firm} {start}" for firm in firms for start in starts}
        found |= {f"e {mailbox}" for mailbox in self.mailboxes}
        if self.is_private and self.city and self.name.is_whole:
            found.add(f"n {self.whole_name} {self.city}")
        return frozenset(found)

    @cached_property
    def exact_keys(self) -> frozenset[str]:
        """The keys that it shares with those only who have its mailbox, or its name and city."""
        return frozenset(key for key in self.keys if key.startswith(EXACT))

    @cached_property
    def whole_name(self) -> str:
        return " ".join(self.name.words)

    @cached_property
    def mailboxes(self) -> frozenset[str]:
        return frozenset(alike for email in self.emails if (alike := alike_address(email)))

    @cached_property
    def is_private(self) -> bool:
        """Whether an address is of free mail."""
        return any(is_free_mail(email.rpartition("@")[2]) for email in self.emails)


@lru_cache(maxsize=1024)
def _subject(
    first: str | None,
    last: str | None,
    full: str | None,
    company: str | None,
    domain: str | None,
    city: str | None,
    emails: tuple[str, ...],
) -> Subject:
    return Subject(
        name_key(first, last, full),
        company_key(company) if company else "",
        domain if domain and not is_of_many(domain) else None,
        emails,
        fold(city) if city else "",
    )


def alike_address(email: str) -> str | None:
    """The mailbox that the address is delivered to, where the provider ignores a tag or dots; None for others."""
    local, _, domain = email.rpartition("@")
    if domain not in _PLUS_TAGS:
        return None
    local = local.partition("+")[0]
    return f"{local.replace('.', '')}@gmail.com" if domain in _DOTLESS else f"{local}@{domain}"


def reasons(mine: Subject, theirs: Subject) -> dict[Reason, int]:
    """Why the two may be one person, each with its score; empty if nothing says so."""
    found: dict[Reason, int] = {}
    if mine.mailboxes & theirs.mailboxes and not set(mine.emails) & set(theirs.emails):
        found["email_alike"] = SCORES["email_alike"]
    if not mine.whole_name or not theirs.whole_name:
        return found
    ratio = fuzz.ratio(mine.whole_name, theirs.whole_name, score_cutoff=NAME_RATIO)
    if ratio and _is_one_company(mine, theirs):
        found["name_company"] = min(99, int(ratio))
    same_place = mine.is_private and theirs.is_private and bool(mine.city) and mine.city == theirs.city
    if same_place and mine.name.is_whole and theirs.name.is_whole and mine.whole_name == theirs.whole_name:
        found["name_city"] = SCORES["name_city"]
    return found


def with_similar_name(mine: Subject, others: Sequence[Subject]) -> list[int]:
    """The places of those whose names are similar enough for `name_company`."""
    if not mine.whole_name:
        return []
    names = [one.whole_name for one in others]
    return [
        place
        for _, _, place in process.extract_iter(mine.whole_name, names, scorer=fuzz.ratio, score_cutoff=NAME_RATIO)
    ]


def _is_one_company(mine: Subject, theirs: Subject) -> bool:
    if mine.domain and mine.domain == theirs.domain:
        return True
    return bool(mine.company and theirs.company) and fuzz.ratio(mine.company, theirs.company) >= COMPANY_RATIO


def total(found: Mapping[Any, int]) -> int:
    """The score of a pair: that of its strongest reason, and two for each further one; at most 99."""
    return min(99, max(found.values()) + 2 * (len(found) - 1))


def is_news(found: Mapping[Any, int], known: Mapping[str, int]) -> bool:
    """Whether these reasons say more than those that are known: a new one, or a higher score."""
    return any(score > known.get(reason, 0) for reason, score in found.items())
