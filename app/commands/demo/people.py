"""Invented people and companies. Every domain ends in .example, which is reserved, so that no mail can be delivered."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")


def _words(text: str) -> list[str]:
    return text.split()


FIRST: Final = _words(
    """
    Ada Aisha Alice Amara Ana Andrei Anna Arjun Bao Beatriz Bogdan Camille Carlos Chloé Dana Daniel Diego
    Elena Emeka Emma Eszter Fatima Felix Freya Gabriel Giulia Hana Hugo Ines Ioana Isabel Jakub Jana Jonas
    Julia Karim Katya Kenji Lara Leila Lian Luca Lucía Magda Malik Mara Marco Maria Mateo Mei Mihai Nadia Nia
    Noah Olga Omar Paula Petra Priya Rafael Radu Rosa Samuel Sara Sofia Stefan Tara Tomas Vera Viktor Wei
    Yara Yusuf Zofia
    """
)
LAST: Final = _words(
    """
    Abadi Almeida Andersen Bauer Bennett Berg Bianchi Chen Costa Dahl Diaz Dumitru Ene Fischer Fontaine
    García Georgescu Haddad Hansen Horvat Ionescu Ivanov Jansen Kaya Khan Kim Kovács Kowalski Lange Laurent
    Lindgren López Marin Martin Mensah Meyer Moreau Müller Nagy Nakamura Novák Okafor Olsen Óváry Park Patel
    Petrov Popa Reyes Ricci Rossi Roy Santos Sato Schmidt Silva Singh Stan Tanaka Toma Varga Vasquez Virtanen
    Vogel Wagner Weber Yilmaz Zvoristeanu
    """
)
NAME_STARTS: Final = _words(
    """
    Nord Alpen Bright Clear Delta East Ever Fern Grand Green Harbour High Iron Kite Lake Long Maple Mira
    North Oak Ocean Pine Prime Quick Red River Sand Silver South Star Stone Sun Swift Terra True Umber Vale
    West White Wind
    """
)
NAME_ENDS: Final = _words(
    """
    soft labs works data cloud logic bio freight bank energy foods print health motors metal care tools media
    build retail
    """
)
TITLES: Final = (
    ("Director of Operations", 9),
    ("Head of Marketing", 9),
    ("VP Sales", 7),
    ("Head of IT", 8),
    ("Managing Director", 6),
    ("Project Manager", 16),
    ("Sales Manager", 13),
    ("Developer", 11),
    ("Analyst", 10),
    ("Office Manager", 6),
    ("Student", 5),
)
INDUSTRIES: Final = (("software", 45), ("manufacturing", 18), ("retail", 12), ("healthcare", 10), ("logistics", 15))
SIZES: Final = ((8, 10), (35, 15), (80, 20), (140, 20), (260, 15), (420, 10), (900, 6), (5200, 4))
COUNTRIES: Final = (("RO", 22), ("DE", 20), ("GB", 14), ("FR", 12), ("PL", 10), ("HU", 8), ("ES", 8), ("US", 6))
DECISION_MAKER_TITLES: Final = ("Director", "Head", "VP")


@dataclass(frozen=True, slots=True)
class Company:
    """The company a person works for."""

    name: str
    domain: str
    industry: str
    employees: int
    country: str


@dataclass(frozen=True, slots=True)
class Invented:
    """An invented person who fills in a form."""

    first_name: str
    last_name: str
    email: str
    job_title: str
    company: Company

    @property
    def fits(self) -> bool:
        """Whether the shipped policies give this person the fit score an MQL needs."""
        company = self.company
        is_decision_maker = any(word in self.job_title.split() for word in DECISION_MAKER_TITLES)
        return is_decision_maker and company.industry == "software" and 50 <= company.employees <= 500


def companies(rng: random.Random, count: int) -> list[Company]:
    """Companies with distinct names and domains."""
    names = [f"{start}{end}" for start in NAME_STARTS for end in NAME_ENDS]
    names += [f"{name} {word}" for word in ("Group", "Europe", "Partners") for name in names]
    return [
        Company(
            name,
            f"{name.lower().replace(' ', '-')}.example",
            _pick(rng, INDUSTRIES),
            int(_pick(rng, SIZES) * rng.uniform(0.8, 1.1)),
            _pick(rng, COUNTRIES),
        )
        for name in rng.sample(names, min(count, len(names)))
    ]


def person(rng: random.Random, company: Company, number: str) -> Invented:
    """A person of a company; `number` makes the e-mail address unique."""
    first, last = rng.choice(FIRST), rng.choice(LAST)
    plain = "".join(letter for letter in f"{first}.{last}".lower() if letter.isascii())
    return Invented(first, last, f"{plain}{number}@{company.domain}", _pick(rng, TITLES), company)


def _pick(rng: random.Random, weighted: tuple[tuple[T, int], ...]) -> T:
    return rng.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]
